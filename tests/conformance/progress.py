"""How far the examinations have come: a bar on a terminal, a line every ten seconds anywhere else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TextIO

from tests.conformance.examining import Outcome

#: How often something is told, in seconds.
EVERY_S = 10.0
_WIDTH = 40


class Progress:
    """Tells how many environments and episodes are done.

    Args:
        total: How many environments there are.
        stream: Where to tell it.
    """

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total, self._stream, self._begun = total, stream, time.monotonic()
        self._told_s = 0.0

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Tell it, unless it is too soon."""
        seconds = time.monotonic() - self._begun
        is_terminal = self._stream.isatty()
        if not is_terminal and seconds < self._told_s + EVERY_S:
            return
        self._told_s = seconds
        episodes = sum(each.episodes + each.on_threads for each in outcomes)
        text = f"{len(outcomes)} of {self._total} environments, {episodes:,} episodes, {seconds:.0f} s"
        if is_terminal:
            done = _WIDTH * len(outcomes) // max(1, self._total)
            text = f"\r[{'#' * done}{'.' * (_WIDTH - done)}] {text}\033[K"
        self._stream.write(text if is_terminal else f"{text}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Make room for a line of something else."""
        if self._stream.isatty():
            self._stream.write("\r\033[K")
            self._stream.flush()
