"""``CallEnv``: a Gymnasium environment that asks handlers for the responses it has to wait for.

An author writes ``step`` as straight-line code and calls ``self.ask(call)`` wherever the episode depends on something
slow. On the real environment ``ask`` runs the handler. On a fork it takes the next response of a script instead, and
past the end of the script raises ``CallPending``: the step is then run again, from the same state, with a longer
script.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self, TypeVar, cast

import gymnasium as gym
import numpy as np

from spec_envs.attributes import is_a
from spec_envs.brief import brief
from spec_envs.calls import Call
from spec_envs.checks import integer_or_none
from spec_envs.closing import closed
from spec_envs.errors import CallPending, EnvClosed, InvalidConfiguration, UnknownHandler
from spec_envs.forking import copy_attributes, share_attributes
from spec_envs.forking.generators import Snapshot, restored, snapshot
from spec_envs.handling import CancelToken, Handler, as_handler
from spec_envs.values import own_copy

ObsType = TypeVar("ObsType")
ActType = TypeVar("ActType")

Answer = Callable[[Call], Any]


class Script:
    """Answers the calls of one step from a list of responses; raises ``CallPending`` past the end of the list.

    Attributes:
        pending: The first call past the end, also where the step has caught the exception and gone on (``except:``).
    """

    def __init__(self, responses: Iterable[Any] = ()) -> None:
        self._responses = iter(tuple(responses))
        self.pending: Call | None = None

    def __call__(self, call: Call) -> Any:
        """The next response, whatever ``call`` is."""
        for response in self._responses:
            return own_copy(response)
        self.pending = self.pending or call
        raise CallPending(call)


class _SetByInit:
    """Stands for an attribute until ``CallEnv.__init__`` has set it."""

    def __get__(self, env: Any, kind: type) -> Any:
        if env is None:
            return self
        raise InvalidConfiguration(
            f"{kind.__name__} is a CallEnv without handlers yet: its __init__ must call super().__init__(handlers)"
        )


class CallEnv(gym.Env[ObsType, ActType]):
    """Base class of environments that wait for named handlers, and can be forked.

    A subclass keeps three rules:

    1. ``step`` and ``reset`` are deterministic functions of the state, the action and the responses of ``ask``.
    2. All randomness comes from ``self.np_random``; what a handler needs of it goes into the query (a seed).
    3. State changes only after the last ``ask`` of a step, so that a handler's error leaves the environment as it was.

    Args:
        handlers: The handlers by name. A callable with a ``cancel`` parameter receives the call's ``CancelToken``.
        owned: Names of the handlers that belong to the environment, which closes them.

    Raises:
        InvalidConfiguration: ``handlers`` is no mapping of names to handlers, a name is "policy", which is the agent's
            own, or ``owned`` has another name.

    Forking:
        ``fork()`` shares every attribute named in ``shared_on_fork``, and every immutable one; it copies the rest.
        Spaces are shared, unless the code of the class samples from them.
        Handlers are shared by all forks; those with a ``close`` method that are named in ``owned`` are closed with the
        last fork that uses them: when that is closed, or is dropped and collected.
    """

    #: Attributes that are never changed in place, so that a fork may share them.
    shared_on_fork: ClassVar[frozenset[str]] = frozenset()
    #: How a page of a trace shows an episode: "transcript", "chess", "dialogue" or "curve".
    trace_view: str = "transcript"

    @staticmethod
    def brief(value: Any) -> str:
        """A query, a response or an observation as one short text, for traces."""
        return brief(value)

    #: The handlers by name.
    handlers: dict[str, Handler] = cast(Any, _SetByInit())
    _shared: _Shared | None = cast(Any, _SetByInit())
    _answer: Answer | None = None
    _rng_snapshot: Snapshot | None = None
    _closed = False

    def __init__(self, handlers: Mapping[str, Handler], *, owned: Iterable[str] = ()) -> None:
        _check_handlers(handlers)
        if isinstance(owned, str) or not isinstance(owned, Iterable):
            raise InvalidConfiguration(f"owned must be names of handlers, such as ('world',), not {owned!r:.80}")
        owned = tuple(owned)
        if unknown := set(owned) - set(handlers):
            raise InvalidConfiguration(f"owned names {sorted(unknown)}, but the handlers are {sorted(handlers)}")
        self.handlers = {name: as_handler(handler) for name, handler in handlers.items()}
        self._shared = _Shared([handlers[name] for name in owned])
        self._shared.join(self)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Seed the random generator. Subclasses call this before they draw; ``options`` are theirs to read.

        Raises:
            InvalidConfiguration: ``seed`` is neither ``None`` nor an integer of at least 0; or the subclass has not
                called ``super().__init__``.
        """
        _ = self.handlers  # says so, if they were never set
        return super().reset(seed=integer_or_none("seed", seed, least=0))

    def ask(self, call: Call) -> Any:
        """The response to ``call``: from its handler, or from the script when this is a fork.

        Handler and environment share no value: each may change the query or the response, unnoticed by the other.

        Raises:
            CallPending: On a fork, past the end of its script.
            UnknownHandler: No handler has that name.
            InvalidConfiguration: ``call`` is no ``Call``, or the handler is a coroutine function.
            NotCopyable: The query or the response can change and cannot be copied.
            EnvClosed: The environment was closed.
        """
        self._check_open()
        if not isinstance(call, Call):
            raise InvalidConfiguration(f"ask() takes a Call, such as Call('handler', query), not {call!r:.80}")
        call = call.owned()
        if self._answer is not None:
            return self._answer(call)
        response = self.handler(call.handler)(call.query, CancelToken())
        if inspect.iscoroutine(response):
            response.close()
            raise InvalidConfiguration(
                f"the handler {call.handler!r} is a coroutine function, and step() cannot await it; "
                f"use AsyncSpeculativeWrapper, which can (also without any guesser)"
            )
        return own_copy(response)

    def handler(self, name: str) -> Handler:
        """The handler called ``name``.

        Raises:
            UnknownHandler: No handler has that name; the message lists the handlers there are.
        """
        try:
            return self.handlers[name]
        except KeyError:
            known = ", ".join(sorted(self.handlers)) or "none"
            raise UnknownHandler(f"{type(self).__name__} has no handler {name!r}; it has: {known}") from None

    def answer_with(self, answer: Answer | None) -> None:
        """Have ``ask`` call ``answer`` instead of the handlers; ``None`` goes back to the handlers."""
        self._answer = answer

    def fork(self) -> Self:
        """An independent environment in the same state, random generator included.

        Works before ``reset`` too. Either may be closed first.

        Raises:
            EnvClosed: The environment was closed.
            NotForkable: An attribute cannot be copied; the message says which.
        """
        if self._shared is None:
            raise EnvClosed(f"{type(self).__name__} was closed and cannot be forked; make a new one")
        twin = object.__new__(type(self))
        changing = share_attributes(self, twin, _all_shared(self.shared_on_fork))
        if draws_from_spaces(type(self)):  # type: ignore[arg-type]  # mypy thinks that a class is not hashable
            changing += [("action_space", self.action_space), ("observation_space", self.observation_space)]
        if changing:
            copy_attributes(self, twin, changing)
        if (generator := self._np_random) is not None:
            twin._rng_snapshot, twin._np_random = snapshot(generator.bit_generator), None
        self._shared.join(self, twin)  # an unpickled environment has not joined yet
        return twin

    @property
    def np_random(self) -> np.random.Generator:
        """The environment's random generator; that of a fork continues from the state of its parent's."""
        if self._np_random is None and self._rng_snapshot is not None:
            # Built on first use: most forks never draw, and a generator costs more than the rest of a fork.
            self._np_random = np.random.Generator(restored(*self._rng_snapshot))
        return super().np_random

    @np_random.setter
    def np_random(self, value: np.random.Generator) -> None:
        self._np_random = value
        self._np_random_seed = -1

    def rng_state(self) -> Mapping[str, Any] | None:
        """The state of the random generator, for a ``fingerprint()``; ``None`` if there is no generator yet.

        Unlike ``np_random``, this does not create one.
        """
        if self._np_random is not None:
            return self._np_random.bit_generator.state
        return None if self._rng_snapshot is None else self._rng_snapshot.state

    def close(self) -> None:
        """Close the environment; handlers that it owns are closed with the last of its forks. Idempotent."""
        self._closed = True
        # The reference goes as well: a closed environment that somebody still holds must not keep the handlers open
        # when the last fork is dropped.
        shared, self._shared = vars(self).get("_shared"), None
        if shared is not None:
            shared.leave(self)

    def _check_open(self) -> None:
        if self._closed:
            raise closed(type(self).__name__)


