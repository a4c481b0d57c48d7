"""The global random generators, ``random`` and ``np.random``: whether a step draws from them.

Forks share them with everything else in the program. A step that draws from them on a branch moves them, and the next
draw, of the episode or of anybody else, is another one.
"""

import ctypes
import random
import sys
from typing import Any

import numpy as np

from spec_envs.errors import NotForkable
from spec_envs.forking import fork
from spec_envs.values import key_of, own_copy
from spec_envs.wrappers.speculation.transitions import AnyEnv, Transition

#: Bytes of the state of numpy's MT19937: 624 numbers and the place of the next.
_STATE_BYTES = 625 * 4
#: How often a step is seen to move a generator until the step is blamed, and not another thread.
_TIMES = 3


class GlobalGenerators:
    """What the global generators hold now."""

    def __init__(self) -> None:
        self._random, self._numpy = random.getstate(), _numpy_state()

    def moved(self) -> str | None:
        """Which of them holds something else now: "`random`", "of `np.random`" or ``None``."""
        if random.getstate() != self._random:
            return "`random`"
        state = _numpy_state()
        return "of `np.random`" if state is not self._numpy and key_of(state) != key_of(self._numpy) else None

    def restore(self) -> None:
        """Set them back."""
        random.setstate(self._random)
        np.random.set_state(self._numpy)


def stepped_fork(env: AnyEnv, action: Any) -> tuple[AnyEnv, Transition]:
    """A fork of ``env`` that has made a step, and what the step returned.

    Raises:
        NotForkable: The step draws from a global generator, which is then as it was before.
        Exception: What the step raised.
    """
    first: GlobalGenerators | None = None
    for _ in range(_TIMES):
        twin, before = fork(env), GlobalGenerators()
        first = first or before
        result: Transition | Exception
        try:
            result = Transition(*twin.step(own_copy(action)))
        except Exception as error:
            result = error
        moved = before.moved()
        if moved is None:
            if isinstance(result, Exception):
                raise result
            return twin, result
    assert first is not None
    first.restore()
    raise NotForkable(f"the step with {action!r:.80} draws from the global generator {moved}; use self.np_random")


# -- the state of np.random ------------------------------------------------------------------------------------------

_latest: tuple[bytes, dict[str, Any]] = (b"", {})


def _numpy_state() -> dict[str, Any]:
    """The state of ``np.random``: the same object as long as nothing was drawn, since making one takes 0.1 ms."""
    global _latest
    memory = _memory()
    seen, state = _latest
    if not memory or memory != seen:
        state = np.random.get_state(legacy=False)
        _latest = memory, state
    return state


def _memory() -> bytes:
    """What numpy keeps in memory: the generator, and the normal number kept for later; empty where that is unknown."""
    legacy = np.random.mtrand._rand
    bits = legacy._bit_generator
    if type(bits) is not np.random.MT19937 or sys.implementation.name != "cpython":
        return b""
    header = object.__basicsize__  # counts references, and so changes without a draw
    kept = ctypes.string_at(id(legacy) + header, type(legacy).__basicsize__ - header)
    return kept + ctypes.string_at(bits.ctypes.state_address, _STATE_BYTES)
