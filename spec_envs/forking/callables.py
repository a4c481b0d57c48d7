"""Copies of functions, methods and caches, which hold copies of the objects that the originals hold."""

import functools
import gc
import itertools
import types
import weakref
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from spec_envs.forking.kinds import (
    Copying,
    Uncopyable,
    is_atomic,
    is_global,
    is_made_of_python,
    is_plain,
)
from spec_envs.functions import closes_over_code, contents_of

Cache: type[Any] = type(functools.lru_cache(lambda: None))


def _function(copier: Copying, value: types.FunctionType) -> Any:
    # What a plain function closes over cannot change, but another function may set the variable anew.
    if is_plain(value, set()) and (closes_over_code(value) or is_global(value, value.__qualname__)):
        return value
    if is_global(value, value.__qualname__):
        raise Uncopyable(f"is the global function {value.__qualname__}, which keeps state in what it holds")
    old = value.__closure__ or ()
    cells = tuple(copier.memo.get(id(cell)) or types.CellType() for cell in old)
    twin = types.FunctionType(value.__code__, value.__globals__, value.__name__, None, cells)
    functools.update_wrapper(twin, value, updated=())
    del twin.__dict__["__wrapped__"]
    copier.remember(value, twin)
    for name, cell, new in zip(value.__code__.co_freevars, old, cells, strict=True):
        if id(cell) not in copier.memo:
            copier.remember(cell, new)
            for content in contents_of(cell):
                new.cell_contents = copier.part(content, ".<{}>", name)
    twin.__defaults__ = copier.part(value.__defaults__, ".__defaults__")
    twin.__kwdefaults__ = copier.part(value.__kwdefaults__, ".__kwdefaults__")
    for name, attribute in value.__dict__.items():
        twin.__dict__[name] = copier.part(attribute, ".{}", name)
    return twin


def _method(copier: Copying, value: types.MethodType) -> Any:
    return types.MethodType(copier.part(value.__func__, ".__func__"), copier.part(value.__self__, ".__self__"))


def _builtin_method(copier: Copying, value: types.BuiltinMethodType) -> Any:
    return value if is_atomic(value) else getattr(copier.part(value.__self__, ".__self__"), value.__name__)


def _partial(copier: Copying, value: functools.partial[Any]) -> Any:
    function, arguments = copier.part(value.func, ".func"), copier.part(value.args, ".args")
    twin = copier.remember(value, functools.partial(function, *arguments, **copier.part(value.keywords, ".keywords")))
    twin.__dict__.update(copier.part(value.__dict__, ".__dict__"))
    return twin


def _weak(copier: Copying, value: weakref.ref[Any]) -> Any:
    target = value()
    if target is None:
        return value
    if id(target) not in copier.memo:
        raise Uncopyable(f"is a weak reference to a {type(target).__name__} that is not copied with it")
    return weakref.ref(copier.memo[id(target)])


def called_by(ufunc: np.ufunc) -> Any:
    """The Python function from which ``np.frompyfunc`` made ``ufunc``; ``None`` for numpy's own functions.

    Raises:
        Uncopyable: That function cannot be found.
    """
    if not is_made_of_python(ufunc):
        return None
    inside = [each for each in gc.get_referents(ufunc) if callable(each)]
    if len(inside) != 1:
        raise Uncopyable("is a function made by numpy.frompyfunc, and what it calls cannot be seen")
    return inside[0]


def _ufunc(copier: Copying, value: np.ufunc) -> Any:
    inside = called_by(value)
    function = copier.part(inside, ".<function>")
    if function is inside:
        return value
    return copier.remember(value, np.frompyfunc(function, value.nin, value.nout, identity=value.identity))


def _count(copier: Copying, value: Any) -> Any:
    # Its repr holds all of its state, and Python 3.14 has no other way to read that state.
    text = repr(value).removeprefix("count(").removesuffix(")")
    try:
        return copier.remember(value, itertools.count(*map(int, text.split(", "))))
    except ValueError:
        raise Uncopyable(f"is {value!r}, and only counts of integers can be copied") from None


# -- caches ------------------------------------------------------------------------------------------------------------


def content_of(cache: Any) -> dict[Any, Any]:
    """The dict in which a ``functools.lru_cache`` keeps its results."""
    found = [each for each in gc.get_referents(cache) if type(each) is dict and each is not cache.__dict__]
    if len(found) != 1:
        raise Uncopyable("is a functools cache whose content cannot be seen")
    content: dict[Any, Any] = found[0]
    return content


def _cache(copier: Copying, value: Any) -> Any:
    if is_global(value, value.__qualname__):
        return value
    content = content_of(value) if value.cache_info().currsize else {}
    if content and value.cache_parameters()["maxsize"] is not None:
        raise Uncopyable(f"is a functools.lru_cache with {len(content)} results; only functools.cache is copied")
    function = copier.part(value.__wrapped__, ".__wrapped__")
    twin = copier.remember(value, functools.lru_cache(**value.cache_parameters())(function))
    if content:
        own = content_of(twin)
        for key, result in content.items():
            own[copier.part(key, " key {!r:.40}", key)] = copier.part(result, "({!r:.40})", key)
    return twin


@functools.lru_cache(maxsize=1024)
def _caches_of(kind: type) -> tuple[tuple[str, Any], ...]:
    """The methods of a class that are cached by ``functools``."""
    return tuple((name, each) for base in kind.__mro__ for name, each in vars(base).items() if type(each) is Cache)


def refuse_cached(value: Any) -> None:
    """Refuse an object with results in the caches of its class, since its copy would have none.

    Raises:
        Uncopyable: A method of its class has cached a result for it.
    """
    kind: Any = type(value)
    for name, cache in _caches_of(kind):
        if cache.cache_info().currsize and any(_holds(key, value) for key in content_of(cache)):
            raise Uncopyable(f"has results in the functools cache around {kind.__name__}.{name}")


def _holds(key: Any, value: Any) -> bool:
    return key is value or (isinstance(key, (tuple, list)) and any(item is value for item in key))


COPY_CALLABLES: Mapping[type, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        types.FunctionType: _function,
        types.MethodType: _method,
        types.BuiltinMethodType: _builtin_method,
        functools.partial: _partial,
        weakref.ref: _weak,
        np.ufunc: _ufunc,
        itertools.count: _count,
        Cache: _cache,
    }
)
