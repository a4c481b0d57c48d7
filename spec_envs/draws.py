"""Random draws that are the same on every machine and in every version of Python.

In ``random.Random`` only ``random()`` promises this; ``choice``, ``sample`` and ``shuffle`` have changed before.
"""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
_DIGITS = "0123456789"


class Draws:
    """A stream of draws, seeded by any values: equal seeds give equal streams."""

    def __init__(self, *seed: object) -> None:
        self._random = random.Random(":".join(map(str, seed))).random

    def below(self, end: int) -> int:
        """A whole number from 0 to ``end`` - 1."""
        return int(self._random() * end)

    def between(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``."""
        return low + self.below(high - low + 1)

    def chance(self, probability: float) -> bool:
        """``True`` with this probability (0 to 1)."""
        return self._random() < probability

    def pick(self, values: Sequence[T]) -> T:
        """One of the values."""
        return values[self.below(len(values))]

    def shuffled(self, values: Sequence[T]) -> list[T]:
        """The values in another order."""
        mixed, draw = list(values), self._random
        for last in range(len(mixed) - 1, 0, -1):
            other = int(draw() * (last + 1))
            mixed[last], mixed[other] = mixed[other], mixed[last]
        return mixed

    def digits(self, count: int) -> str:
        """A text of ``count`` digits, the first of which is not 0."""
        first, draw = str(self.between(1, 9)), self._random
        return first + "".join([_DIGITS[int(draw() * 10)] for _ in range(count - 1)])
