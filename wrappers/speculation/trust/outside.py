"""The state outside an environment that its steps may use: global random generators, settings, classes and modules.

Forks share this state, so an environment whose steps change it cannot be speculated on.
"""

import array
import collections
import copyreg
import ctypes
import functools
import itertools
import random
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from spec_envs.call_env import CallEnv
from spec_envs.forking import own_fork
from spec_envs.functions import contents_of
from spec_envs.global_generators import GlobalGenerators
from spec_envs.wrappers.speculation.trust.process_state import ProcessState

#: Of one attribute of a class or module, and of the environment when its classes are looked for.
_MOST_OBJECTS = 1000
_MOST_BYTES = 1 << 16
#: Libraries whose code keeps nothing in its modules and classes that a step could change.
FOREIGN = frozenset({"numpy", "gymnasium", "spec_envs", "chess", "builtins"} | set(sys.stdlib_module_names))
#: Attributes of environments with a ``fork()`` of their own that are not theirs alone: handlers act on the world.
_NOT_OWN = frozenset({"env", "handlers", "metadata", "spec", "_answer", "_shared", "_rng_snapshot"})
#: Libraries whose objects record what a program does, and are not read by it.
_RECORDERS = frozenset(
    {"logging", "loguru", "opentelemetry", "prometheus_client", "rich", "structlog", "tqdm", "wandb"}
)
#: The way out for those who know that a change does not matter.
_HARMLESS = "or, if it decides nothing (a count, a cache), pass rehearse=False, prove_every=0; forks change it, too"
#: What is said of a variable of a module or class that steps change.
SHARED = f"which is shared by all environments; keep it in the environment, {_HARMLESS}"


