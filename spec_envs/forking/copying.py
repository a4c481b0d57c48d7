"""Copies of the state that a wrapper, or an environment that is not ours, keeps in its attributes.

Like ``copy.deepcopy``, with four differences: functions that close over mutable state or over the environment are
bound to the copy; spaces and specs are shared as long as that cannot be noticed; what cannot be copied is refused with
the path that leads to it; and so are classes known to lose their state when copied. ``comparing`` checks the result.
"""

from __future__ import annotations

import collections
import copyreg
import functools
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from spec_envs.forking.generators import restored, snapshot
from spec_envs.forking.kinds import (
    ATOMIC,
    Uncopyable,
    contents_of,
    generators_of,
    holds_spaces,
    is_atomic,
    is_plain,
    loses_state,
)


class Copier:
    """Copies a graph of objects; an object that is reached twice is copied once.

    Args:
        layers: The ``id`` of each layer of the environment, with the layer's fork.
        fork: Forks an environment that is found on the way and is not a layer, given the copies made so far.

    Attributes:
        known: ``layers`` and the environments that were forked on the way.
        hooked: Objects that were copied by code of their own class, each with its copy. They have to be compared, since
            that code may be wrong.
    """

    def __init__(self, layers: Mapping[int, Any], fork: Callable[[Any, Mapping[int, Any]], Any]) -> None:
        self.known = dict(layers)
        self.hooked: list[tuple[Any, Any]] = []
        self._memo: dict[int, Any] = dict(layers)
        self._alive: list[Any] = []  # an id is good only while its object lives
        self._fork = fork

    def copy(self, value: Any) -> Any:
        """A copy of ``value`` (itself, if it cannot change).

        Raises:
            Uncopyable: There is no way to copy something in it.
        """
        kind = type(value)
        if kind in ATOMIC:
            return value
        if id(value) in self._memo:
            return self._memo[id(value)]
        special = _SPECIAL.get(kind)
        if special is not None:
            return special(self, value)
        if is_atomic(value):
            return value
        if isinstance(value, gym.Space):
            return self._space(value)
        if isinstance(value, np.random.BitGenerator):
            return self._bits(value)
        if isinstance(value, gym.Env):
            return self._env(value)
        return self.instance(value)

    def part(self, value: Any, form: str, key: object = None) -> Any:
        """A copy of a part of something; in error messages it is called ``form``, with ``key`` filled in."""
        if type(value) in ATOMIC:
            return value
        try:
            return self.copy(value)
        except Uncopyable as error:
            raise error.via(form if key is None else form.format(key)) from error.__cause__

    def instance(self, value: Any) -> Any:
        """A copy of an object the way its class wants it, as ``copy.deepcopy`` would."""
        kind = type(value)
        if loses_state(kind):
            raise Uncopyable(
                f"is built on EzPickle: a copy of it is a new {kind.__name__}, made by its constructor, "
                f"without the state of this one"
            )
        if hasattr(kind, "__deepcopy__"):
            twin = self._remember(value, _guarded(value, lambda: value.__deepcopy__(self._memo)))
            self.hooked.append((value, twin))
            return twin
        reduce = copyreg.dispatch_table.get(kind)
        how = _guarded(value, lambda: reduce(value) if reduce else value.__reduce_ex__(4))
        if isinstance(how, str):  # its class says that it is a global, found by this name
            self.hooked.append((value, value))
            return value
        self._alive.append(how)
        return self._rebuild(value, *how)

    def _rebuild(
        self,
        value: Any,
        make: Callable[..., Any],
        arguments: tuple[Any, ...],
        state: Any = None,
        items: Iterable[Any] | None = None,
        pairs: Iterable[tuple[Any, Any]] | None = None,
        set_state: Callable[[Any, Any], object] | None = None,
    ) -> Any:
        """Do what ``__reduce_ex__`` says, as ``copy.deepcopy`` does."""
        kind = type(value)
        arguments = tuple(self.copy(argument) for argument in arguments)
        twin = self._remember(value, _guarded(value, lambda: make(*arguments)))
        # Asked of the class: a wrapper that forwards unknown attributes would look for them before it has any.
        set_state = set_state or getattr(type(twin), "__setstate__", None)
        if make is not _PLAIN or set_state or isinstance(getattr(kind, "__getstate__", None), types.FunctionType):
            self.hooked.append((value, twin))
        if set_state is not None and state is not None:
            set_state(twin, self.copy(state))
        elif state is not None:
            attributes, slots = state if isinstance(state, tuple) else (state, None)
            for name, item in (attributes or {}).items():
                twin.__dict__[name] = self.part(item, ".{}", name)
            for name, item in (slots or {}).items():
                object.__setattr__(twin, name, self.part(item, ".{}", name))
        for i, item in enumerate(items or ()):
            twin.append(self.part(item, "[{}]", i))
        for key, item in pairs or ():
            twin[self.copy(key)] = self.part(item, "[{!r}]", key)
        return twin

    def _remember(self, value: Any, twin: Any) -> Any:
        self._memo[id(value)] = twin
        return twin

    def _list(self, value: list[Any]) -> Any:
        if ATOMIC.issuperset(map(type, value)):
            return self._remember(value, value.copy())
        twin = self._remember(value, [])
        twin.extend(self.part(item, "[{}]", i) for i, item in enumerate(value))
        return twin

    def _deque(self, value: collections.deque[Any]) -> Any:
        twin = self._remember(value, collections.deque(maxlen=value.maxlen))
        twin.extend(self.part(item, "[{}]", i) for i, item in enumerate(value))
        return twin

    def _tuple(self, value: tuple[Any, ...]) -> Any:
        if ATOMIC.issuperset(map(type, value)):
            return value
        items = [self.part(item, "[{}]", i) for i, item in enumerate(value)]
        if all(item is old for item, old in zip(items, value, strict=True)):
            return value
        if id(value) in self._memo:  # it holds itself, by way of a list, and was copied on the way down
            return self._memo[id(value)]
        return self._remember(value, tuple(items))

    def _dict(self, value: dict[Any, Any]) -> Any:
        if ATOMIC.issuperset(map(type, value)) and ATOMIC.issuperset(map(type, value.values())):
            return self._remember(value, value.copy())
        twin = self._remember(value, {})
        for key, item in value.items():
            twin[self.copy(key)] = self.part(item, "[{!r}]", key)
        return twin

    def _set(self, value: set[Any]) -> Any:
        return self._remember(value, {self.copy(item) for item in value})

    def _array(self, value: np.ndarray[Any, Any]) -> Any:
        if value.dtype.hasobject:
            twin = self._remember(value, np.empty_like(value))
            for i, item in enumerate(value.flat):
                twin.flat[i] = self.part(item, ".flat[{}]", i)
            return twin
        owner = value.base
        if owner is None and not value.flags.writeable:
            return value
        if type(owner) is np.ndarray and owner.flags.forc and not owner.dtype.hasobject:
            # A view of an array stays a view: what is written through the one must be read through the other.
            memory = self.copy(owner)
            offset = value.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
            twin = np.ndarray(value.shape, value.dtype, memory.ravel("K"), offset, value.strides)
            twin.flags.writeable = value.flags.writeable
            return self._remember(value, twin)
        return self._remember(value, value.copy(order="K"))

    def _generator(self, value: np.random.Generator) -> Any:
        return self._remember(value, np.random.Generator(self.copy(value.bit_generator)))

    def _bits(self, value: np.random.BitGenerator) -> Any:
        return self._remember(value, _guarded(value, lambda: restored(*snapshot(value))))

    def _space(self, value: gym.Space[Any]) -> Any:
        # A space is shared until somebody samples from it. From then on it is copied with its generator, so that
        # sampling on a branch never moves the generator that the user samples from.
        if not generators_of(value):
            return value
        twin = self._remember(value, object.__new__(type(value)))
        for name, item in value.__dict__.items():
            twin.__dict__[name] = self.part(item, ".{}", name) if name == "_np_random" or holds_spaces(item) else item
        return twin

    def _env(self, value: gym.Env[Any, Any]) -> Any:
        twin = self._fork(value, self._memo)
        layers = layers_of(value, twin)
        self.known.update(layers)
        self._memo.update(layers)
        return twin

    def _function(self, value: types.FunctionType) -> Any:
        if is_plain(value, set()):
            return value
        old = value.__closure__ or ()
        cells = tuple(self._memo.get(id(cell)) or types.CellType() for cell in old)
        twin = types.FunctionType(value.__code__, value.__globals__, value.__name__, value.__defaults__, cells)
        functools.update_wrapper(twin, value)
        del twin.__dict__["__wrapped__"]
        twin.__dict__.update(value.__dict__)
        twin.__kwdefaults__ = value.__kwdefaults__
        self._remember(value, twin)
        for name, cell, new in zip(value.__code__.co_freevars, old, cells, strict=True):
            if id(cell) not in self._memo:
                self._remember(cell, new)
                for content in contents_of(cell):
                    new.cell_contents = self.part(content, ".<{}>", name)
        return twin

    def _method(self, value: types.MethodType) -> Any:
        return types.MethodType(value.__func__, self.part(value.__self__, ".__self__"))

    def _builtin_method(self, value: types.BuiltinMethodType) -> Any:
        return value if is_atomic(value) else getattr(self.part(value.__self__, ".__self__"), value.__name__)

    def _partial(self, value: functools.partial[Any]) -> Any:
        function, arguments = self.part(value.func, ".func"), self.part(value.args, ".args")
        keywords = self.part(value.keywords, ".keywords")
        return self._remember(value, functools.partial(function, *arguments, **keywords))

    def _weak(self, value: weakref.ref[Any]) -> Any:
        target = value()
        if target is None:
            return value
        if id(target) not in self._memo:
            raise Uncopyable(f"is a weak reference to a {type(target).__name__} that is not copied with it")
        return weakref.ref(self._memo[id(target)])


