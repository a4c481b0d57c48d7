"""The parameters of functions are those that ``inspect`` sees, however they are found."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from spec_envs.parameters import parameters_of


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


def test_what_has_no_signature_has_no_parameters() -> None:
    assert parameters_of(min) == {}
