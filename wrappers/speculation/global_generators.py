"""The global random generators, ``random`` and ``np.random``: what they hold, and whether they have moved."""

import ctypes
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from spec_envs.values import key_of

#: Bytes of the state of numpy's MT19937: 624 numbers and the place of the next.
_STATE_BYTES = 625 * 4


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
    """Reads the state of a generator anew only if its memory has changed, since a state of many numbers takes time.

    Args:
        memory: Returns what the generator has in memory; empty where that is unknown.
        read: Returns its state.
    """

    def __init__(self, memory: Callable[[], bytes], read: Callable[[], Any]) -> None:
        self._memory, self._read = memory, read
        self._latest: tuple[bytes, Any] = (b"", None)

    def state(self) -> Any:
        """The state: the same object as long as nothing was drawn."""
        memory = self._memory()
        seen, state = self._latest
        if not memory or memory != seen:
            state = self._read()
            self._latest = memory, state
        return state


def _memory_of(generator: Any) -> bytes:
    header = object.__basicsize__  # counts references, and so changes without a draw
    return ctypes.string_at(id(generator) + header, type(generator).__basicsize__ - header)


def _memory_of_random() -> bytes:
    if not _IS_CPYTHON:
        return b""
    generator: Any = random._inst
    return _memory_of(generator) + repr(generator.gauss_next).encode()


def _memory_of_numpy() -> bytes:
    """What is in memory of the generator, and of the normal number kept for later."""
    legacy = np.random.mtrand._rand
    bits = legacy._bit_generator
    if type(bits) is not np.random.MT19937 or not _IS_CPYTHON:
        return b""
    return _memory_of(legacy) + ctypes.string_at(bits.ctypes.state_address, _STATE_BYTES)


_IS_CPYTHON = sys.implementation.name == "cpython"
_RANDOM = _Watched(_memory_of_random, random.getstate)
_NUMPY = _Watched(_memory_of_numpy, lambda: np.random.get_state(legacy=False))
