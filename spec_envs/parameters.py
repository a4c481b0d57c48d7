"""The parameters of functions, read from their code: ``inspect.signature`` takes as long as to make a wrapper."""

import contextlib
import functools
import inspect
import types
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NamedTuple

from spec_envs.attributes import attribute_of

#: Of a function that takes any number of arguments, by place or by name.
_TAKES_MORE = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


class Parameter(NamedTuple):
    """What one parameter is like."""

    is_keyword_only: bool
    has_default: bool
    takes_places: bool = False  # ``*args``
    takes_names: bool = False  # ``**options``


def parameters_of(function: Callable[..., Any]) -> dict[str, Parameter]:
    """The parameters of ``function`` by name, in order; none for builtins without a signature."""
    return known_parameters(function) or {}


def why_not_called(function: Callable[..., Any], places: Sequence[str], by_name: Container[str] = ()) -> str | None:
    """Why ``function`` cannot be called so, as ``why_not_filled`` says it of its parameters."""
    return why_not_filled(known_parameters(function), places, by_name)


def why_not_filled(
    found: Mapping[str, Parameter] | None, places: Sequence[str], by_name: Container[str] = ()
) -> str | None:
    """Why a function with the parameters ``found`` cannot be called so; ``None``: it can, or they are not known.

    Args:
        found: What ``known_parameters`` has returned.
        places: What each argument that is given by its place is.
        by_name: The names of the arguments that are given where there are parameters of these names.
    """
    if found is None:
        return None
    single = {name: each for name, each in found.items() if not each.takes_places and not each.takes_names}
    by_place = [name for name, each in single.items() if not each.is_keyword_only]
    if len(by_place) < len(places) and not any(each.takes_places for each in found.values()):
        named = [name for name, each in single.items() if each.is_keyword_only and not each.has_default]
        hint = f" that is given by its place: {named[0]!r} can be given by name only" if named else ""
        return f"it has no parameter for the {places[len(by_place)]}{hint}"
    for name, each in single.items():
        if name not in by_place[: len(places)] and not each.has_default and name not in by_name:
            return f"nobody gives its parameter {name!r} a value"
    return None


def known_parameters(function: Callable[..., Any]) -> dict[str, Parameter] | None:
    """The parameters of ``function``, as ``parameters_of``; ``None`` for builtins without a signature."""
    plain = _function_of(function)
    is_bound = plain is not function
    # What is in its dict may say that it wraps another function, or has another signature.
    if type(plain) is types.FunctionType and not plain.__dict__ and not plain.__code__.co_flags & _TAKES_MORE:
        found = _in_code(plain.__code__, len(plain.__defaults__ or ()), frozenset(plain.__kwdefaults__ or ()))
        return dict(found[is_bound:])
    with contextlib.suppress(Exception):  # some builtins have no signature, and some objects raise anything
        each = inspect.signature(function).parameters.values()
        return {
            one.name: Parameter(
                one.kind is one.KEYWORD_ONLY,
                one.default is not one.empty,
                one.kind is one.VAR_POSITIONAL,
                one.kind is one.VAR_KEYWORD,
            )
            for one in each
        }
    return None


def _function_of(function: Callable[..., Any]) -> Any:
    """The function that a method, or an object that is called, runs; ``function`` itself where that is not plain."""
    if isinstance(function, types.MethodType):
        return function.__func__
    call: Any = getattr(type(function), "__call__", None)  # noqa: B004  (what it is, not whether)
    is_own = type(call) is types.FunctionType and not isinstance(function, type)
    says_more = any(attribute_of(function, name) is not None for name in ("__wrapped__", "__signature__"))
    return call if is_own and not says_more else function


@functools.lru_cache(maxsize=256)  # each wrapper asks for the same functions again
def _in_code(code: types.CodeType, num_defaults: int, by_name: frozenset[str]) -> Sequence[tuple[str, Parameter]]:
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    first = code.co_argcount - num_defaults  # the number of the first one with a default
    found = [(name, Parameter(False, i >= first)) for i, name in enumerate(names[: code.co_argcount])]
    return [*found, *((name, Parameter(True, name in by_name)) for name in names[code.co_argcount :])]