def _check_handlers(handlers: object) -> None:
    if not isinstance(handlers, Mapping):
        raise InvalidConfiguration(f"handlers must be a mapping from names to handlers, not {handlers!r:.80}")
    for name in handlers:
        if not isinstance(name, str) or not name:
            raise InvalidConfiguration(f"handlers are named by a text, not by {name!r:.80}")
        if name == "policy":
            raise InvalidConfiguration(
                "no handler of an environment is named 'policy': that is the agent's own decision"
            )


class _Shared:
    """Handlers that an environment and all its forks own together."""

    def __init__(self, resources: list[Any]) -> None:
        self._users: weakref.WeakSet[CallEnv[Any, Any]] = weakref.WeakSet()
        # A fork that is dropped without close() leaves with the garbage collector; then this closes what is left.
        self._close = weakref.finalize(self, _close_all, resources, os.getpid())
        self._resources = resources

    def __reduce__(self) -> tuple[type[_Shared], tuple[list[Any]]]:
        return _Shared, (self._resources,)

    def join(self, *users: CallEnv[Any, Any]) -> None:
        if self._resources:  # without any, nobody has to know who is the last
            self._users.update(users)

    def leave(self, user: CallEnv[Any, Any]) -> None:
        self._users.discard(user)
        if not self._users:
            self._close()


def _close_all(resources: list[Any], process: int) -> None:
    if os.getpid() != process:  # after os.fork() they belong to the process before
        return
    with contextlib.ExitStack() as stack:  # closes all of them, also when one of them fails
        for resource in resources:
            close = getattr(resource, "close", None)
            if close is not None:
                stack.callback(close)


_SHARED_BY_ALL = frozenset(
    {
        "handlers",
        "action_space",
        "observation_space",
        "metadata",
        "spec",
        "_answer",
        "_shared",
        "_np_random",
        "_rng_snapshot",
    }
)


@functools.lru_cache(maxsize=1024)
def draws_from_spaces(kind: type[CallEnv[Any, Any]]) -> bool:
    """Whether the code of an environment samples from its own spaces, so that these are part of its state."""
    names = {
        name
        for base in kind.__mro__
        if base.__module__.partition(".")[0] not in ("spec_envs", "gymnasium", "builtins")
        for function in vars(base).values()
        if is_a(function, types.FunctionType)
        for name in function.__code__.co_names
    }
    return "sample" in names and not names.isdisjoint({"action_space", "observation_space"})


@functools.lru_cache(maxsize=1024)
def _all_shared(names: frozenset[str]) -> frozenset[str]:
    return _SHARED_BY_ALL | names
