"""What an episode waits for, as data: calls, guesses of their responses, and what they cost.

A ``Call`` names a handler and a query. Its response depends on the query and the outside world alone, never on hidden
state of the environment or of the handler; that is what makes it safe to run a call on another thread, on a branch, or
ahead of time. Nothing here knows environments, trees or runtimes.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import enum
import inspect
import math
import pickle
import threading
import time
import types
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol, runtime_checkable

import numpy as np

from spec_envs.errors import CallCancelled, InvalidConfiguration

__all__ = [
    "AsyncGuesser",
    "Call",
    "CancelToken",
    "Effect",
    "Guess",
    "Guesser",
    "Handler",
    "Usage",
    "as_handler",
    "is_async",
    "key_of",
]


class Effect(enum.Enum):
    """May a call be made speculatively?

    ``READ``: yes, and equal calls may share one execution. ``SAMPLE``: yes, but each committed step has a draw of its
    own (a language model). ``WRITE``: no, only when the episode has really come to it (an order, asking a person).
    The response of any call may be guessed.
    """

    READ = "read"
    SAMPLE = "sample"
    WRITE = "write"


def same(one: Any, other: Any) -> bool:
    """Whether nothing that comes later can tell the two values apart: whether their keys are equal."""
    kind = type(one)
    if one is other:
        return True
    if kind is str and type(other) is str:
        return bool(one == other)
    if kind is dict and type(other) is dict:  # observations; no need to build the keys of all that they hold
        return len(one) == len(other) and all(
            same(name, name_there) and same(value, there)
            for (name, value), (name_there, there) in zip(one.items(), other.items(), strict=True)
        )
    return bool(key_of(one) == key_of(other))


def own_copy(value: Any) -> Any:
    """``value`` for a receiver that may change it: a copy where it is a list, a dict, a set, a bytearray or an array.

    A response is used again: by a step that is run again, on other branches, for equal ``READ`` calls.
    """
    if type(value) not in _CHANGEABLE:
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # it holds what cannot be copied
        return value


_CHANGEABLE = frozenset({list, dict, set, bytearray, np.ndarray})


def key_of(value: Any) -> Hashable:
    """An immutable key of ``value``: two values with equal keys cannot be told apart by what comes later.

    Types count (``1``, ``1.0`` and ``True`` differ), so does the order of a mapping, and arrays count with dtype and
    shape. NaN is equal to itself. Fields of a dataclass that it does not compare do not count. A class that defines
    ``__eq__`` and ``__hash__`` itself is taken at its word.

    Raises:
        TypeError: ``value`` holds an object that is neither hashable nor picklable.
    """
    kind = type(value)
    if kind is str or value is None or kind is bytes:
        return value  # type: ignore[no-any-return]
    if kind is float:
        return ("float", value.hex())
    if kind is int or kind is bool:
        return (kind.__name__, value)
    if kind is tuple or kind is list:
        return (kind.__name__, *map(key_of, value))
    if kind is np.ndarray:
        content = key_of(value.tolist()) if value.dtype.hasobject else value.tobytes()
        return ("array", _dtype_name(value.dtype), value.shape, content)
    if isinstance(value, np.generic):
        return (kind.__name__, _dtype_name(value.dtype), value.tobytes())
    if isinstance(value, enum.Enum):
        # A combination of flags need not have a name.
        return (_name(kind), value.name if value.name is not None else key_of(value.value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and not _hashes_by_own_rule(kind):
        fields = (field for field in dataclasses.fields(value) if field.compare)
        return (_name(kind), *(key_of(getattr(value, field.name)) for field in fields))
    if isinstance(value, Mapping):
        return (_name(kind), *((key_of(k), key_of(v)) for k, v in value.items()))
    if isinstance(value, AbstractSet):
        return (_name(kind), frozenset(key_of(item) for item in value))
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, range)):
        return (_name(kind), *map(key_of, value))
    return _key_of_object(value)


def _name(kind: type) -> str:
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return dtype.str if dtype.fields is None else str(dtype.descr)


def _hashes_by_value(kind: type) -> bool:
    return getattr(kind, "__hash__", None) not in (None, object.__hash__)


def _hashes_by_own_rule(kind: type) -> bool:
    # The methods that @dataclass makes do not count as one: they would take 1, 1.0 and True for equal.
    methods = (getattr(kind, "__hash__", None), kind.__eq__)
    return _hashes_by_value(kind) and not all(
        isinstance(method, types.FunctionType) and method.__code__.co_filename == "<string>" for method in methods
    )


def _key_of_object(value: Any) -> Hashable:
    kind = type(value)
    if _hashes_by_value(kind):
        try:
            hash(value)
            return (_name(kind), value)
        except TypeError:  # it holds something that cannot be hashed
            pass
    try:
        return (_name(kind), pickle.dumps(value, protocol=5))
    except Exception as error:
        raise TypeError(
            f"{value!r} of type {kind.__name__} can be neither hashed nor pickled, so a call cannot be compared by it; "
            f"give the class __eq__ and __hash__"
        ) from error


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A request to a named handler. Compared, and hashed, by handler and key of the query.

    Args:
        handler: Name of the handler in ``env.handlers``; ``"policy"`` is the agent's own decision.
        query: All that the response may depend on, besides the outside world. Picklable, never changed afterwards.
        effect: Whether the call may be made ahead of time.
        touches: The part of the outside world that the call reads or changes. A ``WRITE`` makes the results of
            earlier ``READ`` calls on the same part stale, and ``READ`` calls behind it wait for it. ``None`` means
            everything.
    """

    handler: str
    query: Any
    effect: Effect = Effect.SAMPLE
    touches: str | None = None
    _key: list[Hashable] = dataclasses.field(default_factory=list, init=False, repr=False)

    @property
    def key(self) -> Hashable:
        """The handler's name and the key of the query; computed once."""
        if not self._key:
            self._key.append((self.handler, key_of(self.query)))
        return self._key[0]

    def conflicts(self, other: Call) -> bool:
        """Whether the two calls may touch the same part of the outside world."""
        return self.touches is None or other.touches is None or self.touches == other.touches

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Call) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)


