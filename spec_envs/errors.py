"""Every exception of the library.

    SpecEnvsError
    ├── InvalidAction (ValueError)        an action that the environment cannot carry out; its state is unchanged
    ├── InvalidConfiguration (ValueError) an argument that makes no sense; names the argument, the value and what would
    ├── ResetNeeded (RuntimeError)        step or render before reset
    ├── EnvClosed (RuntimeError)          anything after close
    ├── NotForkable (TypeError)           an environment, or a wrapper around it, that cannot be copied faithfully
    ├── UnknownHandler (LookupError)      a call to a handler that the environment does not have
    ├── HandlerFailed (RuntimeError)      a handler gave up; ``__cause__`` says why
    ├── RecordMissing (LookupError)       a replay was asked for a query that its record does not hold
    └── ForkCheckFailed (AssertionError)  ``testing.check_fork`` found a fork that differs from its original

Two signals are not errors and are never seen by a caller of ``step``:

    CallPending     a step on a fork needs a response that its script does not hold
    CallCancelled   a handler noticed that nobody waits for its response any more
"""

from __future__ import annotations

from spec_envs.calls import Call


class SpecEnvsError(Exception):
    """Base of every error that this library raises."""


class InvalidAction(SpecEnvsError, ValueError):
    """The action cannot be carried out; the environment is as it was before ``step``."""


class InvalidConfiguration(SpecEnvsError, ValueError):
    """An argument has a value that makes no sense; the message names it and the values that do."""


class ResetNeeded(SpecEnvsError, RuntimeError):
    """The environment has no episode under way; call ``reset()`` first."""


class EnvClosed(SpecEnvsError, RuntimeError):
    """The environment was closed; make a new one."""


class NotForkable(SpecEnvsError, TypeError):
    """A faithful copy of this environment cannot be made; the message names the layer and the way out."""


class UnknownHandler(SpecEnvsError, LookupError):
    """``env.handlers`` has no handler of that name."""


class HandlerFailed(SpecEnvsError, RuntimeError):
    """A handler could not give a response; the original error is the ``__cause__``."""


class RecordMissing(SpecEnvsError, LookupError):
    """A replay was asked for a query that the record does not hold."""


class ForkCheckFailed(SpecEnvsError, AssertionError):
    """An environment's forks do not keep the contract; the message says what was done and what differed."""


class CallPending(BaseException):
    """A step on a fork came to a call whose response is not in its script.

    It is a ``BaseException`` so that an environment's own ``except Exception`` does not swallow it.

    Attributes:
        call: The call that the step is waiting for.
    """

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self.call = call


class CallCancelled(Exception):
    """Raised inside a handler, by its token, once nobody waits for the response any more."""
