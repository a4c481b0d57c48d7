"""How the library calls the functions that users give it: with the options that these have parameters for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from spec_envs.calls import Effect
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import CancelToken, Handler

Result = TypeVar("Result")


def as_handler(function: Handler) -> Handler:
    """``function`` as a handler that can be called as ``handler(query)`` and as ``handler(query, cancel)``.

    A function with no parameter named ``cancel`` is called with the query alone. The handler of a coroutine function is
    one too (``is_async``). It has the ``effect`` and the ``max_inflight`` of ``function``, where that has them.

    Raises:
        InvalidConfiguration: ``function`` cannot be called.
    """
    if not callable(function):
        raise InvalidConfiguration(f"a handler must be callable, and {function!r} is not")
    parameters = list(_parameters(function).values())[:2]
    second = parameters[1] if len(parameters) == 2 and parameters[1].name == "cancel" else None
    by_position = second is not None and second.kind is not inspect.Parameter.KEYWORD_ONLY
    if by_position and second is not None and second.default is not inspect.Parameter.empty:
        return function
    return _Adapted(function, by_position)


class _Adapted:
    """Calls ``function`` with the query, and with the token if it has a parameter for it."""

    def __init__(self, function: Callable[..., Any], by_position: bool) -> None:
        self._function = function
        self._by_position = by_position
        self._by_name = not by_position and "cancel" in _parameters(function)
        self.is_async = is_async(function)
        self.unpriced = unpriced_model(function)
        for name in ("effect", "max_inflight"):
            if (declared := getattr(function, name, None)) is not None:
                setattr(self, name, declared)

    def __call__(self, query: Any, cancel: CancelToken | None = None) -> Any:
        if self._by_position:
            return self._function(query, CancelToken() if cancel is None else cancel)
        if self._by_name:
            return self._function(query, cancel=CancelToken() if cancel is None else cancel)
        return self._function(query)


def as_guess(guess: Callable[..., Result]) -> Callable[..., Result]:
    """A guesser's ``guess`` as ``guess(call, k, cancel, early)``: it gets of the last two what it has parameters for.

    So does ``prefetch(situation, k)`` of a ``Prefetcher``. What a coroutine function returns is still to be awaited.
    """
    accepted = [name for name in ("cancel", "early") if name in _parameters(guess)]

    def adapted(
        call: Any, k: int, cancel: CancelToken | None = None, early: Callable[[Any], None] = lambda guesses: None
    ) -> Result:
        available = {"cancel": CancelToken() if cancel is None else cancel, "early": early}
        return guess(call, k, **{name: available[name] for name in accepted})

    return adapted


def declared_effect(what: str, handler: object) -> Effect | None:
    """The attribute ``effect`` of ``handler``, which is the argument ``what``; ``None`` if it has no such attribute.

    Raises:
        InvalidConfiguration: The attribute is not an ``Effect``.
    """
    effect = getattr(handler, "effect", None)
    if effect is not None and not isinstance(effect, Effect):
        raise InvalidConfiguration(f"effect of {what}={handler!r} must be an Effect, not {effect!r}")
    return effect


def unpriced_model(function: object) -> str | None:
    """The name of the model that ``function`` calls, if the price of its tokens is unknown: its ``unpriced``."""
    unpriced = getattr(function, "unpriced", None) or getattr(getattr(function, "__self__", None), "unpriced", None)
    return unpriced if isinstance(unpriced, str) else None


def is_async(function: Any) -> bool:
    """Whether calling ``function`` gives a coroutine, which an event loop has to run.

    True for coroutine functions, for objects whose ``__call__`` is one, and for objects with a true attribute
    ``is_async``.
    """
    declared = getattr(function, "is_async", None)
    if isinstance(declared, bool):
        return declared
    call = getattr(type(function), "__call__", None)  # noqa: B004  (what it is, not whether)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # some builtins have no signature
        return {}