_PLAIN = copyreg.__newobj__  # type: ignore[attr-defined]
_SPECIAL: dict[type, Callable[[Copier, Any], Any]] = {
    list: Copier._list,
    tuple: Copier._tuple,
    dict: Copier._dict,
    set: Copier._set,
    collections.deque: Copier._deque,
    np.ndarray: Copier._array,
    np.random.Generator: Copier._generator,
    types.FunctionType: Copier._function,
    types.MethodType: Copier._method,
    types.BuiltinMethodType: Copier._builtin_method,
    functools.partial: Copier._partial,
    weakref.ref: Copier._weak,
}


def layers_of(env: gym.Env[Any, Any], twin: gym.Env[Any, Any]) -> dict[int, gym.Env[Any, Any]]:
    """``id`` of every layer of ``env`` to the same layer of its fork."""
    layers = {id(env): twin}
    while isinstance(env, gym.Wrapper) and isinstance(twin, gym.Wrapper):
        env, twin = env.env, twin.env
        layers[id(env)] = twin
    return layers


def _guarded(value: Any, do: Callable[[], Any]) -> Any:
    try:
        return do()
    except Uncopyable:
        raise
    except Exception as error:
        kind = type(value)
        raise Uncopyable(f"is a {kind.__module__}.{kind.__qualname__}, which cannot be copied ({error})") from error
