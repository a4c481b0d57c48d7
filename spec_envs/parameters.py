"""The parameters of functions, read from their code: ``inspect.signature`` takes as long as to make a wrapper."""

import contextlib
import inspect
import types
from collections.abc import Callable
from typing import Any, NamedTuple

#: Of a function that takes any number of arguments, by place or by name.
_TAKES_MORE = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


class Parameter(NamedTuple):
    """What one parameter is like."""

    is_keyword_only: bool
    has_default: bool


def parameters_of(function: Callable[..., Any]) -> dict[str, Parameter]:
    """The parameters of ``function`` by name, in order; none for builtins without a signature."""
    is_bound = isinstance(function, types.MethodType)
    plain = function.__func__ if isinstance(function, types.MethodType) else function
    # What is in its dict may say that it wraps another function, or has another signature.
    if type(plain) is types.FunctionType and not plain.__dict__ and not plain.__code__.co_flags & _TAKES_MORE:
        found = _in_code_of(plain)
        if is_bound:
            found.pop(next(iter(found), ""), None)
        return found
    with contextlib.suppress(TypeError, ValueError):  # some builtins have no signature
        each = inspect.signature(function).parameters.values()
        return {one.name: Parameter(one.kind is one.KEYWORD_ONLY, one.default is not one.empty) for one in each}
    return {}


def _in_code_of(function: types.FunctionType) -> dict[str, Parameter]:
    code, by_name = function.__code__, function.__kwdefaults__ or {}
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    first = code.co_argcount - len(function.__defaults__ or ())  # the number of the first one with a default
    found = {name: Parameter(False, i >= first) for i, name in enumerate(names[: code.co_argcount])}
    return found | {name: Parameter(True, name in by_name) for name in names[code.co_argcount :]}
