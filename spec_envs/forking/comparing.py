"""Check that a copy of an environment is faithful: equal in every part, and sharing no part that can change.

The two graphs of objects are walked side by side. An object that is reached twice in the original must also be one
object in the copy. So the check finds copies that split shared state, and copies that share state with the original.
"""

import collections
import functools
import pickle
import random
import struct
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np

from spec_envs.forking.arrays import owner_of
from spec_envs.forking.callables import Cache, called_by, content_of
from spec_envs.forking.generators import seeds_of
from spec_envs.forking.kinds import (
    Uncopyable,
    generators_of,
    hashes_by_identity,
    is_atomic,
    is_constant,
    is_global,
    never_changes,
    reduced,
    shared_by_wrappers,
    slot_names,
)
from spec_envs.forking.libraries import own_copy_of
from spec_envs.functions import contents_of, rebinds
from spec_envs.immutable import ATOMS
from spec_envs.sets import alike
from spec_envs.values import key_of

#: The path to a part: the path to the whole, and the part's name in it (a format and its argument).
_Path = tuple[Any, str, object]

#: The address of an object is at least this.
_LEAST_ADDRESS = 1 << 16


def compare(
    original: Any, copy: Any, known: Mapping[int, Any], name: str, pairs: Mapping[int, Any] = MappingProxyType({})
) -> None:
    """Compare ``copy`` with its original.

    Args:
        original: The object that was copied.
        copy: Its copy.
        known: The ``id`` of each object whose copy is known to be right (a forked layer), with that copy. The insides
            of these objects are not compared.
        name: The name of ``original`` in the path of an error.
        pairs: The ``id`` of each object that was copied before, with its copy, which is the only right copy.

    Raises:
        Uncopyable: The two differ, share state, or hold something that cannot be compared. Its path says where.
    """
    _compare(_Walk(known, pairs), [(original, copy, name)])


def compare_parts(parts: Iterable[tuple[Any, Any, str]], known: Mapping[int, Any]) -> None:
    """Do the same as ``compare`` for parts of one whole, each given as its original, its copy and its name."""
    _compare(_Walk(known, {}), parts)


def _compare(walk: "_Walk", parts: Iterable[tuple[Any, Any, str]]) -> None:
    for original, copy, name in parts:
        walk.part(original, copy, None, "{}", name)
    first = walk.todo[0][2] if walk.todo else (None, "", "")
    while walk.todo:
        walk.pair(*walk.todo.pop())
    copy_of = walk.objects.copy_of
    shared = {address for address, copy in walk.known.items() if id(copy) == address}
    for address in walk.objects.paths.keys() & copy_of.keys() - shared:
        _differ(walk.objects.paths.get(address, first), "is shared by the original and the copy")
    for number, path in walk.addresses:
        if copy_of.get(number, number) != number:
            _differ(path, "is the id() of another part, whose copy has another id; use a number of your own")


class _Pairing:
    """A one-to-one map between the objects of the original and those of the copy."""

    def __init__(self, pairs: Mapping[int, Any]) -> None:
        self.copy_of = {address: id(copy) for address, copy in pairs.items()}
        self.original_of = {id(copy): address for address, copy in pairs.items() if id(copy) != address}
        self.paths: dict[int, _Path] = {}

    def pair(self, a: Any, b: Any, path: _Path) -> None:
        if a is b:
            _differ(path, f"is a {type(a).__name__} that the original and the copy share")
        if self.copy_of.setdefault(id(a), id(b)) != id(b):
            _differ(path, "was one object with another part of the original, and is not in the copy")
        if self.original_of.setdefault(id(b), id(a)) != id(a):
            _differ(path, "is one object with another part of the copy, and was not in the original")
        self.paths.setdefault(id(b), path)


