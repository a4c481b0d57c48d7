"""The parameters of functions are those that ``inspect`` sees, however they are found."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from spec_envs.parameters import parameters_of, why_not_called


class _Guesser:
    def guess(self, call: Any, k: int, *, cancel: Any = None, early: Any) -> None: ...

    @classmethod
    def made(cls, query: Any, cancel: Any = None) -> None: ...

    @staticmethod
    def alone(query: Any, /, cancel: Any) -> None: ...

    def __call__(self, query: Any, cancel: Any) -> None: ...


async def _wrapped(query: Any, cancel: Any = None) -> None: ...


@functools.wraps(_wrapped)
def _wrapping(*arguments: Any, **options: Any) -> Any: ...


@pytest.mark.parametrize(
    "function",
    [
        _wrapped,
        _wrapping,
        _Guesser,
        _Guesser(),
        _Guesser().guess,
        _Guesser.guess,
        _Guesser.made,
        _Guesser.alone,
        functools.partial(_wrapped, cancel=1),
        lambda: None,
        lambda query, *rest, cancel=None, **options: None,
        lambda one, two=2, three=3, *, four, five=5: None,
    ],
    ids=lambda function: getattr(function, "__qualname__", type(function).__name__),
)
def test_parameters_are_those_that_inspect_sees(function: Callable[..., Any]) -> None:
    seen = inspect.signature(function).parameters
    found = parameters_of(function)
    assert list(found) == list(seen)
    for name, parameter in found.items():
        assert parameter.is_keyword_only == (seen[name].kind is inspect.Parameter.KEYWORD_ONLY)
        assert parameter.has_default == (seen[name].default is not inspect.Parameter.empty)
        assert parameter.takes_places == (seen[name].kind is inspect.Parameter.VAR_POSITIONAL)
        assert parameter.takes_names == (seen[name].kind is inspect.Parameter.VAR_KEYWORD)


def test_what_has_no_signature_has_no_parameters() -> None:
    assert parameters_of(min) == {}


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (_wrapped, None),
        (_wrapping, None),
        (_Guesser(), None),
        (_Guesser.alone, None),
        (min, None),
        (lambda *everything: None, None),
        (lambda query, *rest, **options: None, None),
        (lambda query, other=1: None, None),
        (lambda query, *, cancel: None, None),
        (lambda: None, "it has no parameter for the query"),
        (lambda **options: None, "it has no parameter for the query"),
        (
            lambda *, query: None,
            "it has no parameter for the query that is given by its place: 'query' can be given by name only",
        ),
        (lambda query, token: None, "nobody gives its parameter 'token' a value"),
        (lambda query, *rest, token: None, "nobody gives its parameter 'token' a value"),
        (functools.partial(_wrapped, 1), None),
        (functools.partial(lambda query, token: None, 1, 2), "it has no parameter for the query"),
    ],
    ids=range(16),
)
def test_what_cannot_be_called_says_why(function: Callable[..., Any], why: str | None) -> None:
    assert why_not_called(function, ("query",), ("cancel",)) == why


def test_all_places_have_a_parameter() -> None:
    assert why_not_called(_Guesser().guess, ("call", "number k"), ("cancel", "early")) is None
    assert why_not_called(lambda call: None, ("call", "number k")) == "it has no parameter for the number k"
