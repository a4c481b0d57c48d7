"""Spaces of text that several environments use: any text, and text that can be read as an action."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gymnasium import spaces
from gymnasium.error import CustomSpaceError
from gymnasium.spaces.utils import flatten, flatten_space, unflatten
from gymnasium.vector.utils import create_shared_memory

from spec_envs.errors import InvalidAction

_MAX_LENGTH = 1 << 30
_SAMPLE_LENGTH = 20


class AnyText(spaces.Text):
    """Text of any characters. ``sample()`` draws a short text.

    Such a text is not an array: ``FlattenObservation`` leaves it as it is, and ``AsyncVectorEnv`` needs
    ``shared_memory=False``.
    """

    def __init__(self) -> None:
        super().__init__(_MAX_LENGTH, min_length=0)

    @property
    def is_np_flattenable(self) -> bool:
        """False: an array for ``Text`` would be as long as the longest text."""
        return False

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is text."""
        return isinstance(x, str)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A few letters and digits; with ``mask`` or ``probability``, as ``Text.sample``."""
        if mask is not None or probability is not None:
            return super().sample(mask, probability)
        picks = self.np_random.integers(len(self.character_list), size=self.np_random.integers(_SAMPLE_LENGTH + 1))
        return "".join(self.character_list[pick] for pick in picks)


flatten_space.register(AnyText, lambda space: space)
flatten.register(AnyText, lambda space, x: x)
unflatten.register(AnyText, lambda space, x: x)


@create_shared_memory.register(AnyText)
def _(space: AnyText, n: int = 1, ctx: Any = None) -> Any:
    raise CustomSpaceError("text of any length cannot be shared memory; give AsyncVectorEnv shared_memory=False")


class ActionText(AnyText):
    """All values that an environment can read as an action. ``sample()`` draws one of ``samples``.

    Args:
        read: Reads an action; raises ``InvalidAction`` for a value that is not an action.
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