class _Walk:
    def __init__(self, known: Mapping[int, Any], pairs: Mapping[int, Any]) -> None:
        self.todo: list[tuple[Any, Any, _Path]] = []
        self.known = known
        self.addresses: list[tuple[int, _Path]] = []  # integers that may be addresses of objects: what id() returns
        self.objects = _Pairing(known)
        for address, copied in pairs.items():  # one way: a copy may stand for several objects that are made when read
            self.objects.copy_of.setdefault(address, id(copied))
        self._memory = _Pairing({})  # of arrays: views of the same memory must stay views of the same memory
        self._memory.copy_of.update(self.objects.copy_of)
        self._seen = {(address, id(copy)) for address, copy in known.items()}
        self._alive: list[Any] = []  # an id is valid only while its object lives

    def pair(self, a: Any, b: Any, path: _Path) -> None:
        """Compare ``a`` with ``b``; their parts are added to ``todo``."""
        kind: Any = type(a)
        if kind is not type(b):
            _differ(path, f"is a {kind.__name__}, and its copy a {type(b).__name__}")
        if kind in ATOMS or is_atomic(a):
            if a is not b and not _equal_atoms(a, b):
                _differ(path, f"is {a!r:.80}, and its copy {b!r:.80}")
            return
        if never_changes(kind):  # type: ignore[arg-type]  # mypy thinks that a class is not hashable
            if a is not b and pickle.dumps(a) != pickle.dumps(b):
                _differ(path, f"is a {kind.__name__} that differs from its copy")
            return
        if (id(a), id(b)) in self._seen:
            return
        self._seen.add((id(a), id(b)))
        family, look = _look_of(kind)  # type: ignore[arg-type]  # mypy thinks that a class is not hashable
        look(self, a, b, path)
        if kind is not family and family not in _WHOLE:
            self._attributes(a, b, path)

    def part(self, a: Any, b: Any, path: _Path | None, form: str, key: object = "") -> None:
        if type(a) is int:
            self._number(a, (path, form, key))
        elif type(a) is tuple:
            for i, item in enumerate(a):
                if type(item) is int:
                    self._number(item, ((path, form, key), "[{}]", i))
        # Most parts are one and the same number, string, or tuple of these.
        if a is not b or not (type(a) in ATOMS or (type(a) is tuple and ATOMS.issuperset(map(type, a)))):
            self.todo.append((a, b, (path, form, key)))

    def _number(self, number: int, path: _Path) -> None:
        if number >= _LEAST_ADDRESS:
            self.addresses.append((number, path))

    def _attributes(self, a: Any, b: Any, path: _Path) -> None:
        if a is b:
            if type(a).__dictoffset__ or slot_names(type(a)):
                _differ(path, f"is a {type(a).__name__} that the original and the copy share")
            return
        if (getattr(a, "__dict__", None) is a) != (getattr(b, "__dict__", None) is b):
            _differ(path, "has its items as attributes, and its copy does not")
        mine, other = _attributes_of(a), _attributes_of(b)
        if mine.keys() != other.keys():
            names = ", ".join(map(str, sorted(mine.keys() ^ other.keys(), key=str)))
            _differ(path, f"has other attributes than its copy: {names}")
        for name, value in mine.items():
            self.part(value, other[name], path, ".{}", name)

    def _instance(self, a: Any, b: Any, path: _Path) -> None:
        kind: Any = type(a)
        if not _has_hidden_state(kind):
            if a is not b:
                self.objects.pair(a, b, path)
            self._attributes(a, b, path)
            return
        # The state is not visible in Python: compare the data that the class would pickle.
        mine, other = _reduced(a, path), _reduced(b, path)
        if isinstance(mine, str):  # a global, found by that name
            if a is not b:
                _differ(path, f"is the global {mine}, and its copy is not")
            return
        self.objects.pair(a, b, path)
        self._alive += [mine, other]
        self.part(mine, other, path, "")

    def _by_library(self, a: Any, b: Any, path: _Path) -> None:
        own = own_copy_of(type(a))  # type: ignore[arg-type]  # as above
        assert own is not None
        self.objects.pair(a, b, path)
        if own.content(a) != own.content(b):
            _differ(path, f"is a {type(a).__name__} that differs from its copy")

    def _sequence(self, a: Any, b: Any, path: _Path) -> None:
        if not isinstance(a, tuple):
            self.objects.pair(a, b, path)
        if len(a) != len(b) or (isinstance(a, collections.deque) and a.maxlen != b.maxlen):
            _differ(path, f"has {len(a)} items, and its copy {len(b)}")
        for i, (x, y) in enumerate(zip(_raw(a), _raw(b), strict=True)):
            self.part(x, y, path, "[{}]", i)

    def _dict(self, a: dict[Any, Any], b: dict[Any, Any], path: _Path) -> None:
        self.objects.pair(a, b, path)
        if len(a) != len(b):
            _differ(path, f"has {len(a)} items, and its copy {len(b)}")
        for (key, x), (other, y) in zip(_raw(a), _raw(b), strict=True):
            self.part(key, other, path, " key {!r:.40}", key)
            self.part(x, y, path, "[{!r:.40}]", key)
        if isinstance(a, collections.defaultdict) and isinstance(b, collections.defaultdict):
            self.part(a.default_factory, b.default_factory, path, ".default_factory")

    def _set(self, a: Any, b: Any, path: _Path) -> None:
        if isinstance(a, set):
            self.objects.pair(a, b, path)
        if any(hashes_by_identity(type(item)) and not is_atomic(item) for item in _raw(a)):
            _differ(path, "is a set of objects that may change, so it cannot be compared")
        if len(a) != len(b) or (all(map(is_constant, _raw(a))) and {*map(key_of, _raw(a))} != {*map(key_of, _raw(b))}):
            _differ(path, "is a set with other members than its copy")
        for x, y in zip(_raw(a), _raw(b), strict=True):
            if x is not y and is_constant(x) and key_of(x) != key_of(y):
                _differ(path, "is a set that iterates in another order than its copy")
            self.part(x, y, path, " member {!r:.40}", x)
        if a is not b and not alike(a, b):
            _differ(path, "is a set that will iterate in another order than its copy")

    def _array(self, a: Any, b: Any, path: _Path) -> None:
        if (
            a is b
            and not a.flags.writeable
            and not a.dtype.hasobject
            and (a.base is None or type(owner_of(a)) is bytes)
        ):
            return
        self.objects.pair(a, b, path)
        if a.flags.writeable:
            mine, other = owner_of(a), owner_of(b)
            self._memory.pair(mine, other, path)
            if not isinstance(mine, np.ndarray):
                self.part(mine, other, path, ".base")
        if a.dtype != b.dtype or a.shape != b.shape or a.flags.writeable != b.flags.writeable:
            _differ(path, f"is an array {a.dtype}{a.shape}, and its copy {b.dtype}{b.shape}")
        if a.dtype.hasobject:
            for i, (x, y) in enumerate(zip(a.flat, b.flat, strict=True)):
                self.part(x, y, path, ".flat[{}]", i)
        elif a.tobytes() != b.tobytes():
            _differ(path, "is an array with other values than its copy")

    def _generator(self, a: Any, b: Any, path: _Path) -> None:
        self.objects.pair(a, b, path)
        bits = "bit_generator" if isinstance(a, np.random.Generator) else "_bit_generator"
        self.part(getattr(a, bits), getattr(b, bits), path, ".{}", bits)
        if isinstance(a, np.random.RandomState) and key_of(a.get_state(legacy=False)) != key_of(
            b.get_state(legacy=False)
        ):
            _differ(path, "is a random generator in another state than its copy")

    def _bits(self, a: np.random.BitGenerator, b: np.random.BitGenerator, path: _Path) -> None:
        self.objects.pair(a, b, path)
        seeds = seeds_of(a)
        if key_of(a.state) != key_of(b.state) or (isinstance(seeds, tuple) and key_of(seeds) != key_of(seeds_of(b))):
            _differ(path, "is a random generator in another state than its copy")
        if isinstance(seeds, tuple):
            self.objects.pair(a.seed_seq, b.seed_seq, (path, ".seed_seq", ""))

    def _random(self, a: random.Random, b: random.Random, path: _Path) -> None:
        if a is random._inst:
            _differ(path, "is a global random generator, which all of the program shares; use self.np_random")
        self.objects.pair(a, b, path)
        if a.getstate() != b.getstate():
            _differ(path, "is a random generator in another state than its copy")

    def _space(self, a: gym.Space[Any], b: gym.Space[Any], path: _Path) -> None:
        if a is not b and a != b:
            _differ(path, f"is {a}, and its copy {b}")
        mine, other = generators_of(a), generators_of(b)
        if len(mine) != len(other):
            _differ(path, "is a space whose copy has other random generators")
        for x, y in zip(mine, other, strict=True):
            self.part(x, y, path, "._np_random")

    def _function(self, a: types.FunctionType, b: types.FunctionType, path: _Path) -> None:
        if a.__code__ is not b.__code__ or len(a.__closure__ or ()) != len(b.__closure__ or ()):
            _differ(path, "is another function than its copy")
        for name, mine, other in zip(a.__code__.co_freevars, a.__closure__ or (), b.__closure__ or (), strict=True):
            if mine is not other or rebinds(a.__code__):
                self.objects.pair(mine, other, (path, ".<{}>", name))
            x, y = contents_of(mine), contents_of(other)
            if len(x) != len(y):
                _differ(path, f"has a variable {name} that is bound in one of the original and the copy")
            for content, copied in zip(x, y, strict=True):
                self.part(content, copied, path, ".<{}>", name)

        self.part(a.__defaults__, b.__defaults__, path, ".__defaults__")
        self.part(a.__kwdefaults__, b.__kwdefaults__, path, ".__kwdefaults__")
        if a is not b or a.__dict__:
            self.part(a.__dict__, b.__dict__, path, ".__dict__")

    def _method(self, a: Any, b: Any, path: _Path) -> None:
        if isinstance(a, types.MethodType):
            self.part(a.__func__, b.__func__, path, ".__func__")
        elif a.__name__ != b.__name__:
            _differ(path, "is another method than its copy")
        self.part(a.__self__, b.__self__, path, ".__self__")

    def _partial(self, a: functools.partial[Any], b: functools.partial[Any], path: _Path) -> None:
        self.part(a.func, b.func, path, ".func")
        self.part(a.args, b.args, path, ".args")
        if a is not b or a.keywords:
            self.part(a.keywords, b.keywords, path, ".keywords")

    def _ufunc(self, a: np.ufunc, b: np.ufunc, path: _Path) -> None:
        if a is not b:
            self.objects.pair(a, b, path)
        self.part(called_by(a), called_by(b), path, ".<function>")

    def _cache(self, a: Any, b: Any, path: _Path) -> None:
        if a is b and is_global(a, a.__qualname__):
            return
        self.objects.pair(a, b, path)
        self.part(a.__wrapped__, b.__wrapped__, path, ".__wrapped__")
        if a.cache_info().currsize or b.cache_info().currsize:
            self.part(content_of(a), content_of(b), path, ".cache")

    def _weak(self, a: weakref.ref[Any], b: weakref.ref[Any], path: _Path) -> None:
        mine, other = a(), b()
        self._alive += [mine, other]
        self.part(mine, other, path, "()")

    def _value(self, a: Any, b: Any, path: _Path) -> None:
        if isinstance(a, bytearray):
            self.objects.pair(a, b, path)
        kind: Any = type(a)
        family: Any = _base(kind)
        if family.__repr__(a) != family.__repr__(b):
            _differ(path, f"is {a!r:.80}, and its copy {b!r:.80}")


