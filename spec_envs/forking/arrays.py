"""Copies of numpy arrays. Arrays that share memory in the original share memory in the copy."""

import array
import ctypes
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from spec_envs.forking.kinds import Copying, Uncopyable, full_name, guarded

CTYPES = (ctypes.Array, ctypes.Structure, ctypes.Union, ctypes._SimpleCData)
_OWNERS = (bytearray, array.array, *CTYPES)


def owner_of(value: Any) -> Any:
    """The object that owns an array's memory: the array itself, another array, or a buffer of another kind."""
    # numpy puts a DummyArray between an array and its views by ``as_strided`` and ``sliding_window_view``.
    while isinstance(value, (np.ndarray, np.void, memoryview)) or type(value).__name__ == "DummyArray":
        base = value.obj if isinstance(value, memoryview) else value.base
        if base is None:
            break
        value = base
    return value


def _copy_array(copier: Copying, value: np.ndarray[Any, Any]) -> Any:
    owner = owner_of(value)
    if value.dtype.hasobject and value.dtype != object:
        raise Uncopyable(f"is an array of {value.dtype}, whose objects cannot be copied one by one")
    if owner is value:
        if value.dtype.hasobject:
            twin = copier.remember(value, np.empty_like(value))
            for i, item in enumerate(value.flat):
                twin.flat[i] = copier.part(item, ".flat[{}]", i)
            return twin
        return copier.remember(value, value.copy(order="K")) if value.flags.writeable else value
    if isinstance(owner, bytes):
        return value
    # A view of an array stays a view: a value written to one of them must be visible in the other.
    twin = guarded(value, lambda: _view(copier, value, owner))
    if not value.flags.writeable:
        twin.flags.writeable = False
    return copier.remember(value, twin)


def _view(copier: Copying, value: np.ndarray[Any, Any] | np.void, owner: Any) -> np.ndarray[Any, Any]:
    memory: Any
    flat: Any
    if type(owner) is np.ndarray and owner.flags.forc:
        memory, flat = owner.ravel("K"), copier.part(owner, "").ravel("K")
    elif isinstance(owner, _OWNERS) and not value.dtype.hasobject:
        memory, flat = (np.frombuffer(memoryview(each), np.uint8) for each in (owner, copier.part(owner, "")))
    else:
        raise Uncopyable(f"is an array over memory of a {full_name(type(owner))}, which is not copied")
    if value.flags.writeable and not flat.flags.writeable:
        raise Uncopyable("is an array that can be written to over one that cannot")
    offset = _address(value) - _address(memory)
    if not flat.dtype.hasobject:
        return np.ndarray(value.shape, value.dtype, flat, offset, value.strides)
    start = flat[offset // flat.itemsize :]
    return np.lib.stride_tricks.as_strided(start, value.shape, value.strides)


def _copy_record(copier: Copying, value: np.void) -> Any:
    """Copy an item of a structured array. To write to the item changes the array from which it was taken."""
    if value.dtype.hasobject:
        raise Uncopyable(f"is a record of {value.dtype}, whose objects cannot be copied one by one")
    if value.base is None:
        return copier.remember(value, value.copy())
    return copier.remember(value, guarded(value, lambda: _view(copier, value, owner_of(value)))[()])


def _address(value: np.ndarray[Any, Any] | np.void) -> int:
    address: int = value.__array_interface__["data"][0]
    return address


def _copy_mapped(copier: Copying, value: Any) -> Any:
    raise Uncopyable("is a numpy.memmap: an array over a file, which is not copied")


COPY_ARRAYS: Mapping[type, Callable[[Any, Any], Any]] = MappingProxyType(
    {np.ndarray: _copy_array, np.memmap: _copy_mapped, np.void: _copy_record, np.record: _copy_record}
)


def copy_ctypes(copier: Copying, value: Any) -> Any:
    """A copy of a ctypes object.

    Raises:
        Uncopyable: The object holds pointers, or its memory belongs to another object.
    """
    kind = type(value)
    guarded(value, value.__reduce__)  # which refuses pointers
    if value._b_base_ is not None or value._objects:
        raise Uncopyable(f"is a {kind.__name__} of ctypes over memory of another object")
    twin = copier.remember(value, kind.from_buffer_copy(value))
    for name, attribute in value.__dict__.items():
        twin.__dict__[name] = copier.part(attribute, ".{}", name)
    return twin