class Outside:
    """What the global generators, and the classes and modules of an environment, hold now.

    So does the environment itself, where it has a ``fork()`` of its own, which may have left something to be shared.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self._generators, self._process = GlobalGenerators(), ProcessState()
        self._env = env
        self._modules = sorted(_modules_of(env))
        self._shared, self._attributes = _looked_at(self._modules), attributes_of(_keepers_in(env))

    def change(self) -> str | None:
        """What has changed, and what to use instead; ``None`` if nothing has changed.

        A cache may grow, and what was ``None`` may have been made: that alone is no change.
        """
        moved = self._generators.moved()
        if moved is not None:
            return f"its steps draw from the global generator {moved}; use self.np_random"
        setting = self._process.change()
        if setting is not None:
            return f"its steps change {setting}, which all of the program shares"
        name = _first_difference(self._attributes, attributes_of(_keepers_in(self._env)))
        if name is not None:
            return (
                f"a step of a fork changes {name}, which the fork shares with its original; copy it in fork(), or "
                f"leave it out of shared_on_fork; {_HARMLESS}"
            )
        name = _first_difference(self._shared, _looked_at(self._modules))
        if name is not None:
            return f"its steps change {name}, {SHARED}"
        return None

    @property
    def can_be_restored(self) -> bool:
        """Whether a global generator has moved, or a setting of the process has changed."""
        return self._generators.moved() is not None or self._process.change() is not None

    def restore(self) -> None:
        """Set the global generators and the settings of the process back."""
        self._generators.restore()
        self._process.restore()


def is_ours(env: gym.Env[Any, Any]) -> bool:
    """Whether every layer of ``env`` is of a library whose classes and modules are not looked at."""
    return all(is_foreign(type(layer)) for layer in layers_in(env))


def is_foreign(thing: Any) -> bool:
    """Whether a class or a function is of a library whose classes and modules are not looked at."""
    return str(getattr(thing, "__module__", None)).partition(".")[0] in FOREIGN


def layers_in(env: gym.Env[Any, Any]) -> Iterator[gym.Env[Any, Any]]:
    """The wrappers of an environment, and the environment itself."""
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env
    yield env


def attributes_of(layers: Iterable[gym.Env[Any, Any]]) -> dict[str, Any]:
    """A digest of each attribute of ``layers`` that is theirs alone, by its name."""
    return {
        f"{type(layer).__name__}.{name}": _Digest().of(value)
        for layer in layers
        for name, value in vars(layer).items()
        if name not in _NOT_OWN
    }


def left_out(env: gym.Env[Any, Any], twin: gym.Env[Any, Any]) -> str | None:
    """The name of an attribute of ``env`` that its fork ``twin`` has otherwise, as far as that is seen."""
    return _first_difference(attributes_of(layers_in(twin)), attributes_of(layers_in(env)))


def _keepers_in(env: gym.Env[Any, Any]) -> Iterator[gym.Env[Any, Any]]:
    """The layers that have a ``fork()`` of their own, which decides what is shared."""
    for layer in layers_in(env):
        if own_fork(type(layer)) is not None:  # type: ignore[arg-type]  # mypy thinks that a class is not hashable
            yield layer


def _modules_of(env: gym.Env[Any, Any]) -> Iterator[str]:
    """The modules in which the classes of an environment and of its parts are defined, less those of libraries."""
    names = {getattr(kind, "__module__", "") for kind in kinds_of(env)}
    return (name for name in names if name.partition(".")[0] not in FOREIGN)


def kinds_of(env: gym.Env[Any, Any]) -> set[type]:
    """The classes of an environment and of its parts, with their bases."""
    seen: set[int] = set()
    todo: list[Any] = [env]
    kinds: set[type] = set()
    while todo and len(seen) < _MOST_OBJECTS:
        value = todo.pop()
        if id(value) not in seen:
            seen.add(id(value))
            kinds.update(type(value).__mro__)
            todo += _parts(value)
    return kinds


def _parts(value: Any) -> Iterable[Any]:
    if type(value) is dict:
        return value.values()
    if type(value) in (list, tuple, set, collections.deque):
        return tuple(value)
    if isinstance(value, CallEnv):
        return tuple(held for name, held in vars(value).items() if name not in _NOT_OWN)
    return tuple(getattr(value, "__dict__", {}).values()) if _is_instance(value) else ()


def _is_instance(value: Any) -> bool:
    return not isinstance(value, (type, types.ModuleType, types.FunctionType, types.MethodType))


def _looked_at(modules: Iterable[str]) -> dict[str, Any]:
    """A digest of each variable of the modules and of the classes defined there, and of what their functions keep."""
    found: dict[str, Any] = {}
    for module in modules:
        for name, value in list(vars(sys.modules.get(module, types.ModuleType(""))).items()):
            if name.startswith("__"):
                continue
            found[f"{module}.{name}"] = _Digest().of(value)
            if isinstance(value, type) and getattr(value, "__module__", None) == module:
                for inner, attribute in list(vars(value).items()):
                    if not inner.startswith("__") or isinstance(attribute, types.FunctionType):
                        found[f"{value.__qualname__}.{inner}"] = _Digest().of(attribute)
    return found


class _Digest:
    """Turns values into tuples that can be compared later; gives up on what is large."""

    def __init__(self) -> None:
        self._left = _MOST_OBJECTS
        self._above: set[int] = set()

    def of(self, value: Any) -> Any:
        """A tuple of the kind of ``value`` and its content; ``None`` for what cannot be seen."""
        kind = type(value)
        self._left -= 1
        if kind in (int, float, str, bool, bytes, complex) or value is None or isinstance(value, np.generic):
            return ("value", kind, repr(value))
        if isinstance(value, gym.Env) or str(getattr(kind, "__module__", "")).startswith("spec_envs."):
            return None  # an environment is compared by itself; a wrapper and its guessers change beside the steps
        if _is_recorder(kind):  # type: ignore[arg-type]  # mypy thinks that a class is not hashable
            return None
        if self._left < 0 or id(value) in self._above:
            return None
        self._above.add(id(value))
        try:
            return self._inside(value, kind)
        finally:
            self._above.discard(id(value))

    def _inside(self, value: Any, kind: type) -> Any:
        if kind in (list, tuple, collections.deque):
            return ("items", kind, tuple(map(self.of, value)))
        if kind in (set, frozenset):
            return ("set", kind, frozenset(map(id, value)))
        if isinstance(value, dict):
            return ("dict", kind, {key: self.of(x) for key, x in dict.items(value)})
        if kind is np.ndarray:
            known = value.nbytes <= _MOST_BYTES and not value.dtype.hasobject
            return ("value", kind, value.tobytes() if known else value.shape)
        if kind in (bytearray, itertools.count):
            return ("value", kind, repr(value))
        if isinstance(value, random.Random):
            return ("value", kind, repr(value.getstate()))
        if isinstance(value, np.random.Generator):
            return ("value", kind, repr(value.bit_generator.state))
        if isinstance(value, np.random.RandomState):
            return ("value", kind, repr(value.get_state(legacy=False)))
        if kind is array.array or isinstance(value, (ctypes.Array, ctypes.Structure, ctypes._SimpleCData)):
            return ("value", kind, bytes(memoryview(value).cast("B")))
        if kind is types.FunctionType:
            closed_over = tuple(content for cell in value.__closure__ or () for content in contents_of(cell))
            kept = (value.__defaults__, value.__kwdefaults__, {**value.__dict__}, closed_over)
            return ("items", kind, tuple(map(self.of, kept)))
        if _is_instance(value) and hasattr(value, "__dict__"):
            return ("dict", kind, {name: self.of(x) for name, x in vars(value).items()})
        if slots := copyreg._slotnames(kind):  # type: ignore[attr-defined]  # caches them in the class
            return ("dict", kind, {name: self.of(getattr(value, name, None)) for name in slots})
        return None


@functools.lru_cache(maxsize=1024)
def _is_recorder(kind: Any) -> bool:
    return any(str(getattr(base, "__module__", "")).partition(".")[0] in _RECORDERS for base in kind.__mro__)


def _first_difference(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """The name of the first variable that is another one now."""
    return next((name for name, held in before.items() if name in now and _differs(held, now[name])), None)


def _differs(before: Any, now: Any) -> bool:
    if before is None or now is None or before[1] is type(None):  # not seen, or made only now
        return False
    if before[:2] != now[:2]:
        return True
    one, other = before[2], now[2]
    match before[0]:
        case "set":
            return not one <= other
        case "dict":
            return any(name not in other or _differs(value, other[name]) for name, value in one.items())
        case "items":
            return len(one) != len(other) or any(map(_differs, one, other))
        case _:
            return bool(one != other)
