"""Values of queries and responses: compared by a key, and copied for a receiver who may change them."""

import collections
import contextlib
import copy
import copyreg
import dataclasses
import enum
import functools
import operator
import pickle
import re
import types
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

from spec_envs.attributes import has_hooks, hides_state, is_plain, slots_of
from spec_envs.equality import MET, Itself, OwnRule, compared_fields, hashes_by_value, holds_texts, ordered_key
from spec_envs.errors import NotCopyable
from spec_envs.functions import copied_function, copied_method
from spec_envs.immutable import ATOMIC_FAMILIES, ATOMS
from spec_envs.seen import beside_items, is_seen_whole, seen_of
from spec_envs.sets import fill_alike


def same(one: Any, other: Any) -> bool:
    """Whether the two values have equal keys, so that nothing that comes later can tell them apart.

    Sets have to be in the same order, because whoever loops over them sees it.
    """
    kind: Any = type(one)
    if one is other:
        return True
    if (kind is str or kind is int) and type(other) is kind:
        return bool(one == other)
    if kind is np.ndarray and type(other) is np.ndarray and one.dtype.isbuiltin == 1 and not one.dtype.hasobject:
        return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())
    if kind is float and type(other) is float:
        return one.hex() == other.hex()  # type: ignore[no-any-return]
    if kind is dict and type(other) is dict:  # observations; no need to build the keys of all that they hold
        if len(one) != len(other):
            return False
        if holds_texts(one) and holds_texts(other):
            return [*one.items()] == [*other.items()]
        for (name, value), (name_there, there) in zip(one.items(), other.items(), strict=True):
            if not ((name is name_there or same(name, name_there)) and (value is there or same(value, there))):
                return False
        return True
    if (kind is list or kind is tuple) and type(other) is kind:
        try:
            return len(one) == len(other) and all(map(same, one, other))
        except RecursionError:  # it holds itself
            return False
    names = compared_fields(kind) if hasattr(kind, "__dataclass_fields__") else None
    if names is not None and type(other) is kind:
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    return bool(key_or_itself(one) == key_or_itself(other))


