"""What followed what in earlier episodes: on the same question after the same actions, or after the same action."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING

from spec_envs.agents.guessers import Recent

if TYPE_CHECKING:
    from spec_envs.agents.search_guessers.situation import Situation
    from spec_envs.search.actions import Act

#: How often each kind of memory is right, before anything is known: as many times of so many.
_PRIORS = ((2.0, 3.0), (1.0, 4.0))


class Memory:
    """The last action that came in a situation like this one, and how often that came true.

    Args:
        capacity: Situations remembered; the one not needed for longest is forgotten first.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._next: Recent[Act] = Recent(capacity)
        self._lock = threading.Lock()
        self._right = [right for right, _ in _PRIORS]
        self._asked = [asked for _, asked in _PRIORS]

    def recall(self, situation: Situation) -> tuple[Act, float] | None:
        """What may come, with its probability; from the most specific kind of memory that has something to say."""
        for kind, key in enumerate(_keys(situation)):
            act = self._next.get(key)
            if act is not None:
                with self._lock:
                    return act, self._right[kind] / self._asked[kind]
        return None

    def add(self, situation: Situation, act: Act) -> None:
        """Remember what came."""
        keys = list(_keys(situation))
        for kind, key in enumerate(keys):
            recalled = self._next.get(key)
            if recalled is not None:
                with self._lock:
                    self._asked[kind] += 1
                    self._right[kind] += recalled == act
                break
        for key in keys:
            self._next.put(key, act)


def _keys(situation: Situation) -> Iterator[Hashable]:
    """What an action may depend on, the most specific first; a first action depends on the question alone."""
    yield (situation.question, situation.acts)
    if situation.acts:
        yield situation.acts[-1]
