"""The state outside an environment that its steps may use: global random generators, settings, classes and modules.

Forks share this state, so an environment whose steps change it cannot be speculated on.
"""

import collections
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any

import gymnasium as gym

from spec_envs.attributes import attributes_in, is_a
from spec_envs.call_env import CallEnv
from spec_envs.forking import own_fork
from spec_envs.global_generators import GlobalGenerators
from spec_envs.wrappers.speculation.trust.digests import Digest, first_difference
from spec_envs.wrappers.speculation.trust.process_state import ProcessState

#: How many parts of the environment are asked for their classes.
_MOST_PARTS = 1000
#: Libraries whose code keeps nothing in its modules and classes that a step could change.
FOREIGN = frozenset({"numpy", "gymnasium", "spec_envs", "chess", "builtins"} | set(sys.stdlib_module_names))
#: Attributes of environments with a ``fork()`` of their own that are not theirs alone: handlers act on the world.
_NOT_OWN = frozenset({"env", "handlers", "metadata", "spec", "_answer", "_shared", "_rng_snapshot"})
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

        A cache that has grown is no change, and no more is a variable that was ``None`` before.
        """
        moved = self._generators.moved()
        if moved is not None:
            return f"its steps draw from the global generator {moved}; use self.np_random"
        setting = self._process.change()
        if setting is not None:
            return f"its steps change {setting}, which all of the program shares"
        name = first_difference(self._attributes, attributes_of(_keepers_in(self._env)))
        if name is not None:
            return (
                f"a step of a fork changes {name}, which the fork shares with its original; copy it in fork(), or "
                f"leave it out of shared_on_fork; {_HARMLESS}"
            )
        name = first_difference(self._shared, _looked_at(self._modules))
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
    """Whether all layers of ``env`` are of libraries whose classes and modules are not compared."""
    return all(is_foreign(type(layer)) for layer in layers_in(env))


def is_foreign(thing: Any) -> bool:
    """Whether a class or function is of a library whose classes and modules are not compared."""
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
        f"{type(layer).__name__}.{name}": Digest().of(value)
        for layer in layers
        for name, value in vars(layer).items()
        if name not in _NOT_OWN
    }


def left_out(env: gym.Env[Any, Any], twin: gym.Env[Any, Any]) -> str | None:
    """The name of an attribute in which ``env`` and its fork ``twin`` differ; ``None`` if no difference is seen."""
    return first_difference(attributes_of(layers_in(twin)), attributes_of(layers_in(env)))


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
    while todo and len(seen) < _MOST_PARTS:
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
    own = attributes_in(value)
    if is_a(value, CallEnv):
        return tuple(held for name, held in own.items() if name not in _NOT_OWN)
    return () if is_a(value, types.FunctionType) else tuple(own.values())


def _looked_at(modules: Iterable[str]) -> dict[str, Any]:
    """Digests of the variables of the modules, of the classes defined there, and of the state of their functions."""
    found: dict[str, Any] = {}
    for module in modules:
        for name, value in list(vars(sys.modules.get(module, types.ModuleType(""))).items()):
            if name.startswith("__"):
                continue
            found[f"{module}.{name}"] = Digest().of(value)
            if is_a(value, type) and getattr(value, "__module__", None) == module:
                for inner, attribute in list(vars(value).items()):
                    if not inner.startswith("__") or is_a(attribute, types.FunctionType):
                        found[f"{value.__qualname__}.{inner}"] = Digest().of(attribute)
    return found
