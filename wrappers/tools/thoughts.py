"""How long agents think between two calls: when the next call may come.

A server that answers one call at a time makes the agent's own call wait for a call ahead of time. So such a server gets
only those calls ahead of time that are expected to end before the agent has finished thinking.

Pure: no clock; times are given in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

#: How many thoughts are remembered.
_MEMORY = 16
#: Times that differ by less are equal: sums are rounded.
_SAME_S = 1e-6


class Thoughts:
    """How long the last thoughts of the agents took."""

    def __init__(self, seconds: Iterable[float] = ()) -> None:
        self._seconds = [float(each) for each in seconds][-_MEMORY:]

    def add(self, seconds: float) -> None:
        """An agent has called after it had thought for ``seconds``."""
        self._seconds.append(seconds)
        del self._seconds[:-_MEMORY]

    def as_list(self) -> list[float]:
        """The thoughts that are remembered, the last one at the end."""
        return list(self._seconds)

    def ask_again_at(self, since: Sequence[float], now: float, seconds: float) -> float | None:
        """``None`` if a call of so many ``seconds`` ends before an agent calls; or else when to ask again.

        An agent that has thought for some time is taken to call no earlier than after the shortest remembered thought
        that was longer. An agent that has thought for twice as long as ever before is taken to think for as long again.

        Args:
            since: When each agent that thinks has begun to.
            now: The time.
            seconds: What the call takes.
        """
        again = []
        for begun in since:
            elapsed = now - begun
            longer = [each for each in self._seconds if each > elapsed + _SAME_S]
            known = elapsed if longer else 2 * max(self._seconds, default=0.0)
            end = min(longer, default=2 * elapsed)
            if elapsed < known - _SAME_S or elapsed + seconds > end + _SAME_S:
                again.append(begun + (end if longer else max(known, seconds)))
        return min(again, default=None)
