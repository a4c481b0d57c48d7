"""The kinds of objects that an environment may hold, as far as copying and comparing treat them differently."""

from __future__ import annotations

import copyreg
import datetime
import decimal
import dis
import enum
import fractions
import functools
import logging
import pathlib
import re
import types
import uuid
from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

#: Types whose values cannot change, or that stand for something outside the environment.
ATOMIC: frozenset[type] = frozenset(
    {type(None), type(...), type(NotImplemented), bool, int, float, complex, str, bytes, type, object, range, slice}
    | {types.ModuleType, types.CodeType, re.Pattern, logging.Logger, property, decimal.Decimal, fractions.Fraction}
    | {types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType, np.ufunc, uuid.UUID}
    | {datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone}
)
_ATOMIC_FAMILIES = (type, np.generic, np.dtype, enum.Enum, EnvSpec, pathlib.PurePath)


class Uncopyable(Exception):
    """An object in the environment cannot be copied, or was copied wrongly.

    Attributes:
        path: The way to the object, innermost part last, as in ``[".board", ".move_stack", "[3]"]``.
    """

    def __init__(self, reason: str, path: list[str] | None = None) -> None:
        super().__init__(reason)
        self.path = path or []

    def via(self, part: str) -> Uncopyable:
        """This error with the name of the part that holds the object put before its path."""
        self.path.insert(0, part)
        return self


def is_atomic(value: Any) -> bool:
    """Whether ``value`` may be shared by an environment and its copy without another look at it."""
    if type(value) in ATOMIC or isinstance(value, _ATOMIC_FAMILIES):
        return True
    if isinstance(value, types.BuiltinFunctionType):
        return value.__self__ is None or isinstance(value.__self__, (types.ModuleType, type))
    return False


def slot_names(kind: type) -> list[str]:
    """The names of all ``__slots__`` of a class and its bases, as ``getattr`` knows them."""
    return copyreg._slotnames(kind)  # type: ignore[attr-defined,no-any-return]  # caches them in the class


def loses_state(kind: type) -> bool:
    """Whether copies of this class are made by its constructor and forget what happened since."""
    for base in kind.__mro__:
        if base.__name__ == "EzPickle":
            hook = getattr(kind, "__getstate__", None)
            return not hasattr(kind, "__deepcopy__") and hook is getattr(base, "__getstate__", None)
    return False


def generators_of(space: gym.Space[Any]) -> list[np.random.Generator]:
    """The random generators of a space and of the spaces that it is made of, as far as they exist."""
    found = [] if space._np_random is None else [space._np_random]
    for value in space.__dict__.values():
        for part in _items(value):
            if isinstance(part, gym.Space):
                found += generators_of(part)
    return found


def holds_spaces(value: Any) -> bool:
    """Whether ``value`` is a space, or a list, tuple or dict with a space among its items."""
    return any(isinstance(item, gym.Space) for item in _items(value))


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, (tuple, list)) else (value,)


def contents_of(cell: types.CellType) -> list[Any]:
    """What a closure's variable holds; nothing, as long as it is not bound."""
    try:
        return [cell.cell_contents]
    except ValueError:
        return []


def is_plain(function: types.FunctionType, seen: set[int]) -> bool:
    """Whether the function closes over nothing that can change, so that a copy may share it."""
    if id(function) in seen or not function.__closure__:
        return True
    seen.add(id(function))
    if rebinds(function.__code__):
        return False
    contents = [content for cell in function.__closure__ for content in contents_of(cell)]
    return all(
        is_plain(content, seen)
        if isinstance(content, types.FunctionType)
        else is_atomic(content) or (isinstance(content, gym.Space) and not generators_of(content))
        for content in contents
    )


@functools.lru_cache(maxsize=1024)
def rebinds(code: types.CodeType) -> bool:
    """Whether the function changes a variable of the function around it (``nonlocal``)."""
    return any(
        step.opname in ("STORE_DEREF", "DELETE_DEREF") and step.argval in code.co_freevars
        for step in dis.get_instructions(code)
    )
