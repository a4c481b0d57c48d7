"""What policies and handlers reach beside their query: the environment itself, and variables of the thread.

A policy is called ahead of time, on other threads and in other states than that of the environment which it may hold.
What it finds there is then not what the plain loop would find, and no comparison could tell.
"""

import dis
import functools
import threading
import types
from collections.abc import Iterable, Iterator
from typing import Any

import gymnasium as gym

from spec_envs.functions import contents_of
from spec_envs.handling import is_async
from spec_envs.immutable import ATOMS
from spec_envs.wrappers.speculation.outside import is_foreign, layers_in
from spec_envs.wrappers.speculation.transitions import AnyEnv

#: How many objects are looked at, and of how many items of a list or dict.
_MOST_OBJECTS, _MOST_ITEMS = 300, 50
#: Of settings; other objects may be resources of one thread each.
_PLAIN = frozenset({bool, int, float, complex, str, bytes})
#: What an environment shows that does not change in an episode.
_CONSTANT = frozenset({"action_space", "observation_space", "spec", "metadata", "reward_range", "render_mode"})


def reasons_against(env: AnyEnv, callables: Iterable[tuple[str, Any]], *, on_threads: bool) -> Iterator[str]:
    """What of ``callables`` (each with its name) may answer otherwise ahead of time than in the plain loop, and why.

    Args:
        env: The environment.
        callables: The policy and the handlers.
        on_threads: Whether they are called on other threads.
    """
    layers = {id(layer) for layer in layers_in(env)}
    for name, function in callables:
        on_worker = on_threads and not is_async(function)
        for value in _reached(function):
            if name == "policy" and id(value) in layers:
                yield (
                    f"the policy looks at {value} itself, which is in another state when the policy is called ahead of "
                    f"time, and is replaced where forks make its steps; let it depend on its observation alone"
                )
                break
            if on_worker and isinstance(value, threading.local) and (names := _plain_names(value)):
                yield (
                    f"{name!r} uses variables of the thread ({', '.join(names)}), which calls ahead of time on other "
                    f"threads do not have; use a context variable (contextvars)"
                )
                break


def _plain_names(local: threading.local) -> list[str]:
    """The variables that are settings, not resources of one thread each."""
    return [name for name, value in vars(local).items() if type(value) in _PLAIN]


def _reached(start: Any) -> Iterator[Any]:
    """Environments and thread variables that ``start`` uses, as far as that is seen."""
    todo, seen = [start], set[int]()
    while todo and len(seen) < _MOST_OBJECTS:
        value = todo.pop()
        if id(value) in seen or type(value) in ATOMS:
            continue
        seen.add(id(value))
        if isinstance(value, (gym.Env, threading.local)):
            yield value
        elif isinstance(value, types.FunctionType):
            todo += [] if is_foreign(value) and not value.__closure__ else _used_by(value)
        elif isinstance(value, types.MethodType):
            todo += [value.__self__, value.__func__]
        elif isinstance(value, functools.partial):
            todo += [value.func, *value.args, *value.keywords.values()]
        elif type(value) in (list, tuple, dict):
            items = value.values() if isinstance(value, dict) else value
            todo += [item for item, _ in zip(items, range(_MOST_ITEMS), strict=False)]
        elif not isinstance(value, (type, types.ModuleType, gym.Space)) and not hasattr(value, "predict"):
            todo += _held_by(value)


def _held_by(value: Any) -> list[Any]:
    """The attributes of an object, less environments of which its methods use only what is constant."""
    found: dict[str, Any] = {}
    for kind in type(value).__mro__:
        if not is_foreign(kind):
            found = {**vars(kind), **found}  # what a class defines hides what its bases do
    methods = [each for each in found.values() if isinstance(each, types.FunctionType)]
    used = {use for method in methods for code in _codes_in(method.__code__) for use in _uses_in(code)}
    held = [
        item
        for name, item in getattr(value, "__dict__", {}).items()
        if not isinstance(item, gym.Env) or any(use[0] == name and use[1] not in _CONSTANT for use in used)
    ]
    return held + [item for method in methods for item in _used_by(method)]


def _used_by(function: types.FunctionType) -> list[Any]:
    """What a function closes over, has as defaults, or names among the variables of its module."""
    named = {**dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))}
    used = {use for code in _codes_in(function.__code__) for use in _uses_in(code)}
    found = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for name, then in used:
        values = contents_of(named[name]) if name in named else [function.__globals__.get(name)]
        found += [value for value in values if not (isinstance(value, gym.Env) and then in _CONSTANT)]
    return found


def _codes_in(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes_in(constant)


@functools.lru_cache(maxsize=1024)
def _uses_in(code: types.CodeType) -> frozenset[tuple[str, str | None]]:
    """Each name that the code loads, with the attribute that it takes of it at once, if it does."""
    steps = list(dis.get_instructions(code))
    loads = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_ATTR")
    takes = ("LOAD_ATTR", "LOAD_METHOD")
    return frozenset(
        (step.argval, then.argval if then.opname in takes else None)
        for step, then in zip(steps, [*steps[1:], steps[-1]], strict=True)
        if step.opname in loads
    )
