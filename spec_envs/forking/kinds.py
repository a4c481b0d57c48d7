"""Kinds of objects in an environment that are copied and compared in different ways."""

from __future__ import annotations

import copyreg
import functools
import random
import re
import sys
import types
import warnings
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from spec_envs.attributes import is_a, read
from spec_envs.functions import contents_of, rebinds
from spec_envs.immutable import ATOMIC_FAMILIES, ATOMS

_T = TypeVar("_T")
_ATOMIC_FAMILIES = (*ATOMIC_FAMILIES, EnvSpec)

#: Modules that keep a simulation outside Python. Objects refer to it by a number or a name, which is useless to copy.
_SIMULATIONS = ("pybullet", "libsumo", "traci")
#: Classes of libraries whose objects never change once they are made (their code was read), with their subclasses.
#: They are given by name, since the libraries need not be installed.
_NEVER_CHANGED = frozenset(
    {"chess._BoardState", "zoneinfo.ZoneInfo", "pandas.Index", "pandas.core.indexes.base.Index"}
    | {"pandas.api.extensions.ExtensionDtype", "pandas.core.dtypes.base.ExtensionDtype"}
)
#: Attributes that no wrapper of Gymnasium changes in place: the arguments of its constructor, and its cached spec.
_SHARED_BY_WRAPPERS = frozenset({"_saved_kwargs", "_cached_spec", "_metadata"})
#: The same with attributes that a certain wrapper only reads.
_SHARED_BY: dict[type, frozenset[str]] = {gym.wrappers.PassiveEnvChecker: _SHARED_BY_WRAPPERS | {"_previous_data"}}


class Uncopyable(Exception):
    """An object in the environment cannot be copied, or was copied wrongly.

    Attributes:
        path: The path to the object, innermost part last, as in ``[".board", ".move_stack", "[3]"]``.
    """

    def __init__(self, reason: str, path: list[str] | None = None) -> None:
        super().__init__(reason)
        self.path = path or []

    def via(self, part: str) -> Uncopyable:
        """Put ``part``, the name of the part that holds the object, before the path of this error; return the error."""
        self.path.insert(0, part)
        return self


class Copying(Protocol):
    """The methods of a ``Copier`` that functions for single kinds of objects use."""

    memo: dict[int, Any]

    def part(self, value: Any, form: str, key: object = None) -> Any:
        """A copy of a part of something; the name of the part in errors is ``form``, with ``key`` filled in."""

    def remember(self, value: Any, twin: Any) -> Any:
        """Record ``twin`` as the copy of ``value``, and return ``twin``."""


def shared_by_wrappers(kind: type) -> frozenset[str]:
    """The names of the attributes that a wrapper of class ``kind`` and its copy may share."""
    return _SHARED_BY.get(kind, _SHARED_BY_WRAPPERS)


def guarded(value: Any, do: Callable[[], Any]) -> Any:
    """Return the result of ``do``, which copies ``value``; any error becomes an ``Uncopyable``.

    Raises:
        Uncopyable: ``do`` has raised an error.
    """
    try:
        return do()
    except Uncopyable:
        raise
    except Exception as error:
        raise Uncopyable(f"is a {full_name(type(value))}, which cannot be copied ({error})") from error


def full_name(kind: type) -> str:
    """The name of a class with its module, which some classes of C libraries do not have."""
    return ".".join((*filter(None, (getattr(kind, "__module__", None),)), kind.__qualname__))


def is_atomic(value: Any) -> bool:
    """Whether an environment and its copy may share ``value`` without further checks."""
    if type(value) in ATOMS or is_atomic_kind(type(value)):
        return True
    if type(value) is np.ufunc:
        return not is_made_of_python(value)
    if type(value) is re.Match:
        return type(value.string) in ATOMS
    if isinstance(value, types.BuiltinFunctionType):
        return value.__self__ is None or isinstance(value.__self__, (types.ModuleType, type))
    return False


def is_atomic_kind(kind: type) -> bool:
    """Whether all instances of a class are atomic."""
    return kind in ATOMS or (issubclass(kind, _ATOMIC_FAMILIES) and not issubclass(kind, np.void))


@functools.lru_cache(maxsize=1024)
def never_changes(kind: Any) -> bool:
    """Whether it is known that objects of this class never change."""
    return not _NEVER_CHANGED.isdisjoint(map(full_name, kind.__mro__))


def is_constant(value: Any) -> bool:
    """Whether ``value`` is atomic, or a tuple or frozenset of constants."""
    return all(map(is_constant, value)) if type(value) in (tuple, frozenset) else is_atomic(value)


def is_made_of_python(ufunc: np.ufunc) -> bool:
    """Whether ``np.frompyfunc`` made the function."""
    return ufunc.__name__.endswith(" (vectorized)")


