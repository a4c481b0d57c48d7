"""What a handler is, how the library calls it, and its token, which says whether to go on, and meters the cost."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import math
import threading
import time
import types
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from spec_envs.attributes import attribute_of
from spec_envs.calls import Effect, check_effect
from spec_envs.errors import CallCancelled, InvalidConfiguration
from spec_envs.parameters import known_parameters, parameters_of, why_not_filled
from spec_envs.pickling import NotPicklable
from spec_envs.usage import NOTHING, Spending, Usage, check_usage
from spec_envs.values import own_copy


class Handler(Protocol):
    """Answers the calls of one name: ``handler(query)``, or ``handler(query, cancel)``.

    Called from several threads at once; a coroutine function, on its event loop. It may have the attributes ``effect``
    (an ``Effect``: whether its calls may be made ahead of time), ``max_inflight`` (how many calls it takes at once),
    ``greatest_usage`` (``greatest_usage(query)`` returns the ``Usage`` that a call has at most; ``None``: unknown) and
    ``close``.
    """

    def __call__(self, query: Any, /, *_: Any, **options: Any) -> Any:
        """The response to ``query``.

        Args:
            query: All that the response may depend on, besides the outside world.
            **options: ``cancel``, the ``CancelToken`` of the call, for a handler that has a parameter of this name.
        """


class CancelToken(NotPicklable):
    """A handler's view of its own call: whether the response is still wanted, how to wait, and a meter of the cost.

    A handler need not use its token: it is only slower to stop then. This is the wall clock's; others are alike.
    """

    is_ahead: Callable[[], bool] = staticmethod(lambda: False)  # whether nobody waits for the response yet
    may_spend = True  # False: a guesser is asked for those guesses alone that cost nothing; see ``Guesser``
    _cancelled = False
    _event: threading.Event | None = None
    tell: Callable[[Any], None] = staticmethod(lambda part: None)  # for final parts of a response; a listener sets it

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._spent: list[Spending] = []

    @property
    def cancelled(self) -> bool:
        """Whether the response will be thrown away."""
        return self._cancelled

    def raise_if_cancelled(self) -> None:
        """Raise ``CallCancelled`` once the call has been cancelled."""
        if self._cancelled:
            raise CallCancelled

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, from another thread, when the call is cancelled; at once if it already is.

        With ``AsyncSpeculativeWrapper`` the callback is called on the event loop.
        """
        with self._lock:
            if not self._cancelled:
                self._callbacks.append(callback)
                return
        callback()

    def now(self) -> float:
        """The time on this call's clock, in seconds; only differences between two times mean something."""
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
        if spending is not None:
            check_usage(spending)
        spent = Spending(spending or NOTHING, self._now(), max(0.0, seconds))
        if spending is not None:
            self._spent.append(spent)
        try:
            yield
            self.raise_if_cancelled()
        finally:
            if self._cancelled:
                spent.until = self._now()  # the rest of it is never spent

    async def asleep(self, seconds: float, spending: Usage | None = None) -> None:
        """``sleep`` for coroutine functions. On an event loop's token the loop can do other work meanwhile.

        This class blocks its thread; so a coroutine that awaits nothing else can be run without an event loop.

        Raises:
            CallCancelled: The call was cancelled before or meanwhile; on an event loop ``asyncio.CancelledError``.
        """
        self.sleep(seconds, spending)

    def spend(self, usage: Usage) -> None:
        """Add ``usage`` to what this call has cost so far.

        Raises:
            InvalidConfiguration: ``usage`` is no ``Usage``.
        """
        check_usage(usage)
        self._spent.append(Spending(usage, self._now(), 0.0))

    def usage(self, at: float | None = None) -> tuple[Usage, Usage]:
        """The cost of the call up to the time ``at`` (default: now), and its cost if it runs to its end."""
        if not self._spent:
            return NOTHING, NOTHING
        now = self._metered_at() if at is None else at
        partial, full = NOTHING, NOTHING
        for spent in tuple(self._spent):
            partial, full = partial + spent.usage * spent.share(now), full + spent.usage
        return partial, full

    def cancel(self) -> None:
        """Tell the handler that its response is no longer wanted. Idempotent."""
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = True
            callbacks, self._callbacks = self._callbacks, []
            if self._event is not None:
                self._event.set()
        if len(callbacks) < 2:
            for callback in callbacks:
                callback()
            return
        with contextlib.ExitStack() as stack:  # calls all of them, also when one of them fails
            for callback in reversed(callbacks):
                stack.callback(callback)

    def _now(self) -> float:
        return time.monotonic()

    def _metered_at(self) -> float:
        """The time up to which ``usage`` counts, where it is not given one."""
        return self._now()

    def _wait(self, seconds: float) -> None:
        with self._lock:
            if self._cancelled:
                return
            self._event = self._event or threading.Event()
        self._event.wait(None if math.isinf(seconds) else seconds)


