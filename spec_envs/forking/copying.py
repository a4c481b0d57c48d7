"""Copies of the state that a wrapper, or an environment that is not ours, keeps in its attributes.

The copies are those of ``copy.deepcopy``, with four differences. Functions that close over mutable state or over the
environment are copied, and the copies refer to the copied state. Spaces and specs are shared as long as nobody can
notice. Objects that cannot be copied are refused with the path that leads to them. Classes that are known to lose their
state when copied are refused too. ``comparing`` checks the result.
"""

import collections
import copyreg
import itertools
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from spec_envs.attributes import has_hooks
from spec_envs.forking.arrays import COPY_ARRAYS, CTYPES, copy_ctypes
from spec_envs.forking.callables import COPY_CALLABLES, refuse_cached
from spec_envs.forking.generators import restored, snapshot
from spec_envs.forking.kinds import (
    Uncopyable,
    generators_of,
    guarded,
    holds_spaces,
    is_atomic,
    is_global,
    loses_state,
    never_changes,
    reduced,
    refuse_unowned,
    refuse_watched,
    without_deprecation,
)
from spec_envs.forking.libraries import copy_by_library, own_copy_of
from spec_envs.forking.tables import LEAST_OF_A_TABLE, cannot_change, copy_table
from spec_envs.immutable import ATOMS
from spec_envs.sets import alike, fill_alike

#: Classes whose ``__deepcopy__`` was seen to make copies of attributes itself, as that of a pandas frame does. To copy
#: their attributes beforehand would be in vain, and would cost as much again.
_MAKE_THEIR_OWN: weakref.WeakSet[type] = weakref.WeakSet()