def is_global(value: Any, name: str) -> bool:
    """Whether ``value`` is the object called ``name``, perhaps a name with dots, in its module."""
    module = getattr(value, "__module__", None)
    found: Any = sys.modules.get(module if isinstance(module, str) else getattr(type(value), "__module__", ""))
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def reduced(value: Any) -> Any:
    """The result of ``__reduce_ex__``, from which ``copy.deepcopy`` builds a copy."""
    kind = type(value)
    reduce = copyreg.dispatch_table.get(kind)
    if reduce is not None:
        return reduce(value)
    return without_deprecation(kind, lambda: value.__reduce_ex__(4))


def without_deprecation(kind: type, run: Callable[[], _T]) -> _T:
    """Call ``run``, which copies an object of ``kind``, without the warning that ``itertools`` will not be copied."""
    if getattr(kind, "__module__", None) != "itertools":
        return run()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.14 raises an error: such an object is refused
        return run()


def hashes_by_identity(kind: Any) -> bool:
    """Whether an object and its copy have different hashes."""
    return kind.__hash__ is object.__hash__


def slot_names(kind: type) -> list[str]:
    """The names of all ``__slots__`` of a class and its bases, as ``getattr`` knows them."""
    return copyreg._slotnames(kind)  # type: ignore[attr-defined,no-any-return]  # caches them in the class


def loses_state(kind: type) -> bool:
    """Whether copies of this class are made by its constructor, and so lose the state since then."""
    for base in kind.__mro__:
        if base.__name__ == "EzPickle":
            hook = getattr(kind, "__getstate__", None)
            return not hasattr(kind, "__deepcopy__") and hook is getattr(base, "__getstate__", None)
    return False


def refuse_unowned(value: Any) -> None:
    """Refuse an object whose state is elsewhere, or whose copy would release what the original still uses.

    Raises:
        Uncopyable: ``value`` is a global random generator, or its class does not own its state.
    """
    if value is random._inst or value is np.random.mtrand._rand:
        raise Uncopyable("is a global random generator, which all of the program shares; use self.np_random")
    kind: Any = type(value)
    reason = unowned(kind)
    if reason is not None:
        raise Uncopyable(reason)


def refuse_watched(value: Any) -> None:
    """Refuse an object that is registered somewhere by a weak reference, since its copy would not be registered.

    Raises:
        Uncopyable: A weak reference to ``value`` has a callback, as those of ``weakref.finalize``,
            ``WeakKeyDictionary`` and ``WeakSet`` have.
    """
    references = weakref.getweakrefs(value) if weakref.getweakrefcount(value) else ()
    if any(type(each) not in weakref.ProxyTypes and each.__callback__ for each in references):
        raise Uncopyable(
            f"is a {type(value).__name__} to which a weak reference with a callback exists (weakref.finalize, "
            f"WeakKeyDictionary, WeakSet); its copy would have none"
        )


@functools.lru_cache(maxsize=1024)
def unowned(kind: Any) -> str | None:
    """Why objects of a class cannot be copied (a ``__del__``, or state elsewhere); ``None`` if they can."""
    if isinstance(getattr(kind, "__del__", None), types.FunctionType) and not hasattr(kind, "__deepcopy__"):
        return f"is a {kind.__name__}, whose __del__ would release what the original still uses when a copy is dropped"
    module = sys.modules.get(getattr(kind, "__module__", ""))
    held = () if module is None else (*vars(module).values(),)
    functions = [each for each in vars(kind).values() if is_a(each, types.FunctionType)]
    for name in _SIMULATIONS:
        simulation = sys.modules.get(name)
        if simulation is not None and (
            any(each is simulation or read(each, "__self__") is simulation for each in held)
            or any(name in each.__code__.co_names for each in functions)
        ):
            return f"is a {kind.__name__}, whose code uses {name}: its state is in {name}, not in Python"
    return None


def generators_of(space: gym.Space[Any]) -> list[np.random.Generator]:
    """The random generators of a space and of the spaces in it, as far as they exist."""
    found = [] if space._np_random is None else [space._np_random]
    for value in space.__dict__.values():
        if type(value) in ATOMS or type(value) is np.ndarray:  # most of what spaces hold
            continue
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


def is_plain(function: types.FunctionType, seen: set[int]) -> bool:
    """Whether nothing that the function holds can change, so that a copy may share the function.

    A function holds the variables that it closes over, the defaults of its parameters, and its attributes.
    """
    if id(function) in seen:
        return True
    seen.add(id(function))
    held = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *function.__dict__.values()]
    if function.__closure__:
        if rebinds(function.__code__):
            return False
        held += [content for cell in function.__closure__ for content in contents_of(cell)]
    return all(
        is_plain(content, seen)
        if isinstance(content, types.FunctionType)
        else is_constant(content) or (isinstance(content, gym.Space) and not generators_of(content))
        for content in held
    )