def own_copy(value: Any) -> Any:
    """``value`` for a receiver who may change it, while nobody else notices.

    Whatever cannot change is shared: numbers, text, and tuples and frozen dataclasses of such values. All else is
    copied with its parts; parts that were one object, or views of one array, stay so. A class whose values never change
    says so by a ``__deepcopy__`` that returns the value itself, beside its own ``__eq__`` and ``__hash__``.

    Raises:
        NotCopyable: ``value`` holds an object that can change and cannot be copied; the message names its class. Or it
            is nested more deeply than Python can follow.
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is np.ndarray and value.base is None and not value.dtype.hasobject:
        return value.copy("K") if value.flags.writeable else value
    if kind is dict and is_flat(value):
        return value.copy()
    if kind is tuple and _ATOMS.issuperset(map(type, value)):
        return value
    try:
        return _copier_of(kind)(value, {})  # type: ignore[arg-type]  # mypy thinks that a class is not hashable
    except RecursionError:
        raise NotCopyable(_TOO_DEEP.format(what="copied")) from None


def is_flat(value: Any) -> bool:
    """Whether ``value`` is a dict whose keys and values are immutable, so that ``value.copy()`` is an ``own_copy``."""
    return type(value) is dict and _ATOMS.issuperset(map(type, value.values())) and _ATOMS.issuperset(map(type, value))


_TOO_DEEP = "a value that the episode exchanges is nested too deeply to be {what}; exchange flatter data instead"
#: The copies made so far, by the ``id`` of what they are copies of; an id is good only while its object lives.
_Memo = dict[int, Any]
#: Whoever holds only a weak reference to something shares it.
_ATOMS = ATOMS | {re.Match, weakref.ref}


def _copy(value: Any, memo: _Memo) -> Any:
    kind = type(value)
    if kind in _ATOMS:
        return value
    known = memo.get(id(value))
    if known is not None:
        return known
    twin = _copier_of(kind)(value, memo)  # type: ignore[arg-type]  # mypy thinks that a class is not hashable
    if twin is not value:
        memo[id(value)] = twin
    return twin


def _kept(value: Any, memo: _Memo) -> Any:
    """``value``, which was made for copying, and is kept as long as ``memo`` so that nothing else gets its ``id``."""
    memo.setdefault(id(memo), []).append(value)
    return value


@functools.lru_cache(maxsize=1024)
def _copier_of(kind: type) -> Callable[[Any, _Memo], Any]:
    """How values of the class ``kind`` are copied."""
    if kind in _COPIERS:
        return _COPIERS[kind]
    if issubclass(kind, ATOMIC_FAMILIES) and not issubclass(kind, np.void):
        return lambda value, memo: value
    if hasattr(kind, "__deepcopy__"):
        is_weak = "weak" in getattr(kind, "__module__", "")
        is_own = hashes_by_value(kind) and not is_weak and not issubclass(kind, (dict, np.ndarray))
        return _copy_by_own_rule if is_own else _copy_as_reduced
    if issubclass(kind, tuple):
        return _copy_tuple
    if kind.__new__ is object.__new__ and not hides_state(kind) and (dataclasses.is_dataclass(kind) or is_plain(kind)):
        return _attributes_copier(kind)
    return _copy_as_reduced


def _copy_by_own_rule(value: Any, memo: _Memo) -> Any:
    """The copy that a class makes which compares its objects by value."""
    kind: Any = type(value)
    try:
        twin = kind.__deepcopy__(value, memo)
    except Exception:
        return _copy_as_reduced(value, memo)  # raises an error that names the class
    return twin if type(twin) is kind else _copy_as_reduced(value, memo)


def _copy_list(value: list[Any], memo: _Memo) -> Any:
    twin = memo[id(value)] = value.copy()
    if not _ATOMS.issuperset(map(type, value)):
        twin[:] = [_copy(item, memo) for item in value]
    return twin


def _copy_tuple(value: tuple[Any, ...], memo: _Memo) -> Any:
    extra = None if type(value) is tuple else getattr(value, "__dict__", None)
    for item in value:
        if type(item) not in _ATOMS:
            break
    else:
        if not extra:
            return value
    items = [_copy(item, memo) for item in value]
    if id(value) in memo:  # it holds itself, by way of a list, and was copied on the way down
        return memo[id(value)]
    if not extra and all(map(operator.is_, items, value)):
        return value
    twin = memo[id(value)] = tuple.__new__(type(value), items)
    if extra:
        twin.__dict__.update(_copy(extra, memo))
    return twin


def _copy_dict(value: dict[Any, Any], memo: _Memo) -> Any:
    twin = memo[id(value)] = value.copy()
    if is_flat(value):
        return twin
    for key, item in value.items():
        if type(key) not in _ATOMS:
            twin.clear()
            twin.update((_copy(key, memo), _copy(item, memo)) for key, item in value.items())
            break
        if type(item) not in _ATOMS:
            twin[key] = _copy(item, memo)
    return twin


def _copy_proxy(value: types.MappingProxyType[Any, Any], memo: _Memo) -> Any:
    return types.MappingProxyType(_copy(_kept(dict(value), memo), memo))


def _copy_set(value: Any, memo: _Memo) -> Any:
    """A set that is walked in the same order, also after later changes (Python's own copies need not be)."""
    items = [_copy(item, memo) for item in value]
    shared = all(map(operator.is_, items, value))
    if shared and type(value) is frozenset:
        return value
    if not shared and not all(hashes_by_value(type(item)) for item in items):
        raise _not_copyable(value, "its items are told apart by their identity, which copies do not share")
    if type(value) is frozenset:
        return frozenset(items)
    twin: set[Any] = set()
    with contextlib.suppress(ValueError):  # then in the best order that can be had
        fill_alike(twin, value, items)
    twin.update(items)
    return twin


def _copy_own_attributes(value: Any, memo: _Memo) -> Any:
    """A dict whose items are its attributes too: ``self.__dict__ = self``."""
    kind: Any = type(value)
    twin = memo[id(value)] = kind.__new__(kind)
    twin.__dict__ = twin
    for key, item in dict.items(value):
        dict.__setitem__(twin, _copy(key, memo), _copy(item, memo))
    return twin


def _own_array(value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if value.flags.writeable:
        return value.copy(order="K")
    if value.base is None:
        return value
    twin = value.copy(order="K")
    twin.flags.writeable = False
    return twin


def _copy_array(value: np.ndarray[Any, Any], memo: _Memo) -> Any:
    owner = value.base
    if type(owner) is np.ndarray and owner.dtype == value.dtype and owner.flags.forc:
        # A view of an array stays a view: what is written through the one must be read through the other.
        memory = _copy(owner, memo)
        if memory is not owner:
            offset = value.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
            flat = memory.ravel(order="K")[offset // value.itemsize :]
            if offset % value.itemsize == 0:
                writeable = bool(value.flags.writeable)
                return np.lib.stride_tricks.as_strided(flat, value.shape, value.strides, writeable=writeable)
    if not value.dtype.hasobject:
        return _own_array(value)
    twin = memo[id(value)] = np.empty_like(value, subok=False)
    for index in np.ndindex(value.shape):
        twin[index] = _copy(_kept(value[index], memo), memo)
    twin.flags.writeable = value.flags.writeable
    return twin


def _attributes_copier(kind: Any) -> Callable[[Any, _Memo], Any]:
    """How objects are copied that are nothing but their attributes; frozen ones with immutable values are shared."""
    slots = slots_of(kind)
    # A class that is derived from a frozen dataclass, and is none itself, lets its other attributes be set.
    is_frozen = "__dataclass_params__" in vars(kind) and kind.__dataclass_params__.frozen

    def attributes_of(value: Any) -> dict[str, Any]:
        found = {name: getattr(value, name) for name in slots if hasattr(value, name)}
        return {**getattr(value, "__dict__", {}), **found}

    def copier(value: Any, memo: _Memo) -> Any:
        attributes = attributes_of(value)
        if (is_frozen and _ATOMS.issuperset(map(type, attributes.values()))) or not attributes:
            return value
        twin = memo[id(value)] = object.__new__(kind)
        copies = {name: _copy(part, memo) for name, part in attributes.items()}
        if is_frozen and all(map(operator.is_, copies.values(), attributes.values())):
            memo[id(value)] = value
            return value
        for name, part in copies.items():
            object.__setattr__(twin, name, part)
        return twin

    if not is_frozen or not slots or kind.__dictoffset__:
        return copier
    values_of = operator.attrgetter(*slots, *slots[:1])  # the first one twice: never less than two, so always a tuple

    def quick_copier(value: Any, memo: _Memo) -> Any:
        if _ATOMS.issuperset(map(type, values_of(value))):
            return value
        return copier(value, memo)

    return quick_copier


def _copy_as_reduced(value: Any, memo: _Memo) -> Any:
    """A copy the way the class wants it, as ``copy.deepcopy`` would make it."""
    kind: Any = type(value)
    if isinstance(value, dict) and getattr(value, "__dict__", None) is value:
        return _copy_own_attributes(value, memo)
    try:
        if getattr(kind, "__module__", "") in ("weakref", "_weakrefset"):
            raise TypeError("it holds what it knows weakly, so a copy would lose its copies")
        if hasattr(kind, "__deepcopy__"):
            twin = kind.__deepcopy__(value, memo)
        elif any(base.__name__ == "EzPickle" for base in kind.__mro__):
            raise TypeError("it is built on EzPickle: its copy would be a new object, without the state of this one")
        else:
            reduce = copyreg.dispatch_table.get(kind)
            how = _kept(reduce(value) if reduce else value.__reduce_ex__(4), memo)
            twin = value if isinstance(how, str) else copy._reconstruct(value, memo, *how, deepcopy=_copy)  # type: ignore[attr-defined]
    except NotCopyable:
        raise
    except Exception as error:
        raise _not_copyable(value, f"{type(error).__name__}: {error}") from error
    if type(twin) is not kind:
        raise _not_copyable(value, f"its copy is a {type(twin).__name__}")
    if isinstance(value, np.ndarray) and twin is not value and not has_hooks(kind):  # type: ignore[arg-type]  # as above
        # numpy forgets its attributes
        vars(twin).update(_copy(vars(value), memo))
    if twin is value and not hashes_by_value(kind) and (getattr(value, "__dict__", None) or slots_of(kind)):
        raise _not_copyable(value, "its class returns the object itself as its copy")
    return twin


def _not_copyable(value: object, why: str) -> NotCopyable:
    kind = type(value)
    return NotCopyable(
        f"a value that the episode exchanges holds a {_name(kind)}, which can change and "
        f"cannot be copied ({why}); exchange plain data instead, or give the class a __deepcopy__ (one that returns "
        f"the object itself, with __eq__ and __hash__, if objects of the class never change)"
    )


_COPIERS: dict[type, Callable[[Any, _Memo], Any]] = {
    list: _copy_list,
    tuple: _copy_tuple,
    dict: _copy_dict,
    set: _copy_set,
    frozenset: _copy_set,
    bytearray: lambda value, memo: value.copy(),
    types.BuiltinFunctionType: lambda value, memo: copied_method(value, lambda part: _copy(part, memo)),
    types.FunctionType: lambda value, memo: copied_function(value, lambda part: _copy(part, memo), memo),
    np.ndarray: _copy_array,
    types.MappingProxyType: _copy_proxy,
}


def key_of(value: Any) -> Hashable:
    """An immutable key of ``value``: two values with equal keys cannot be told apart by what comes later.

    Types count (``1``, ``1.0`` and ``True`` differ), so does the order of a mapping, and arrays count with dtype and
    shape. NaN is equal to itself. Fields of a dataclass with ``compare=False`` do not count. Instances of a class that
    defines ``__eq__`` and ``__hash__`` itself are compared by these, and those of a class built on one of Python's own
    (``str``, ``dict``) by their attributes, too.

    Raises:
        TypeError: ``value`` holds an object that is neither hashable nor picklable.
        NotCopyable: ``value`` is nested more deeply than Python can follow.
    """
    kind: Any = type(value)
    if kind is str or value is None or kind is bytes:
        return value  # type: ignore[no-any-return]
    if kind is int:
        return ("int", value)
    if kind is float:
        return ("float", value.hex())
    if kind is bool:
        return ("bool", value)
    try:
        if kind is dict and holds_texts(value):
            return ("dict", *value.items())
        if kind is tuple or kind is list:
            return (kind.__name__, *(value if _OWN_KEYS.issuperset(map(type, value)) else map(key_of, value)))
        if kind is np.ndarray:
            content = key_of(value.tolist()) if value.dtype.hasobject else value.tobytes()
            return ("array", _dtype_name(value.dtype), value.shape, content)
        names = compared_fields(kind) if hasattr(kind, "__dataclass_fields__") else None
        if names is not None:
            return (_name(kind), *[key_of(getattr(value, name)) for name in names])
        if isinstance(value, np.generic):
            return (kind.__name__, _dtype_name(value.dtype), value.tobytes())
        if isinstance(value, enum.Enum):
            # A combination of flags need not have a name.
            return (_name(kind), value.name if value.name is not None else key_of(value.value))
        if isinstance(value, Mapping):
            return (_name(kind), *((key_of(k), key_of(v)) for k, v in value.items()), *_attributes_key(value))
        if isinstance(value, AbstractSet):
            MET.sets += 1
            return (_name(kind), frozenset(key_of(item) for item in value), *_attributes_key(value))
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes, range, collections.UserString)):
            return (_name(kind), *map(key_of, value), *_attributes_key(value))
        return _key_of_object(value)
    except RecursionError:
        raise NotCopyable(_TOO_DEEP.format(what="compared")) from None


def key_or_itself(value: Any) -> Hashable:
    """``key_of(value)``, with the order of sets; where that fails, since it holds itself, a key that only it has."""
    kind = type(value)
    if kind is str or kind is int:
        return key_of(value)  # at once, since most responses are texts or numbers
    if kind is tuple and _NUMBERS_OR_TEXTS.issuperset(map(type, value)):
        return ("tuple", *map(key_of, value))
    try:
        return ordered_key(value, key_of)
    except (Exception, SystemExit, GeneratorExit):
        return Itself(value)


def _attributes_key(value: Any) -> tuple[Hashable, ...]:
    """The key of what an object of a class built on one of Python's own holds beside its content."""
    kind: Any = type(value)
    if beside := beside_items(value):
        return tuple(map(key_of, beside))
    held = getattr(value, "__dict__", None)
    if not held or held is value or not isinstance(value, _BUILT_ON) or has_hooks(kind):
        return ()
    return (key_of(held),)


#: Classes whose ``==`` and pickles know nothing of the attributes that a class built on them adds.
_BUILT_ON = (str, bytes, int, float, complex, tuple, list, dict, set, frozenset, np.ndarray)


_NUMBERS_OR_TEXTS = frozenset({str, int, float, bool, type(None)})
#: The types whose values are their own keys.
_OWN_KEYS = frozenset({str, bytes, type(None)})


def _name(kind: type) -> str:
    module = getattr(kind, "__module__", "builtins")  # some classes in C have none
    return kind.__name__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return dtype.str if dtype.fields is None else str(dtype.descr)


def _key_of_object(value: Any) -> Hashable:
    kind = type(value)
    seen = seen_of(value)
    if is_seen_whole(kind):
        return (_name(kind), *seen)
    if hashes_by_value(kind):
        try:
            return (_name(kind), OwnRule(value), *seen, *_attributes_key(value))
        except Exception:  # it holds something that cannot be hashed
            pass
    try:
        return (_name(kind), pickle.dumps(value, protocol=5), *_attributes_key(value))
    except Exception as error:
        raise TypeError(
            f"{value!r} of type {kind.__name__} can be neither hashed nor pickled, so a call cannot be compared by it; "
            f"give the class __eq__ and __hash__"
        ) from error
