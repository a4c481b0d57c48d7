"""Attributes of objects that others have made, which may raise any error when an attribute or their class is read.

A client that is not connected does so, a setting that is not configured, a weak proxy whose object is gone, or a
dictionary with ``__getattr__ = dict.__getitem__``.
"""

import copyreg
import functools
import types
from typing import Any, TypeGuard, TypeVar

_T = TypeVar("_T")


def attribute_of(value: Any, name: str, default: Any = None) -> Any:
    """Like ``getattr``, but ``default`` also where ``value`` raises another error than ``AttributeError``."""
    try:
        return getattr(value, name, default)
    except Exception:
        return default


def is_a(value: Any, kinds: type[_T] | tuple[type[_T], ...]) -> TypeGuard[_T]:
    """Whether the class of ``value`` is one of ``kinds``, whatever ``value`` says of its class."""
    return issubclass(type(value), kinds)


def defines(value: Any, name: str) -> bool:
    """Whether the class of ``value``, or a base of it, has an attribute ``name``."""
    return any(name in vars(kind) for kind in type(value).__mro__)


@functools.lru_cache(maxsize=1024)
def has_hooks(kind: Any) -> bool:
    """Whether a class, or a base of it, says itself, in Python, how its objects are copied or pickled."""
    names = ("__deepcopy__", "__reduce_ex__", "__reduce__", "__getstate__")
    return any(isinstance(getattr(kind, name, None), types.FunctionType) for name in names)


def is_plain(kind: type) -> bool:
    """Whether the class leaves it to Python how its objects are pickled and copied."""
    names = ("__reduce_ex__", "__reduce__", "__getstate__", "__setstate__")
    return all(getattr(kind, name, None) is getattr(object, name, None) for name in names)


def hides_state(kind: type) -> bool:
    """Whether objects of the class hold what Python cannot see, as those of many classes written in C do."""
    pointers = bool(kind.__dictoffset__) + bool(kind.__weakrefoffset__) + len(slots_of(kind))
    return kind.__basicsize__ > object.__basicsize__ + 8 * pointers


def slots_of(kind: type) -> list[str]:
    """The names of the slots of a class and of its bases."""
    slots: list[str] = copyreg._slotnames(kind)  # type: ignore[attr-defined]  # caches them in the class
    return slots


def read(value: Any, name: str) -> Any:
    """The attribute ``name`` of ``value``, without code of its class in Python; ``None`` if there is none."""
    getter: Any = type(value).__getattribute__
    if isinstance(getter, types.FunctionType):
        getter = object.__getattribute__
    try:
        return getter(value, name)
    except Exception:  # a property may raise anything
        return None


def attributes_in(value: Any) -> dict[str, Any]:
    """The attributes that ``value`` itself holds, by name; none of classes, modules and methods."""
    if is_a(value, (type, types.ModuleType, types.MethodType)):
        return {}
    try:
        slots = copyreg._slotnames(type(value))  # type: ignore[attr-defined]  # caches them in the class
    except Exception:  # of a metaclass
        slots = []
    held = read(value, "__dict__")
    return {**(held if type(held) is dict else {}), **{name: read(value, name) for name in slots}}
