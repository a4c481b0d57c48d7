"""What cannot change, so that everybody may share it: the types whose values never change, and JSON data made so.

The one list of such types: values that cross the border of an environment (``values``) and the state that a fork copies
(``forking``) are shared by it.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import logging
import pathlib
import re
import struct
import types
import typing
import uuid
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    raise TypeError("this JSON data is shared and cannot be changed; make a new object: {**old, 'name': value}")


class FrozenDict(dict[str, Any]):
    """A JSON object that cannot change, and whose parts cannot; made by ``frozen``. ``dict(it)`` can be changed."""

    __slots__ = ()

    def __copy__(self) -> FrozenDict:
        return self

    def __deepcopy__(self, memo: object) -> FrozenDict:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return frozen, (dict(self),)


class FrozenList(list[Any]):
    """A JSON array that cannot change, and whose parts cannot; made by ``frozen``. ``list(it)`` can be changed."""

    __slots__ = ()

    def __copy__(self) -> FrozenList:
        return self

    def __deepcopy__(self, memo: object) -> FrozenList:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return frozen, (list(self),)


for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
    setattr(FrozenDict, _name, _refuse)
for _name in ("__setitem__", "__delitem__", "__iadd__", "__imul__", "append", "clear", "extend", "insert", "pop"):
    setattr(FrozenList, _name, _refuse)
for _name in ("remove", "reverse", "sort"):
    setattr(FrozenList, _name, _refuse)


def frozen(value: Any) -> Any:
    """JSON data equal to ``value`` that cannot change; parts that cannot change already are shared, not copied.

    Raises:
        TypeError: ``value`` is not JSON data.
    """
    kept = _KEPT
    if type(value) in kept:
        return value
    if isinstance(value, (dict, Mapping)):  # dict first, which is found faster
        return FrozenDict({name: part if type(part) in kept else frozen(part) for name, part in value.items()})
    if isinstance(value, (list, tuple)):
        return FrozenList([part if type(part) in kept else frozen(part) for part in value])
    if isinstance(value, (str, int, float)):
        return value
    raise TypeError(f"{value!r:.200} is not JSON data: it holds objects by name, arrays, texts, numbers, bools or None")


_KEPT = frozenset({FrozenDict, FrozenList, str, bool, int, float, type(None)})

#: Types whose values cannot change, or that stand for something outside of the values.
ATOMS: frozenset[type] = frozenset(
    {type(None), type(...), type(NotImplemented), bool, int, float, complex, str, bytes, type, object, range, slice}
    | {FrozenDict, FrozenList}
    | {types.ModuleType, types.CodeType, re.Pattern, logging.Logger, property, decimal.Decimal, fractions.Fraction}
    | {struct.Struct, np.busdaycalendar, typing.TypeVar, typing.NewType, types.GenericAlias, type(list[int] | None)}
    | {type(typing.List[int]), type(typing.Optional[int])}  # noqa: UP006, UP045  (their types have no public name)
    | {types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType, uuid.UUID}
    | {datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone}
)
#: Base classes of such types.
ATOMIC_FAMILIES: tuple[type, ...] = (type, enum.Enum, np.generic, np.dtype, pathlib.PurePath)