@dataclasses.dataclass(frozen=True, slots=True)
class Guess:
    """A possible response to a call, with the probability (0 to 1) that it is the one."""

    response: Any
    probability: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise InvalidConfiguration(f"probability of a guess must lie in [0, 1], not {self.probability!r}")
        if type(self.probability) is not float:
            object.__setattr__(self, "probability", float(self.probability))


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """What a call costs: tokens read, tokens written, and money (in the currency of your price table)."""

    tokens_in: float = 0
    tokens_out: float = 0
    money: float = 0.0

    @property
    def tokens(self) -> float:
        """Tokens read and written."""
        return self.tokens_in + self.tokens_out

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out, self.money + other.money)

    def __mul__(self, share: float) -> Usage:
        return Usage(self.tokens_in * share, self.tokens_out * share, self.money * share)

    def __bool__(self) -> bool:
        return bool(self.tokens_in or self.tokens_out or self.money)


@dataclasses.dataclass(slots=True)
class _Spending:
    """A cost that arises evenly between ``start`` and ``start + seconds``, unless it ends at ``until``."""

    usage: Usage
    start: float
    seconds: float
    until: float = math.inf

    def share(self, now: float) -> float:
        """The share of the cost that has arisen by ``now``."""
        passed = min(now, self.until) - self.start
        if passed >= self.seconds:
            return 1.0
        return max(0.0, passed / self.seconds) if self.seconds else 0.0


class CancelToken:
    """A handler's view of its own call: whether anybody still waits for it, how to wait, and a meter.

    Everything is optional: a handler that never looks at its token is correct, only slower to stop. This class lives
    on the wall clock; the simulation runtime has one with the same methods on its own clock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event: threading.Event | None = None
        self._cancelled = False
        self._callbacks: list[Callable[[], None]] = []
        self._spent: list[_Spending] = []

    @property
    def cancelled(self) -> bool:
        """Whether the response will be thrown away."""
        return self._cancelled

    def raise_if_cancelled(self) -> None:
        """Raise ``CallCancelled`` once the call has been cancelled."""
        if self._cancelled:
            raise CallCancelled

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called once, from another thread, when the call is cancelled; now, if it already is.

        With ``AsyncSpeculativeWrapper`` it is called on the event loop.
        """
        with self._lock:
            if not self._cancelled:
                self._callbacks.append(callback)
                return
        callback()

    def now(self) -> float:
        """The time on this call's clock, in seconds; only differences mean something."""
        return self._now()

    def sleep(self, seconds: float, spending: Usage | None = None) -> None:
        """Wait for ``seconds``, spending ``spending`` evenly over that time.

        Raises:
            CallCancelled: The call was cancelled before or meanwhile.
        """
        with self._sleeping(seconds, spending):
            if seconds > 0:
                self._wait(seconds)

    @contextlib.contextmanager
    def _sleeping(self, seconds: float, spending: Usage | None) -> Iterator[None]:
        self.raise_if_cancelled()
        spent = _Spending(spending or Usage(), self._now(), max(0.0, seconds))
        if spending is not None:
            self._spent.append(spent)
        try:
            yield
            self.raise_if_cancelled()
        finally:
            if self._cancelled:
                spent.until = self._now()  # the rest of it is never spent

    async def asleep(self, seconds: float, spending: Usage | None = None) -> None:
        """``sleep`` for async handlers: on an event loop's token it leaves the loop to others meanwhile.

        This class belongs to a thread of its own, and blocks it; so what awaits nothing else can be driven without a
        loop.

        Raises:
            CallCancelled: The call was cancelled before or meanwhile; on an event loop ``asyncio.CancelledError``.
        """
        self.sleep(seconds, spending)

    def spend(self, usage: Usage) -> None:
        """Add ``usage`` to what this call has cost so far."""
        self._spent.append(_Spending(usage, self._now(), 0.0))

    def usage(self, at: float | None = None) -> tuple[Usage, Usage]:
        """What the call had cost by the time ``at`` (default: now), and what it costs when it runs to its end."""
        now = self._now() if at is None else at
        partial, full = Usage(), Usage()
        for spent in tuple(self._spent):
            partial, full = partial + spent.usage * spent.share(now), full + spent.usage
        return partial, full

    def cancel(self) -> None:
        """Tell the handler that its response is not wanted any more. Idempotent."""
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = True
            callbacks, self._callbacks = self._callbacks, []
            if self._event is not None:
                self._event.set()
        with contextlib.ExitStack() as stack:  # calls all of them, also when one of them fails
            for callback in reversed(callbacks):
                stack.callback(callback)

    def _now(self) -> float:
        return time.monotonic()

    def _wait(self, seconds: float) -> None:
        with self._lock:
            if self._cancelled:
                return
            self._event = self._event or threading.Event()
        self._event.wait(None if math.isinf(seconds) else seconds)