_Look = Callable[[_Walk, Any, Any, _Path], None]
_LOOKS: list[tuple[type, _Look]] = [
    (dict, _Walk._dict),
    (list, _Walk._sequence),
    (tuple, _Walk._sequence),
    (collections.deque, _Walk._sequence),
    (set, _Walk._set),
    (frozenset, _Walk._set),
    (np.ndarray, _Walk._array),
    (np.void, _Walk._array),
    (gym.Space, _Walk._space),
    (np.random.Generator, _Walk._generator),
    (np.random.RandomState, _Walk._generator),
    (np.random.BitGenerator, _Walk._bits),
    (random.Random, _Walk._random),
    (types.FunctionType, _Walk._function),
    (types.MethodType, _Walk._method),
    (types.BuiltinMethodType, _Walk._method),
    (functools.partial, _Walk._partial),
    (weakref.ref, _Walk._weak),
    (np.ufunc, _Walk._ufunc),
    (Cache, _Walk._cache),
    *((family, _Walk._value) for family in (int, float, complex, str, bytes, bytearray)),
]
#: Families whose function compares the whole object, whatever the subclass.
_WHOLE = {gym.Space, np.random.BitGenerator, object}
_BASES: set[type] = {family for family, _ in _LOOKS} | {object, collections.OrderedDict, collections.defaultdict}


