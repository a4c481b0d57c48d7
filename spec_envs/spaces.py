"""Spaces that several environments share: text of any characters, and actions given as text or as mappings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gymnasium import spaces

from spec_envs.errors import InvalidAction

__all__ = ["ActionText", "AnyText"]

_MAX_LENGTH = 1 << 30


class AnyText(spaces.Text):
    """Text of any characters."""

    def __init__(self) -> None:
        super().__init__(_MAX_LENGTH, min_length=0)

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is text."""
        return isinstance(x, str)


class ActionText(AnyText):
    """What an environment can read as an action. ``sample()`` draws one of a few.

    Args:
        read: Reads an action; raises ``InvalidAction`` for what is none.
        samples: Actions to draw from.
    """

    def __init__(self, read: Callable[[Any], object], samples: Sequence[str]) -> None:
        super().__init__()
        self._read = read
        self._samples = tuple(samples)

    def contains(self, x: Any) -> bool:
        """Whether ``x`` can be read as an action."""
        try:
            self._read(x)
        except InvalidAction:
            return False
        return True

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """One of the samples; with ``mask`` or ``probability``, as ``Text.sample``."""
        if mask is not None or probability is not None:
            return super().sample(mask, probability)
        return self._samples[int(self.np_random.integers(len(self._samples)))]
