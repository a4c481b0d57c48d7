"""The actions that came next in earlier episodes."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from spec_envs.agents.calibration import RankCalibration
from spec_envs.agents.recent import Recent
from spec_envs.agents.search.situation import Situation
from spec_envs.search.actions import Act

#: How reliable each kind of memory is at first: mean and strength of the prior.
_PRIORS = ((2 / 3, 3.0), (1 / 4, 4.0))


class PastActions:
    """Remembers the action that came next in each situation, and how often the same action came again.

    There are two kinds of memory: the same question after the same actions, and any question after the same action.

    Args:
        capacity: The number of situations remembered. The situation not used for longest is forgotten first.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._next: Recent[Act] = Recent(capacity)
        self._reliability = [RankCalibration((mean,), strength) for mean, strength in _PRIORS]

    def recall(self, situation: Situation) -> tuple[Act, float] | None:
        """Return the remembered action and its probability, from the most specific memory that has an action."""
        for kind, key in enumerate(_keys(situation)):
            act = self._next.get(key)
            if act is not None:
                return act, self._reliability[kind].probability(0)
        return None

    def add(self, situation: Situation, act: Act) -> None:
        """Remember that ``act`` came next in ``situation``."""
        keys = list(_keys(situation))
        for kind, key in enumerate(keys):
            recalled = self._next.get(key)
            if recalled is not None:
                self._reliability[kind].observe(0 if recalled == act else None, 1)
                break
        for key in keys:
            self._next.put(key, act)


def _keys(situation: Situation) -> Iterator[Hashable]:
    """Yield a key of the situation for each kind of memory, the most specific first."""
    yield (situation.question, situation.acts)
    if situation.acts:
        yield situation.acts[-1]