@functools.lru_cache(maxsize=1024)
def _look_of(kind: Any) -> tuple[type, _Look]:
    """The base class of ``kind`` for which there is a comparing function, and that function."""
    if own_copy_of(kind) is not None:
        return kind, _Walk._by_library
    return next((look for look in _LOOKS if issubclass(kind, look[0])), (object, _Walk._instance))


def path_text(path: Any) -> str:
    """The path, written as in Python as far as possible."""
    parts: list[str] = []
    while path is not None:
        path, form, key = path
        parts.append(form.format(key))
    return "".join(reversed(parts))


def _differ(path: _Path, reason: str) -> NoReturn:
    raise Uncopyable(reason, [path_text(path)])


def _equal_atoms(a: Any, b: Any) -> bool:
    if isinstance(a, (float, complex, np.generic)):
        return key_of(a) == key_of(b) or a.__repr__() == b.__repr__()
    return bool(a == b)


def _attributes_of(value: Any) -> dict[str, Any]:
    slots = {name: getattr(value, name) for name in slot_names(type(value)) if hasattr(value, name)}
    attributes = {**getattr(value, "__dict__", {}), **slots}
    if isinstance(value, gym.Wrapper):
        return {name: held for name, held in attributes.items() if name not in shared_by_wrappers(type(value))}
    return attributes


