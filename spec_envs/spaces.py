"""Spaces of text that several environments use: any text, and text that can be read as an action."""

import functools
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatten, flatten_space, unflatten
from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory

from spec_envs.errors import InvalidAction

_MAX_LENGTH = 1 << 30
_SAMPLE_LENGTH = 20


class PlainText(spaces.Text):
    """``Text`` that comes out of ``AsyncVectorEnv`` as it is; Gymnasium pads a ``Text`` to its greatest length.

    Spaces of the same characters share the tables of these, which are larger than all else that most episodes hold.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._char_list, self._char_set, self._char_index = _tables_of(tuple(self.character_list))


@functools.lru_cache(maxsize=64)
def _tables_of(characters: tuple[str, ...]) -> tuple[tuple[str, ...], frozenset[str], dict[str, np.int32]]:
    """The characters in order, the set of them, and the place of each."""
    return characters, frozenset(characters), {sign: np.int32(place) for place, sign in enumerate(characters)}


class AnyText(PlainText):
    """Text of any characters. ``sample()`` draws a short text. ``FlattenObservation`` leaves such a text as it is."""

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
        """A text of this space; with ``mask`` or ``probability``, as ``Text.sample``."""
        return self._draw() if mask is None and probability is None else super().sample(mask, probability)

    def _draw(self) -> str:
        """A few letters and digits."""
        picks = self.np_random.integers(len(self.character_list), size=self.np_random.integers(_SAMPLE_LENGTH + 1))
        return "".join(self.character_list[pick] for pick in picks)


flatten_space.register(AnyText, lambda space: space)
flatten.register(AnyText, lambda space, x: x)
unflatten.register(AnyText, lambda space, x: x)


class SharedTexts(Sequence[str]):
    """The latest text of each environment of an ``AsyncVectorEnv``, whose processes write them into temporary files.

    Memory that processes share has a fixed size, and these texts have none. A copy is a tuple of texts.
    """

    def __init__(self, num_envs: int) -> None:
        self._num_envs = num_envs
        self._folder = tempfile.mkdtemp(prefix="spec-envs-")
        weakref.finalize(self, _remove, self._folder, os.getpid())

    def write(self, index: int, text: str) -> None:
        """Replace the text of an environment."""
        self._file(index).write_bytes(text.encode("utf-8", "surrogatepass"))

    def _file(self, index: int) -> Path:
        return Path(self._folder, str(index))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self)[index]
        file = self._file(range(self._num_envs)[index])
        return file.read_bytes().decode("utf-8", "surrogatepass") if file.exists() else ""

    def __len__(self) -> int:
        return self._num_envs

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return tuple(self)


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # processes that were forked have the texts, too
        shutil.rmtree(folder, ignore_errors=True)


@create_shared_memory.register(PlainText)
def _(space: PlainText, n: int = 1, ctx: Any = None) -> Any:
    return SharedTexts(n)


@read_from_shared_memory.register(PlainText)
def _(space: PlainText, shared_memory: Any, n: int = 1) -> Any:
    return shared_memory


@write_to_shared_memory.register(PlainText)
def _(space: PlainText, index: int, value: str, shared_memory: Any) -> None:
    shared_memory.write(index, value)


class ActionText(AnyText):
    """All values that ``read`` can read as an action (no ``InvalidAction``). ``sample()`` draws one of ``samples``."""

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

    def _draw(self) -> str:
        return self._samples[int(self.np_random.integers(len(self._samples)))]