class TaskToken(CancelToken):
    """A token on an event loop's clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    @classmethod
    def here(cls) -> CancelToken:
        """Return a new token on the clock of the running event loop; on the wall clock where no loop runs."""
        loop = running_loop()
        return CancelToken() if loop is None else cls(loop)

    async def asleep(self, seconds: float, spending: Usage | None = None) -> None:
        """See ``CancelToken.asleep``; blocks on a worker thread, where a decorated plain handler runs."""
        if running_loop() is None:
            self.sleep(seconds, spending)
            return
        with self._sleeping(seconds, spending):
            if seconds == float("inf"):
                await self._loop.create_future()
            await asyncio.sleep(max(0.0, seconds))

    def _now(self) -> float:
        return self._loop.time()

    def _wait(self, seconds: float) -> None:
        if running_loop() is self._loop:
            raise InvalidConfiguration(
                "cancel.sleep() would stop the event loop; an async handler awaits asyncio.sleep() or cancel.asleep()"
            )
        super()._wait(seconds)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread, if any."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


Result = TypeVar("Result")


def as_handler(function: Handler) -> Handler:
    """``function`` as a handler that can be called as ``handler(query)`` and as ``handler(query, cancel)``.

    A function with no parameter named ``cancel`` is called with the query alone. The handler of a coroutine function is
    one too (``is_async``). It has the ``effect``, ``max_inflight`` and ``greatest_usage`` of ``function``, where that
    has them.

    A model with ``predict(observation, …) -> (action, state)``, as stable-baselines3 has them, is a handler as well,
    and so is its method ``predict``: the response is the action.

    Raises:
        InvalidConfiguration: ``function`` cannot be called with a query, is a class, or has an ``effect`` that is none.
    """
    if isinstance(function, type) and any({"__call__", "predict"} & vars(kind).keys() for kind in function.__mro__):
        raise InvalidConfiguration(
            f"a handler or a policy must be an object, not the class {function.__name__}: make one"
        )
    declared_effect("handler", function)
    predict = _predict_of(function)
    if predict is not None:
        return _Adapted(function, functools.partial(_action, predict))
    if not callable(function):
        raise InvalidConfiguration(f"a handler must be callable, and {function!r} is not")
    parameters = known_parameters(function)
    if (why := why_not_filled(parameters, ("query",), ("cancel",))) is not None:
        raise InvalidConfiguration(
            f"{function!r} cannot be called as a handler or a policy: {why}; it is called with the query (of a policy: "
            f"the observation), and with the call's token where it has a parameter named 'cancel'"
        )
    parameters = parameters or {}
    second = parameters["cancel"] if [*parameters][1:2] == ["cancel"] else None
    by_position = second is not None and not second.is_keyword_only
    if by_position and second is not None and second.has_default:
        return function
    return _Adapted(function, function, by_position, by_name=not by_position and "cancel" in parameters)


def answered(
    handler: Callable[..., Any], query: Any, cancel: CancelToken, begins: Callable[[], None] | None = None
) -> Any:
    """The response of ``handler``, to be awaited if the handler is awaited; handler and caller share no value.

    Whoever receives a query or a response may change it, and whoever returned it may go on using it. ``begins`` is
    called when the handler really begins: a coroutine begins when it is first awaited.

    Raises:
        NotCopyable: The query or the response can change and cannot be copied.
        Exception: Whatever the handler raises.
    """
    query = own_copy(query)
    if begins is not None and not is_async(handler):
        begins()
    response = handler(query, cancel)
    kind: Any = type(response)
    if _may_be_awaited(kind) and inspect.isawaitable(response):
        return _Awaited(response, begins)
    return own_copy(response)


@functools.lru_cache(maxsize=1024)  # asking a value itself takes as long as copying it
def _may_be_awaited(kind: type) -> bool:
    return issubclass(kind, (Awaitable, types.GeneratorType))


class _Awaited:
    """Gives a copy of what ``inner`` gives; closing it before it is awaited closes ``inner``."""

    def __init__(self, inner: Any, begins: Callable[[], None] | None) -> None:
        self._inner = inner
        self._begins = begins

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._begins is not None:
            self._begins()
        response = yield from self._inner.__await__()
        return own_copy(response)

    def close(self) -> None:
        """End a coroutine that has not begun."""
        if inspect.iscoroutine(self._inner):
            self._inner.close()


class _Adapted:
    """Calls ``function``, made from ``origin``, with the query, and with the token if it has a parameter for it."""

    def __init__(
        self, origin: Any, function: Callable[..., Any], by_position: bool = False, *, by_name: bool = False
    ) -> None:
        self._function = function
        self._by_position = by_position
        self._by_name = by_name
        self.is_async = is_async(function)
        self.unpriced = unpriced_model(function)
        self.greatest_usage = declared(origin, "greatest_usage")
        for name in ("effect", "max_inflight", "model_name"):
            if (value := attribute_of(origin, name)) is not None:
                setattr(self, name, value)

    def __call__(self, query: Any, cancel: CancelToken | None = None) -> Any:
        if not self._by_position and not self._by_name:
            return self._function(query)
        if cancel is None:
            if self.is_async:
                return self._on_loop(query)
            cancel = CancelToken()
        return self._function(query, cancel) if self._by_position else self._function(query, cancel=cancel)

    async def _on_loop(self, query: Any) -> Any:
        return await self(query, TaskToken.here())


def _predict_of(policy: Any) -> Callable[..., Any] | None:
    """Return the method of a model that returns an action and a state; ``None`` if ``policy`` is another callable."""
    predict = policy if attribute_of(policy, "__name__") == "predict" else attribute_of(policy, "predict")
    if not callable(predict) or is_async(predict):
        return None
    returns_state = not parameters_of(predict).keys().isdisjoint({"state", "episode_start", "deterministic"})
    return predict if returns_state or not callable(policy) else None


def _action(predict: Callable[..., Any], observation: Any) -> Any:
    action = predict(observation)
    if isinstance(action, tuple):
        if len(action) != 2 or action[1] is not None:
            raise InvalidConfiguration(
                f"{predict!r} returned {action!r}, and a policy's predict() must return (action, None): a policy is a "
                f"function of the observation. Give a model that keeps a state as a callable object with fork()"
            )
        action = action[0]
    is_number = isinstance(action, np.ndarray) and action.shape == () and action.dtype.kind in "iu"
    return action[()] if is_number else action


def as_guess(guess: Callable[..., Result]) -> Callable[..., Result]:
    """A guesser's ``guess`` as ``guess(call, k, cancel, early)``: it gets of the last two what it has parameters for.

    So does ``prefetch(situation, k)`` of a ``Prefetcher``. What a coroutine function returns is still to be awaited.
    """
    accepted = sorted({"cancel", "early"} & parameters_of(guess).keys())
    return functools.partial(_guessed, guess, accepted) if accepted else functools.partial(_guessed_simply, guess)


def _guessed_simply(
    guess: Callable[..., Result], call: Any, k: int, cancel: object = None, early: object = None
) -> Result:
    return guess(call, k)


def _guessed(
    guess: Callable[..., Result],
    accepted: list[str],
    call: Any,
    k: int,
    cancel: CancelToken | None = None,
    early: Callable[[Any], None] = lambda guesses: None,
) -> Result:
    available = {"cancel": CancelToken() if cancel is None else cancel, "early": early}
    return guess(call, k, **{name: available[name] for name in accepted})


def declared_effect(what: str, handler: object) -> Effect | None:
    """The ``effect`` of ``handler``, the argument ``what``, if it has one; or ``InvalidConfiguration``."""
    effect = attribute_of(handler, "effect")
    if effect is None:
        return None
    check_effect(f"effect of the {what} {attribute_of(handler, '__name__', type(handler).__name__)}", effect)
    return cast(Effect, effect)


def unpriced_model(function: object) -> str | None:
    """The name of the model that ``function`` calls, if the price of its tokens is unknown: its ``unpriced``."""
    unpriced = declared(function, "unpriced")
    return unpriced if isinstance(unpriced, str) else None


def greatest_usage(function: object, query: Any) -> Usage | None:
    """What a call of ``function`` uses at most, by its ``greatest_usage``; ``None``: unknown.

    Unknown, too, where ``greatest_usage`` raises: the query may come from a wrong guess.
    """
    most = declared(function, "greatest_usage")
    try:
        usage = None if most is None else most(query)
    except Exception:
        return None
    return usage if isinstance(usage, Usage) else None


def declared(function: object, name: str) -> Any:
    """The attribute ``name`` of ``function``, or of the object whose method it is."""
    return attribute_of(function, name) or attribute_of(attribute_of(function, "__self__"), name)


def is_async(function: Any) -> bool:
    """Whether calling ``function`` gives a coroutine, which an event loop has to run.

    Its ``is_async`` says so, if that is a bool; otherwise it is, or its ``__call__`` is, a coroutine function.
    """
    declared = attribute_of(function, "is_async")
    if isinstance(declared, bool):
        return declared
    call = getattr(type(function), "__call__", None)  # noqa: B004  (what it is, not whether)
    return _is_coroutine_function(function) or _is_coroutine_function(call)


def _is_coroutine_function(function: Any) -> bool:
    try:
        return inspect.iscoroutinefunction(function)
    except Exception:  # an object that raises when an attribute is read
        return False
