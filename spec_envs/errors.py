"""Every exception of the library. All errors are a ``SpecEnvsError``, and one of Python's own errors as well.

Two signals are not errors, and a caller of ``step`` never sees them: ``CallPending`` and ``CallCancelled``.
"""

from typing import Any


class SpecEnvsError(Exception):
    """Base of every error that this library raises."""


class InvalidAction(SpecEnvsError, ValueError):
    """The action cannot be carried out; the environment is as it was before ``step``."""


class InvalidConfiguration(SpecEnvsError, ValueError):
    """An argument has a wrong value; the message names the argument, the value and the values that are right."""


class ResetNeeded(SpecEnvsError, RuntimeError):
    """The environment has no episode under way; call ``reset()`` first."""


class EnvClosed(SpecEnvsError, RuntimeError):
    """The environment was closed; make a new one."""


class NotForkable(SpecEnvsError, TypeError):
    """A faithful copy of this environment cannot be made; the message names the layer and the way out."""


class NotCopyable(SpecEnvsError, TypeError):
    """A value that an episode exchanges can change and cannot be copied; the message names its class."""


class UnknownHandler(SpecEnvsError, LookupError):
    """``env.handlers`` has no handler of that name."""


class HandlerFailed(SpecEnvsError, RuntimeError):
    """A handler could not give a response; if another error was the reason, it is the ``__cause__``."""


class EpisodeFailed(SpecEnvsError, RuntimeError):
    """One of many episodes could not be played to its end; the error that ended it is the ``__cause__``.

    Attributes:
        seed: The seed of the episode.
    """

    def __init__(self, seed: int, reason: str) -> None:
        super().__init__(seed, reason)
        self.seed = seed
        self._reason = reason

    def __str__(self) -> str:
        return f"the episode with seed {self.seed} failed: {self._reason}"


class RecordMissing(SpecEnvsError, LookupError):
    """A replay got a query that its record does not hold."""


class ForkCheckFailed(SpecEnvsError, AssertionError):
    """``check_fork`` found a fork that differs from its original; the message says what was done and what differed."""


class CallPending(BaseException):
    """A step on a fork came to a call whose response is not in its script.

    It is a ``BaseException`` so that an environment's own ``except Exception`` does not swallow it.

    Attributes:
        call: The ``Call`` that the step is waiting for.
    """

    def __init__(self, call: Any) -> None:
        super().__init__(call)
        self.call = call


class CallCancelled(Exception):
    """Raised inside a handler, by its token, when the response is no longer wanted."""
