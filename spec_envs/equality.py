"""Keys of objects that are not compared by their content alone.

They are compared by the rule of their class, by what they are, or by the order in which they are walked, too.
"""

import dataclasses
import enum
import functools
import threading
import types
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

_TEXT = frozenset({str})


class OwnRule:
    """An object that is compared by the ``__eq__`` and ``__hash__`` of its class, whatever these do.

    Where ``__eq__`` raises, or returns what is neither true nor false (an array), the objects count as different.
    """

    __slots__ = ("_hash", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self._hash = hash(value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OwnRule) or type(other.value) is not type(self.value):
            return False
        try:
            return self.value is other.value or bool(self.value == other.value)
        except (Exception, SystemExit, GeneratorExit):
            return False

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:  # hashes differ from process to process
        return OwnRule, (self.value,)

    def __repr__(self) -> str:
        return repr(self.value)


class Itself:
    """The key of an object that equals itself alone."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Itself) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


class _Met(threading.local):
    """What keys were made of on this thread.

    Attributes:
        sets: The number of sets.
    """

    sets = 0


#: To know whether a value holds a set, without looking for one in each value.
MET = _Met()


def ordered_key(value: Any, key_of: Callable[[Any], Hashable]) -> Hashable:
    """``key_of(value)``, and the order of each set in ``value``: whoever loops over the set sees it."""
    before = MET.sets
    key = key_of(value)
    return key if MET.sets == before else (key, _orders_of(value, key_of))


def _orders_of(value: Any, key_of: Callable[[Any], Hashable]) -> tuple[Hashable, ...]:
    found: list[Hashable] = []
    if isinstance(value, AbstractSet):
        found.append(tuple(map(key_of, value)))
    for part in _parts(value):
        found += _orders_of(part, key_of)
    return tuple(found)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, (str, bytes, range)):
        return ()
    if isinstance(value, np.ndarray):
        return value.ravel().tolist() if value.dtype.hasobject else ()
    held = getattr(value, "__dict__", {}).values()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return (getattr(value, field.name) for field in dataclasses.fields(value) if field.compare)
    if isinstance(value, Mapping):
        return (*value.keys(), *value.values(), *held)
    return (*value, *held) if isinstance(value, (Sequence, AbstractSet)) else held


def hashes_by_value(kind: type) -> bool:
    """Whether objects of the class are hashed by anything but their identity."""
    return getattr(kind, "__hash__", None) not in (None, object.__hash__)


@functools.lru_cache(maxsize=1024)
def hashes_by_own_rule(kind: type) -> bool:
    """Whether a class has written an ``__eq__`` and a ``__hash__`` of its own."""
    # The methods that @dataclass makes do not count as one: they would take 1, 1.0 and True for equal.
    methods = (getattr(kind, "__hash__", None), kind.__eq__)
    return hashes_by_value(kind) and not all(
        isinstance(method, types.FunctionType) and method.__code__.co_filename == "<string>" for method in methods
    )


def holds_texts(value: dict[Any, Any]) -> bool:
    """Whether all keys and values of ``value`` are texts, which equal each other just as their keys do."""
    return _TEXT.issuperset(map(type, value)) and _TEXT.issuperset(map(type, value.values()))


@functools.lru_cache(maxsize=1024)
def compared_fields(kind: Any) -> tuple[str, ...] | None:
    """The names of the fields by which objects of a dataclass are compared; ``None`` where they are not.

    Numbers and members of an ``Enum`` are no such objects, nor are those of a dataclass with a rule of its own.
    """
    if issubclass(kind, (np.generic, enum.Enum)) or hashes_by_own_rule(kind):
        return None
    return tuple(field.name for field in dataclasses.fields(kind) if field.compare)
