"""Values of queries and responses: compared by a key, and copied for a receiver who may change them."""

from __future__ import annotations

import copy
import dataclasses
import enum
import pickle
import types
from collections.abc import Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np


def same(one: Any, other: Any) -> bool:
    """Whether the two values have equal keys, so that nothing that comes later can tell them apart."""
    kind = type(one)
    if one is other:
        return True
    if kind is str and type(other) is str:
        return bool(one == other)
    if kind is dict and type(other) is dict:  # observations; no need to build the keys of all that they hold
        return len(one) == len(other) and all(
            same(name, name_there) and same(value, there)
            for (name, value), (name_there, there) in zip(one.items(), other.items(), strict=True)
        )
    return bool(key_of(one) == key_of(other))


def own_copy(value: Any) -> Any:
    """``value`` for a receiver who may change it: a copy if it is a list, a dict, a set, a bytearray or an array.

    A response is used several times: by a step that is run again, on other branches, for equal ``READ`` calls.
    """
    if type(value) not in _CHANGEABLE:
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # it holds an object that cannot be copied
        return value


_CHANGEABLE = frozenset({list, dict, set, bytearray, np.ndarray})


def key_of(value: Any) -> Hashable:
    """An immutable key of ``value``: two values with equal keys cannot be told apart by what comes later.

    Types count (``1``, ``1.0`` and ``True`` differ), so does the order of a mapping, and arrays count with dtype and
    shape. NaN is equal to itself. Fields of a dataclass with ``compare=False`` do not count. Instances of a class that
    defines ``__eq__`` and ``__hash__`` itself are compared by these.

    Raises:
        TypeError: ``value`` holds an object that is neither hashable nor picklable.
    """
    kind = type(value)
    if kind is str or value is None or kind is bytes:
        return value  # type: ignore[no-any-return]
    if kind is float:
        return ("float", value.hex())
    if kind is int or kind is bool:
        return (kind.__name__, value)
    if kind is tuple or kind is list:
        return (kind.__name__, *map(key_of, value))
    if kind is np.ndarray:
        content = key_of(value.tolist()) if value.dtype.hasobject else value.tobytes()
        return ("array", _dtype_name(value.dtype), value.shape, content)
    if isinstance(value, np.generic):
        return (kind.__name__, _dtype_name(value.dtype), value.tobytes())
    if isinstance(value, enum.Enum):
        # A combination of flags need not have a name.
        return (_name(kind), value.name if value.name is not None else key_of(value.value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and not _hashes_by_own_rule(kind):
        fields = (field for field in dataclasses.fields(value) if field.compare)
        return (_name(kind), *(key_of(getattr(value, field.name)) for field in fields))
    if isinstance(value, Mapping):
        return (_name(kind), *((key_of(k), key_of(v)) for k, v in value.items()))
    if isinstance(value, AbstractSet):
        return (_name(kind), frozenset(key_of(item) for item in value))
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, range)):
        return (_name(kind), *map(key_of, value))
    return _key_of_object(value)


def _name(kind: type) -> str:
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return dtype.str if dtype.fields is None else str(dtype.descr)


def _hashes_by_value(kind: type) -> bool:
    return getattr(kind, "__hash__", None) not in (None, object.__hash__)


def _hashes_by_own_rule(kind: type) -> bool:
    # The methods that @dataclass makes do not count as one: they would take 1, 1.0 and True for equal.
    methods = (getattr(kind, "__hash__", None), kind.__eq__)
    return _hashes_by_value(kind) and not all(
        isinstance(method, types.FunctionType) and method.__code__.co_filename == "<string>" for method in methods
    )


def _key_of_object(value: Any) -> Hashable:
    kind = type(value)
    if _hashes_by_value(kind):
        try:
            hash(value)
            return (_name(kind), value)
        except TypeError:  # it holds something that cannot be hashed
            pass
    try:
        return (_name(kind), pickle.dumps(value, protocol=5))
    except Exception as error:
        raise TypeError(
            f"{value!r} of type {kind.__name__} can be neither hashed nor pickled, so a call cannot be compared by it; "
            f"give the class __eq__ and __hash__"
        ) from error
