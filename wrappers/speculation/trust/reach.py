"""What policies and handlers use beside their query: the environment itself, and variables of the thread.

A policy is also called ahead of time, on other threads, while the environment is in another state. An attribute of the
environment or a variable of the thread then has another value than in the plain loop, and no comparison would show it.
"""

import functools
import threading
import types
from collections.abc import Container, Iterable, Iterator
from typing import Any

import gymnasium as gym

from spec_envs.attributes import attributes_in, defines, is_a
from spec_envs.forking.kinds import is_constant
from spec_envs.functions import contents_of
from spec_envs.handling import is_async
from spec_envs.immutable import ATOMS
from spec_envs.wrappers.speculation.transitions import AnyEnv
from spec_envs.wrappers.speculation.trust.code_names import codes_in, set_by, uses_in
from spec_envs.wrappers.speculation.trust.outside import is_foreign, layers_in

#: How many objects are looked at, and of how many items of a list or dict.
_MOST_OBJECTS, _MOST_ITEMS = 300, 50
#: Of settings; other objects may be resources of one thread each.
_PLAIN = frozenset({bool, int, float, complex, str, bytes})
#: What an environment shows that does not change in an episode.
_CONSTANT = frozenset({"action_space", "observation_space", "spec", "metadata", "reward_range", "render_mode"})


def reasons_against(env: AnyEnv, callables: Iterable[tuple[str, Any]], *, on_threads: bool) -> Iterator[str]:
    """Why some of ``callables`` (name and function) may answer differently ahead of time than in the plain loop.

    Args:
        env: The environment.
        callables: The policy and the handlers.
        on_threads: Whether they are called on other threads.
    """
    layers = {id(layer) for layer in layers_in(env)}
    for name, function in callables:
        on_worker = on_threads and not is_async(function)
        found, codes = _reached(function)
        for value in found:
            if name == "policy" and id(value) in layers:
                yield (
                    f"the policy looks at {value} itself, which is in another state when the policy is called ahead of "
                    f"time, and is replaced where forks make its steps; let it depend on its observation alone (what "
                    f"never changes in an episode can be taken out of the environment when the policy is made)"
                )
                break
            if on_worker and isinstance(value, threading.local) and (names := _plain_names(value, codes)):
                yield (
                    f"{name!r} uses variables of the thread ({', '.join(names)}), which calls ahead of time on other "
                    f"threads do not have; use a context variable (contextvars)"
                )
                break


def _plain_names(local: threading.local, codes: Iterable[types.CodeType]) -> list[str]:
    """The variables that are settings, less resources of single threads, which the code makes itself."""
    made = {name for code in codes for name in set_by(code)}
    return [name for name, value in vars(local).items() if type(value) in _PLAIN and name not in made]


def _reached(start: Any) -> tuple[list[Any], set[types.CodeType]]:
    """The environments and thread variables that ``start`` is seen to use, and the code that ``start`` calls.

    Where there are any, only methods count whose name is in code that is called: a model may learn in its environment.
    """
    codes = set[types.CodeType]()
    found = list(_walk(start, None, codes))
    known, called = -1, set[str]()
    is_any = bool(found)
    while is_any and len(called) > known:
        known, codes = len(called), set()
        found = list(_walk(start, called, codes))
        called |= {name for code in codes for name in code.co_names}
    return found, codes


def _walk(start: Any, called: Container[str] | None, codes: set[types.CodeType]) -> Iterator[Any]:
    """The objects that ``start`` uses if methods in ``called`` are called (``None``: all); adds code to ``codes``."""
    todo, seen = [start], set[int]()
    while todo and len(seen) < _MOST_OBJECTS:
        value = todo.pop()
        if id(value) in seen or type(value) in ATOMS:
            continue
        seen.add(id(value))
        if is_a(value, (gym.Env, threading.local)):
            yield value
        elif is_a(value, types.FunctionType):
            todo += [] if is_foreign(value) and not value.__closure__ else _used_by(value, codes)
        elif is_a(value, types.MethodType):
            todo += [value.__self__, value.__func__]
        elif is_a(value, functools.partial):
            todo += [value.func, *value.args, *value.keywords.values()]
        elif type(value) in (list, tuple, dict):
            items = value.values() if isinstance(value, dict) else value
            todo += [item for item, _ in zip(items, range(_MOST_ITEMS), strict=False)]
        elif not is_a(value, (type, types.ModuleType, gym.Space)) and not defines(value, "predict"):
            todo += _held_by(value, called, codes)


def _held_by(value: Any, called: Container[str] | None, codes: set[types.CodeType]) -> list[Any]:
    """The attributes of an object, less environments of which the methods use only constant attributes."""
    found: dict[str, Any] = {}
    for kind in type(value).__mro__:
        if not is_foreign(kind):
            found = {**vars(kind), **found}  # what a class defines hides what its bases do
    methods = [
        each
        for name, each in found.items()
        if is_a(each, types.FunctionType)
        and (called is None or name in called or (name.startswith("__") and name != "__init__"))
    ]
    used = {use for method in methods for code in codes_in(method.__code__) for use in uses_in(code)}
    held = [
        item
        for name, item in attributes_in(value).items()
        if not is_a(item, gym.Env) or any(use[0] == name and not _is_constant(item, use[1]) for use in used)
    ]
    return held + [item for method in methods for item in _used_by(method, codes)]


def _is_constant(env: AnyEnv, name: str | None) -> bool:
    """Whether an attribute of an environment, or of one of its layers, never changes in an episode."""
    if name is None or name in _CONSTANT:
        return name is not None
    kinds = [kind for layer in layers_in(env) for kind in type(layer).__mro__]
    held = [attributes[name] for attributes in map(vars, (*layers_in(env), *kinds)) if name in attributes]
    methods = [each for kind in kinds for each in vars(kind).items() if each[0] != "__init__"]
    return (
        bool(held)
        and all(is_constant(each) and not isinstance(each, property) for each in held)
        and not any(
            name in set_by(code)
            for _, method in methods
            if is_a(method, types.FunctionType)
            for code in codes_in(method.__code__)
        )
    )


def _used_by(function: types.FunctionType, codes: set[types.CodeType]) -> list[Any]:
    """The values that a function closes over, has as defaults, or names among the variables of its module."""
    named = {**dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))}
    own = list(codes_in(function.__code__))
    codes.update(own)
    used = {use for code in own for use in uses_in(code)}
    found = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for name, then in used:
        values = contents_of(named[name]) if name in named else [function.__globals__.get(name)]
        found += [value for value in values if not (is_a(value, gym.Env) and _is_constant(value, then))]
    return found
