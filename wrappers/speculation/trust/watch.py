"""The variables of modules and classes that the code of an environment can change: looked at in every step of a fork.

A rehearsal and proofs look at all that is shared, and only now and then. This looks at less, and so quickly that it can
be done each time: at variables that the code sets, and at lists that it reads. It finds what is used only late.
"""

import array
import collections
import dis
import functools
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import gymnasium as gym

from spec_envs.attributes import defines, is_a, read
from spec_envs.immutable import ATOMS
from spec_envs.wrappers.speculation.trust.code_names import codes_in
from spec_envs.wrappers.speculation.trust.outside import is_foreign, kinds_of, layers_in

#: Kinds whose length changes where they are used as a record of steps. (A dict or a set that grows may be a cache.)
_LISTS = (list, collections.deque, bytearray, array.array)

#: How many pieces of code are read, those of the environment's own classes first.
_MOST_CODE = 300

#: Where a variable is, its name there, and how messages name it.
_Place = tuple[Mapping[str, Any], str, str]


class Watch:
    """Looks at what the code of one environment can change outside of it.

    Args:
        env: The environment; its classes, those of its parts, and the functions that they call are read.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        of_layers = [kind for layer in layers_in(env) for kind in type(layer).__mro__]
        kinds = [kind for kind in dict.fromkeys((*of_layers, *kinds_of(env))) if not is_foreign(kind)]
        self._places = tuple({(id(place[0]), place[1]): place for place in _places(kinds)}.values())
        self._looks = tuple((variables.get, name) for variables, name, _ in self._places)

    def marks(self) -> tuple[Any, ...]:
        """The present values of the variables, in a form that is compared quickly."""
        return tuple([_mark(get(name)) for get, name in self._looks])

    def change(self, before: tuple[Any, ...]) -> str | None:
        """The name of the first variable that has changed since ``marks``; one that was ``None`` may have been set."""
        for (_, _, name), one, other in zip(self._places, before, self.marks(), strict=True):
            if one is not None and one != other:
                return name
        return None


def _mark(value: Any) -> Any:
    if type(value) in ATOMS:
        return value if value == value else "nan"
    return (id(value), len(value)) if is_a(value, _LISTS) else id(value)


def _places(kinds: Iterable[type]) -> Iterator[_Place]:
    """The variables that methods of ``kinds``, and functions and classes named in these methods, can change."""
    todo: collections.deque[Any] = collections.deque(kinds)
    seen: set[int] = set()
    found_kinds: list[type] = []
    codes: list[tuple[types.CodeType, dict[str, Any]]] = []
    while todo and len(codes) < _MOST_CODE:
        thing = todo.popleft()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if is_a(thing, type):
            found_kinds.append(thing)
            todo += [function for held in vars(thing).values() for function in _functions_in(held)]
        else:
            own = [(code, thing.__globals__) for code in codes_in(thing.__code__)]
            codes += own
            named = (variables.get(name) for code, variables in own for name in code.co_names)
            todo += [each for each in named if is_a(each, (type, types.FunctionType)) and not is_foreign(each)]
    for code, variables in codes:
        yield from _changed_by(code, variables, found_kinds)


def _functions_in(held: Any) -> list[types.FunctionType]:
    parts = (held, *(read(held, name) for name in ("__func__", "fget", "fset", "func", "__wrapped__")))
    return [each for each in parts if is_a(each, types.FunctionType) and not is_foreign(each)]


def _changed_by(code: types.CodeType, variables: dict[str, Any], kinds: Iterable[type]) -> Iterator[_Place]:
    module = variables.get("__name__")
    for is_set, is_global, name in _uses_in(code):
        for place in ((variables, module),) if is_global else ((vars(kind), kind.__qualname__) for kind in kinds):
            if name in place[0] and _may_change(place[0][name], is_set):
                yield place[0], name, f"{place[1]}.{name}"


def _may_change(held: Any, is_set: bool) -> bool:
    return not defines(held, "__get__") if is_set else is_a(held, _LISTS)


@functools.lru_cache(maxsize=4096)
def _uses_in(code: types.CodeType) -> frozenset[tuple[bool, bool, str]]:
    """The variables and attributes in the code, as tuples: whether it is set, whether it is a variable, its name."""
    uses = ("STORE_GLOBAL", "LOAD_GLOBAL", "STORE_ATTR", "LOAD_ATTR", "LOAD_METHOD")
    return frozenset(
        (step.opname.startswith("STORE"), step.opname.endswith("GLOBAL"), step.argval)
        for step in dis.get_instructions(code)
        if step.opname in uses
    )