@functools.lru_cache(maxsize=1024)
def _base(kind: Any) -> Any:
    """The nearest base class whose own state the walk can compare."""
    return next(base for base in kind.__mro__ if base in _BASES)


@functools.lru_cache(maxsize=1024)
def _has_hidden_state(kind: Any) -> bool:
    """Whether instances have state that Python does not show: the test by which ``pickle`` refuses C classes."""
    visible = bool(kind.__dictoffset__) + bool(kind.__weakrefoffset__) + len(slot_names(kind))
    return bool(kind.__basicsize__ > _base(kind).__basicsize__ + visible * struct.calcsize("P"))


def _reduced(value: Any, path: _Path) -> Any:
    kind = type(value)
    for hook in ("__reduce_ex__", "__reduce__", "__getstate__"):
        if isinstance(getattr(kind, hook, None), types.FunctionType):
            _differ(path, f"is a {kind.__name__}, which keeps state outside Python, and cannot be compared")
    try:
        how = reduced(value)
    except Exception as error:
        raise Uncopyable(f"is a {kind.__name__} and cannot be compared ({error})", [path_text(path)]) from error
    if isinstance(how, str):
        return how
    parts: tuple[Any, ...] = how if len(how) > 2 else (*how, None)
    state = parts[2] or None  # an object without attributes may or may not have a dict for them
    return [*parts[:2], state, *(part if part is None or callable(part) else list(part) for part in parts[3:])]


def _raw(container: Any) -> Any:
    """The items as they are stored; a subclass may iterate over others."""
    kind: Any = type(container)
    family: Any = _base(kind)
    return family.items(container) if issubclass(family, dict) else family.__iter__(container)