class Copier:
    """Copies a graph of objects; an object that is reached twice is copied once.

    Args:
        layers: The ``id`` of each layer of the environment, with the layer's fork.
        fork: Forks an environment that is found among the parts and is not a layer, given the copies made so far.

    Attributes:
        known: ``layers``, and the environments among the parts that were forked.
        memo: The ``id`` of each object that was copied, with its copy.
        hooked: Objects that were copied by code of their own class, each with its copy. These pairs have to be
            compared, since that code may be wrong.
    """

    def __init__(self, layers: Mapping[int, Any], fork: Callable[[Any, Mapping[int, Any]], Any]) -> None:
        self.known = dict(layers)
        self.hooked: list[tuple[Any, Any]] = []
        self.memo: dict[int, Any] = dict(layers)
        self._alive: list[Any] = []  # an id is valid only while its object lives
        self._begun: set[int] = set()  # objects whose parts are being copied before the objects themselves
        self._by_classes: set[int] = set()  # objects that were copied by the code of classes
        self._fork = fork

    def copy(self, value: Any) -> Any:
        """A copy of ``value``; ``value`` itself if it cannot change.

        Raises:
            Uncopyable: ``value``, or something in it, cannot be copied.
        """
        kind: Any = type(value)
        if kind in ATOMS:
            return value
        if id(value) in self.memo:
            return self.memo[id(value)]
        special = _SPECIAL.get(kind)
        if special is not None:
            return special(self, value)
        if is_atomic(value) or never_changes(kind):
            return value
        if kind in weakref.ProxyTypes:  # says that it is of the class of what it stands for
            raise Uncopyable("is a weak proxy, which is not copied; use a weakref.ref")
        if isinstance(value, gym.Space):
            return self._space(value)
        if isinstance(value, np.random.BitGenerator):
            return self._bits(value)
        if isinstance(value, set) and not has_hooks(kind):
            return self._set(value)
        if isinstance(value, gym.Env):
            return self._env(value)
        if (own := own_copy_of(kind)) is not None:
            return copy_by_library(self, value, own)
        return self.instance(value)

    def part(self, value: Any, form: str, key: object = None) -> Any:
        """A copy of a part of something; the name of the part in errors is ``form``, with ``key`` filled in."""
        if type(value) in ATOMS:
            return value
        try:
            return self.copy(value)
        except Uncopyable as error:
            raise error.via(form if key is None else form.format(key)) from error.__cause__

    def instance(self, value: Any) -> Any:
        """A copy of an object, made in the way that its class defines, as by ``copy.deepcopy``."""
        kind = type(value)
        self._refuse_begun(value)
        refuse_cached(value)
        refuse_unowned(value)
        if isinstance(value, CTYPES):
            return copy_ctypes(self, value)
        if loses_state(kind):
            raise Uncopyable(
                f"is built on EzPickle: a copy of it is a new {kind.__name__}, made by its constructor, "
                f"without the state of this one"
            )
        if isinstance(value, dict) and getattr(value, "__dict__", None) is value:
            return self._own_attributes(value)
        if hasattr(kind, "__deepcopy__"):
            return self._by_its_class(value)
        how = guarded(value, lambda: reduced(value))
        if isinstance(how, str):  # its class says that it is a global, found by this name
            if not is_global(value, how):
                raise Uncopyable(f"is a {kind.__name__} that the original and the copy share")
            self.hooked.append((value, value))
            return value
        self._alive.append(how)
        return self._rebuild(value, *how)

    def _own_attributes(self, value: Any) -> Any:
        """A copy of a dict whose items are its attributes, too (``self.__dict__ = self``)."""
        kind: Any = type(value)
        twin = self.remember(value, kind.__new__(kind))
        twin.__dict__ = twin
        for key, item in dict.items(value):
            dict.__setitem__(twin, self.copy(key), self.part(item, "[{!r}]", key))
        return twin

    def _by_its_class(self, value: Any) -> Any:
        """A copy of an object whose class defines ``__deepcopy__``.

        The attributes of the object are copied first, so that the code of the class finds these copies. Otherwise it
        would copy the attributes by ``copy.deepcopy``, whose copies, for example of sets, are not always faithful.
        """
        twin = None if type(value) in _MAKE_THEIR_OWN else self._from_copies(value)
        if twin is None:
            twin = self._deepcopy(value)
        refuse_watched(value)
        self.hooked.append((value, twin))
        return self.remember(value, twin)

    def _from_copies(self, value: Any) -> Any | None:
        """The copy that the class makes from copied attributes; ``None`` if the class copies attributes itself."""
        made, hooked = len(self.memo), len(self.hooked)
        ahead = self._copy_ahead(value)
        twin = self._deepcopy(value)
        held = getattr(twin, "__dict__", {})
        if all(held.get(name) is copied for name, copied in ahead.items()):
            left = self._by_classes.union(id(original) for original, _ in self.hooked[hooked:])
            new = itertools.islice(self.memo.items(), made, None)
            self.known.update((address, copied) for address, copied in new if address not in left)
            return twin
        self._forget(made, hooked)
        _MAKE_THEIR_OWN.add(type(value))
        return None

    def _copy_ahead(self, value: Any) -> dict[str, Any]:
        """Copies of the attributes of ``value``, except those that refer back to ``value`` or cannot be copied."""
        copies = {}
        self._begun.add(id(value))
        for name, item in getattr(value, "__dict__", {}).items():
            made, hooked = len(self.memo), len(self.hooked)
            try:
                copies[name] = self.copy(item)
            except Exception as error:
                self._forget(made, hooked)
                if isinstance(error, _RefersBack) and error.holder is not value:
                    self._begun.discard(id(value))
                    raise
            else:
                self.memo.setdefault(id(item), copies[name])
        self._begun.discard(id(value))
        return copies

    def _deepcopy(self, value: Any) -> Any:
        before = len(self.memo)
        twin = guarded(value, lambda: value.__deepcopy__(self.memo))
        self._by_classes.update(itertools.islice(self.memo, before, None), (id(value),))
        return twin

    def _forget(self, made: int, hooked: int) -> None:
        """Drop all copies except the first ``made``, and all pairs to be compared except the first ``hooked``."""
        while len(self.memo) > made:
            address, _ = self.memo.popitem()  # the newest first
            self.known.pop(address, None)
        del self.hooked[hooked:]

    def _refuse_begun(self, value: Any) -> None:
        if id(value) in self._begun:
            raise _RefersBack(value)

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
        """Build a copy from the result of ``__reduce_ex__``, as ``copy.deepcopy`` does."""
        kind = type(value)
        arguments = tuple(self.copy(argument) for argument in arguments)
        twin = self.remember(value, guarded(value, lambda: make(*arguments)))
        if twin is value:
            raise Uncopyable(f"is a {kind.__name__} that the original and the copy share")
        # Read from the class: a wrapper that forwards unknown attributes has no attributes yet.
        set_state = set_state or getattr(type(twin), "__setstate__", None)
        if make is not _PLAIN or set_state or isinstance(getattr(kind, "__getstate__", None), types.FunctionType):
            self.hooked.append((value, twin))
        if set_state is not None and state is not None:
            own_state = self.copy(state)
            without_deprecation(kind, lambda: set_state(twin, own_state))
            if isinstance(state, dict) and state is getattr(value, "__dict__", None):
                del self.memo[id(state)]  # this copy was only for the call
        elif state is not None:
            attributes, slots = state if isinstance(state, tuple) else (state, None)
            held = twin.__dict__ if attributes else {}
            for name, item in (attributes or {}).items():
                held[name] = item if type(item) in ATOMS else self.part(item, ".{}", name)
            for name, item in (slots or {}).items():
                object.__setattr__(twin, name, self.part(item, ".{}", name))
        for i, item in enumerate(items or ()):
            twin.append(self.part(item, "[{}]", i))
        for key, item in pairs or ():
            twin[self.copy(key)] = self.part(item, "[{!r}]", key)
        refuse_watched(value)
        return twin

    def remember(self, value: Any, twin: Any) -> Any:
        """Record ``twin`` as the copy of ``value``, and return ``twin``."""
        self.memo[id(value)] = twin
        return twin

    def _list(self, value: list[Any]) -> Any:
        if ATOMS.issuperset(map(type, value)):
            return self.remember(value, value.copy())
        if len(value) >= LEAST_OF_A_TABLE and (table := copy_table(value, self.memo)) is not None:
            return table
        twin = self.remember(value, [])
        twin.extend(self.part(item, "[{}]", i) for i, item in enumerate(value))
        return twin

    def _deque(self, value: collections.deque[Any]) -> Any:
        twin = self.remember(value, collections.deque(maxlen=value.maxlen))
        twin.extend(self.part(item, "[{}]", i) for i, item in enumerate(value))
        return twin

    def _tuple(self, value: tuple[Any, ...]) -> Any:
        if ATOMS.issuperset(map(type, value)):
            return value
        items = [self.part(item, "[{}]", i) for i, item in enumerate(value)]
        if all(item is old for item, old in zip(items, value, strict=True)):
            return value
        if id(value) in self.memo:  # the tuple holds itself, through a list, and was copied meanwhile
            return self.memo[id(value)]
        return self.remember(value, tuple(items))

    def _dict(self, value: dict[Any, Any]) -> Any:
        if ATOMS.issuperset(map(type, value)) and ATOMS.issuperset(map(type, value.values())):
            return self.remember(value, value.copy())
        if len(value) >= LEAST_OF_A_TABLE and (table := copy_table(value, self.memo)) is not None:
            return table
        twin = self.remember(value, {})
        for key, item in value.items():
            twin[self.copy(key)] = self.part(item, "[{!r}]", key)
        return twin

    def _set(self, value: set[Any]) -> Any:
        twin = self.remember(value, type(value).__new__(type(value)))
        members = list(set.__iter__(value))
        if not cannot_change(members):
            members = [self.part(item, " member {!r:.40}", item) for item in members]
        try:
            fill_alike(twin, value, members)
        except ValueError as error:
            raise Uncopyable(str(error)) from None
        for name, item in getattr(value, "__dict__", {}).items():
            twin.__dict__[name] = self.part(item, ".{}", name)
        return twin

    def _frozenset(self, value: frozenset[Any]) -> Any:
        members = [self.part(item, " member {!r:.40}", item) for item in value]
        if all(item is old for item, old in zip(members, value, strict=True)):
            return value
        twin = frozenset(members)
        if not all(item is old for item, old in zip(twin, members, strict=True)) or not alike(twin, value):
            raise Uncopyable("is a frozenset whose copy iterates in another order")
        return self.remember(value, twin)

    def _bytearray(self, value: bytearray) -> Any:
        return self.remember(value, value.copy())

    def _generator(self, value: np.random.Generator) -> Any:
        return self.remember(value, np.random.Generator(self.copy(value.bit_generator)))

    def _bits(self, value: np.random.BitGenerator) -> Any:
        sequence: Any = getattr(value, "seed_seq", None)
        is_known = type(sequence) is np.random.SeedSequence  # others may hold it, too, and spawn from it
        copied = self.memo.get(id(sequence)) if is_known else None
        twin: Any = self.remember(value, guarded(value, lambda: restored(*snapshot(value), copied)))
        if is_known:
            self.memo[id(sequence)] = twin.seed_seq
        return twin

    def _space(self, value: gym.Space[Any]) -> Any:
        # A space is shared until somebody samples from it. From then on it is copied with its generator, so that
        # sampling on a branch never moves the generator that the user samples from.
        if not generators_of(value):
            return value
        twin = self.remember(value, object.__new__(type(value)))
        for name, item in value.__dict__.items():
            twin.__dict__[name] = self.part(item, ".{}", name) if name == "_np_random" or holds_spaces(item) else item
        return twin

    def _env(self, value: gym.Env[Any, Any]) -> Any:
        self._refuse_begun(value)
        twin = self._fork(value, self.memo)
        layers = layers_of(value, twin)
        self.known.update(layers)
        self.memo.update(layers)
        return twin


class _RefersBack(Uncopyable):
    """A part refers to ``holder``, which has no copy yet, because its parts are being copied first."""

    def __init__(self, holder: Any) -> None:
        super().__init__(f"refers to the {type(holder).__name__} that holds it")
        self.holder = holder


_PLAIN = copyreg.__newobj__  # type: ignore[attr-defined]
_SPECIAL: dict[type, Callable[[Any, Any], Any]] = {
    list: Copier._list,
    tuple: Copier._tuple,
    dict: Copier._dict,
    set: Copier._set,
    frozenset: Copier._frozenset,
    bytearray: Copier._bytearray,
    collections.deque: Copier._deque,
    np.random.Generator: Copier._generator,
    **COPY_ARRAYS,
    **COPY_CALLABLES,
}


def layers_of(env: gym.Env[Any, Any], twin: gym.Env[Any, Any]) -> dict[int, gym.Env[Any, Any]]:
    """The layers of a fork ``twin``, by the ``id`` of the same layer of ``env``."""
    layers = {id(env): twin}
    while isinstance(env, gym.Wrapper) and isinstance(twin, gym.Wrapper):
        env, twin = env.env, twin.env
        layers[id(env)] = twin
    return layers
