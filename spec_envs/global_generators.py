"""The global random generators, ``random`` and ``np.random``: what they hold, and whether they have moved."""

import ctypes
import functools
import random
import sys
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from spec_envs.values import key_of


class GlobalGenerators:
    """What the global generators hold now."""

    def __init__(self) -> None:
        self._random, self._numpy = _RANDOM.state(), _NUMPY.state()

    def moved(self) -> str | None:
        """Which of them holds something else now: "`random`", "of `np.random`" or ``None``."""
        state = _RANDOM.state()
        if state is not self._random and state != self._random:
            return "`random`"
        state = _NUMPY.state()
        return "of `np.random`" if state is not self._numpy and key_of(state) != key_of(self._numpy) else None

    def restore(self) -> None:
        """Set them back."""
        random.setstate(self._random)
        np.random.set_state(self._numpy)


# -- their states ----------------------------------------------------------------------------------------------------


class _Watched:
    """Reads the state of a generator anew only if it has moved, since a state of many numbers takes time.

    Args:
        mark: Returns a few values that change with every draw and every seed; ``None`` where these are not known.
        read: Returns the state.
    """

    def __init__(self, mark: Callable[[], Hashable], read: Callable[[], Any]) -> None:
        self._mark, self._read = mark, read
        self._latest: tuple[Hashable, Any] = (None, None)

    def state(self) -> Any:
        """The state: the same object as long as nothing was drawn."""
        mark = self._mark()
        seen, state = self._latest
        if mark is None or mark != seen:
            state = self._read()
            self._latest = mark, state
        return state


# Both are Mersenne twisters: a draw changes the place of the next number, and every 624th draw all of the numbers, so
# that the place and the first numbers tell whether anything was drawn.


def _memory_of(generator: Any, size: int) -> Any:
    header = object.__basicsize__  # counts references, and so changes without a draw
    return (ctypes.c_char * size).from_address(id(generator) + header)


def _mark_of_random() -> Hashable:
    return (_RANDOM_MEMORY.raw, _RANDOM_GENERATOR.gauss_next) if _IS_CPYTHON else None


def _mark_of_numpy() -> Hashable:
    legacy = np.random.mtrand._rand
    bits = legacy._bit_generator
    if type(bits) is not np.random.MT19937 or not _IS_CPYTHON:
        return None
    numbers, place = _memory_of_bits(bits)
    return numbers.raw, place.raw, _NUMPY_MEMORY.raw


@functools.lru_cache(maxsize=1)
def _memory_of_bits(bits: Any) -> tuple[Any, Any]:
    address = bits.ctypes.state_address
    return (ctypes.c_char * _FEW_BYTES).from_address(address), (ctypes.c_char * 4).from_address(address + 4 * 624)


#: How many bytes of the numbers are looked at.
_FEW_BYTES = 32
_IS_CPYTHON = sys.implementation.name == "cpython"
_RANDOM_GENERATOR: Any = random._inst
_RANDOM_MEMORY = _memory_of(_RANDOM_GENERATOR, _FEW_BYTES)
#: Holds the normal number that is kept for later.
_NUMPY_MEMORY = _memory_of(np.random.mtrand._rand, type(np.random.mtrand._rand).__basicsize__ - object.__basicsize__)
_RANDOM = _Watched(_mark_of_random, random.getstate)
_NUMPY = _Watched(_mark_of_numpy, lambda: np.random.get_state(legacy=False))
