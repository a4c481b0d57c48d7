"""The global random generators, ``random`` and ``np.random``: what they hold, and whether they have moved."""

import ctypes
import functools
import random
import sys
from collections.abc import Hashable
from typing import Any

import numpy as np

from spec_envs.values import key_of


class GlobalGenerators:
    """What the global generators hold now."""

    def __init__(self) -> None:
        self._states = _states()

    def moved(self) -> str | None:
        """Which of them holds something else now: "`random`", "of `np.random`" or ``None``."""
        before, now = self._states, _states()
        if before is now:
            return None
        if before[0] is not now[0] and before[0] != now[0]:
            return "`random`"
        return "of `np.random`" if before[1] is not now[1] and key_of(before[1]) != key_of(now[1]) else None

    def restore(self) -> None:
        """Set them back."""
        random.setstate(self._states[0])
        np.random.set_state(self._states[1])


# -- their states ----------------------------------------------------------------------------------------------------


#: The states that were read last, and a few values of each generator then, which change with every draw and every seed.
_latest: tuple[Hashable, Hashable, tuple[Any, Any]] = (None, None, (None, None))


def _states() -> tuple[Any, Any]:
    """The states of ``random`` and of ``np.random``: the same objects as long as nothing was drawn.

    A state is read anew only where its generator has moved, since a state of many numbers takes time.
    """
    global _latest
    seen, numpy_seen, states = _latest
    marks = (_RANDOM_MEMORY.raw, _RANDOM_GENERATOR.gauss_next) if _IS_CPYTHON else None
    numpy_marks = _marks_of_numpy()
    if marks == seen and numpy_marks == numpy_seen and marks is not None and numpy_marks is not None:
        return states
    first = states[0] if marks is not None and marks == seen else random.getstate()
    is_numpy_known = numpy_marks is not None and numpy_marks == numpy_seen
    states = first, states[1] if is_numpy_known else np.random.get_state(legacy=False)
    _latest = marks, numpy_marks, states
    return states


# Both are Mersenne twisters: a draw changes the place of the next number, and every 624th draw all of the numbers, so
# that the place and the first numbers tell whether anything was drawn.


def _memory_of(generator: Any, size: int) -> Any:
    header = object.__basicsize__  # counts references, and so changes without a draw
    return (ctypes.c_char * size).from_address(id(generator) + header)


def _marks_of_numpy() -> Hashable:
    bits = _mtrand._rand._bit_generator
    if type(bits) is not _MT19937 or not _IS_CPYTHON:
        return None
    numbers, place = _memory_of_bits(bits)
    return numbers.raw, place.raw, _NUMPY_MEMORY.raw


@functools.lru_cache(maxsize=1)
def _memory_of_bits(bits: Any) -> tuple[Any, Any]:
    address = bits.ctypes.state_address
    return (ctypes.c_char * _FEW_BYTES).from_address(address), (ctypes.c_char * 4).from_address(address + 4 * 624)


_mtrand: Any = np.random.mtrand
_MT19937 = np.random.MT19937
#: How many bytes of the numbers are looked at.
_FEW_BYTES = 32
_IS_CPYTHON = sys.implementation.name == "cpython"
_RANDOM_GENERATOR: Any = random._inst
_RANDOM_MEMORY = _memory_of(_RANDOM_GENERATOR, _FEW_BYTES)
#: Holds the normal number that is kept for later.
_NUMPY_MEMORY = _memory_of(np.random.mtrand._rand, type(np.random.mtrand._rand).__basicsize__ - object.__basicsize__)
