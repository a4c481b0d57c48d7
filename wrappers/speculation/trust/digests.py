"""Digests of values: tuples that can be compared later, to see whether somebody has changed the values in place."""

import array
import collections
import ctypes
import functools
import itertools
import random
import types
from typing import Any

import gymnasium as gym
import numpy as np

from spec_envs.attributes import attributes_in, is_a
from spec_envs.functions import contents_of

#: Of one digest.
_MOST_OBJECTS = 1000
_MOST_BYTES = 1 << 16
#: Libraries whose objects record what a program does, and are not read by it.
_RECORDERS = frozenset(
    {"logging", "loguru", "opentelemetry", "prometheus_client", "rich", "structlog", "tqdm", "wandb"}
)


class Digest:
    """Turns values into tuples that can be compared later; gives up on what is large.

    Args:
        of_objects: Whether functions, random generators and other objects are looked into, or only texts, numbers,
            arrays and containers of them.
    """

    def __init__(self, *, of_objects: bool = True) -> None:
        self._of_objects = of_objects
        self._left = _MOST_OBJECTS
        self._above: set[int] = set()

    def of(self, value: Any) -> Any:
        """A tuple of the kind of ``value`` and its content; ``None`` for what cannot be seen."""
        kind = type(value)
        self._left -= 1
        if self._left < 0 and not self._of_objects:
            return None
        if kind in (int, float, str, bool, bytes, complex) or value is None or is_a(value, np.generic):
            return ("value", kind, repr(value))
        if is_a(value, gym.Env) or str(getattr(kind, "__module__", "")).startswith("spec_envs."):
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
            return ("set", kind, frozenset(map(hash, value)))
        if is_a(value, dict):
            return ("dict", kind, {key: self.of(x) for key, x in dict.items(value)})
        if kind is np.ndarray:
            known = value.nbytes <= _MOST_BYTES and not value.dtype.hasobject
            return ("value", kind, value.tobytes() if known else value.shape)
        if kind in (bytearray, itertools.count):
            return ("value", kind, repr(value))
        return self._object(value, kind) if self._of_objects else None

    def _object(self, value: Any, kind: type) -> Any:
        if is_a(value, random.Random):
            return ("value", kind, repr(value.getstate()))
        if is_a(value, np.random.Generator):
            return ("value", kind, repr(value.bit_generator.state))
        if is_a(value, np.random.RandomState):
            return ("value", kind, repr(value.get_state(legacy=False)))
        if kind is array.array or is_a(value, (ctypes.Array, ctypes.Structure, ctypes._SimpleCData)):
            return ("value", kind, bytes(memoryview(value).cast("B")))
        if kind is types.FunctionType:
            closed_over = tuple(content for cell in value.__closure__ or () for content in contents_of(cell))
            kept = (value.__defaults__, value.__kwdefaults__, {**value.__dict__}, closed_over)
            return ("items", kind, tuple(map(self.of, kept)))
        held = attributes_in(value)
        return ("dict", kind, {name: self.of(x) for name, x in held.items()}) if held else None


@functools.lru_cache(maxsize=1024)
def _is_recorder(kind: Any) -> bool:
    return any(str(getattr(base, "__module__", "")).partition(".")[0] in _RECORDERS for base in kind.__mro__)


def first_difference(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """The name of the first variable that is another one now."""
    return next((name for name, held in before.items() if name in now and differs(held, now[name])), None)


def differs(before: Any, now: Any) -> bool:
    """Whether two digests are of different values. A dictionary or set that has grown is taken for a cache."""
    if before is None or now is None or before[1] is type(None):  # not seen, or made only now
        return False
    if before[:2] != now[:2]:
        return True
    one, other = before[2], now[2]
    match before[0]:
        case "set":
            return not one <= other
        case "dict":
            return any(name not in other or differs(value, other[name]) for name, value in one.items())
        case "items":
            return len(one) != len(other) or any(map(differs, one, other))
        case _:
            return bool(one != other)
