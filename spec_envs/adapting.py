"""How the library calls the functions that users give it: with the options that these have parameters for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from spec_envs.calls import Effect
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import CancelToken, Handler, TaskToken

Result = TypeVar("Result")


def as_handler(function: Handler) -> Handler:
    """``function`` as a handler that can be called as ``handler(query)`` and as ``handler(query, cancel)``.

    A function with no parameter named ``cancel`` is called with the query alone. The handler of a coroutine function is
    one too (``is_async``). It has the ``effect`` and the ``max_inflight`` of ``function``, where that has them.

    A model with ``predict(observation, …) -> (action, state)``, as stable-baselines3 has them, is a handler as well,
    and so is its method ``predict``: the response is the action.

    Raises:
        InvalidConfiguration: ``function`` cannot be called.
    """
    predict = _predict_of(function)
    if predict is not None:
        return _Adapted(function, lambda query: _action(predict, query))
    if not callable(function):
        raise InvalidConfiguration(f"a handler must be callable, and {function!r} is not")
    parameters = list(_parameters(function).values())[:2]
    second = parameters[1] if len(parameters) == 2 and parameters[1].name == "cancel" else None
    by_position = second is not None and second.kind is not inspect.Parameter.KEYWORD_ONLY
    if by_position and second is not None and second.default is not inspect.Parameter.empty:
        return function
    return _Adapted(function, function, by_position)


class _Adapted:
    """Calls ``function``, made from ``origin``, with the query, and with the token if it has a parameter for it."""

    def __init__(self, origin: Any, function: Callable[..., Any], by_position: bool = False) -> None:
        self._function = function
        self._by_position = by_position
        self._by_name = not by_position and "cancel" in _parameters(function)
        self.is_async = is_async(function)
        for name in ("effect", "max_inflight"):
            if (declared := getattr(origin, name, None)) is not None:
                setattr(self, name, declared)

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
    predict = policy if getattr(policy, "__name__", None) == "predict" else getattr(policy, "predict", None)
    if not callable(predict) or is_async(predict):
        return None
    returns_state = not _parameters(predict).keys().isdisjoint({"state", "episode_start", "deterministic"})
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