@runtime_checkable
class Handler(Protocol):
    """Answers the calls of one name. Called from several threads at once; a coroutine function, on its event loop."""

    def __call__(self, query: Any, cancel: CancelToken) -> Any:
        """The response to ``query``."""


class Guesser(Protocol):
    """Predicts responses: fast, cheap, often free, and allowed to be wrong, slow or broken.

    ``guess`` runs beside the episode, on any thread. A guesser may also have ``observe(call, response)``, called in
    order with what really happened, and learn from it.
    """

    @property
    def guess(self) -> Callable[..., Sequence[Guess]]:
        """``guess(call, k)``: at most ``k`` guesses of the response.

        A parameter named ``cancel`` gets the token. One named ``early`` gets a function, to be called with the guesses
        so far by a guesser that has some long before the others: they are used at once, and what ``guess`` returns
        takes their place.
        """


class AsyncGuesser(Protocol):
    """A guesser that lives on an event loop, for ``AsyncSpeculativeWrapper``: everything of it is called there.

    So its ``observe``, if it has one, is a plain function that returns at once.
    """

    @property
    def guess(self) -> Callable[..., Awaitable[Sequence[Guess]]]:
        """A coroutine function, otherwise like ``Guesser.guess``."""


def as_handler(function: Callable[..., Any]) -> Handler:
    """``function`` as a handler: a callable with no parameter named ``cancel`` is called with the query alone.

    The handler of a coroutine function is one too (``is_async``). It has the ``effect`` and the ``max_inflight`` of
    ``function``, where that has them.

    Raises:
        InvalidConfiguration: ``function`` cannot be called.
    """
    if not callable(function):
        raise InvalidConfiguration(f"a handler must be callable, and {function!r} is not")
    names = list(_parameters(function))
    if names[1:2] == ["cancel"] and _parameters(function)["cancel"].kind is not inspect.Parameter.KEYWORD_ONLY:
        return function
    handler: Any
    if is_async(function):
        handler = _as_async_handler(function, "cancel" in names)
    elif "cancel" in names:
        handler = lambda query, cancel: function(query, cancel=cancel)  # noqa: E731
    else:
        handler = lambda query, cancel: function(query)  # noqa: E731
    for name in ("effect", "max_inflight"):
        if (declared := getattr(function, name, None)) is not None:
            setattr(handler, name, declared)
    return handler  # type: ignore[no-any-return]


def _as_async_handler(function: Callable[..., Any], with_cancel: bool) -> Handler:
    async def handler(query: Any, cancel: CancelToken) -> Any:
        return await (function(query, cancel=cancel) if with_cancel else function(query))

    return handler


def declared_effect(what: str, handler: object) -> Effect | None:
    """The attribute ``effect`` of ``handler``, which is ``what`` to the user; ``None`` where it has none.

    Raises:
        InvalidConfiguration: It is no ``Effect``.
    """
    effect = getattr(handler, "effect", None)
    if effect is not None and not isinstance(effect, Effect):
        raise InvalidConfiguration(f"effect of {what}={handler!r} must be an Effect, not {effect!r}")
    return effect


def is_async(function: Any) -> bool:
    """Whether calling ``function`` gives a coroutine, which an event loop has to run.

    So it is for coroutine functions, for objects whose ``__call__`` is one, and for what says so by an attribute
    ``is_async``.
    """
    declared = getattr(function, "is_async", None)
    if isinstance(declared, bool):
        return declared
    call = getattr(type(function), "__call__", None)  # noqa: B004  (what it is, not whether)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def as_guess(guess: Callable[..., Any]) -> Callable[..., Any]:
    """A guesser's ``guess`` as ``guess(call, k, cancel, early)``: it gets of the last two what it has parameters for.

    What a coroutine function returns is still to be awaited.
    """
    accepted = [name for name in ("cancel", "early") if name in _parameters(guess)]

    def ask(call: Any, k: int, cancel: CancelToken, early: Callable[[Any], None] = lambda guesses: None) -> Any:
        available = {"cancel": cancel, "early": early}
        return guess(call, k, **{name: available[name] for name in accepted})

    return ask


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # some builtins have no signature
        return {}
