"""``FrequencyGuesser``: the responses that followed equal queries before."""

from collections import Counter
from collections.abc import Hashable
from typing import Any

from spec_envs import Call, Guess
from spec_envs.agents.recent import Recent
from spec_envs.checks import integer, positive
from spec_envs.pickling import Lock
from spec_envs.values import key_of

_Counts = Counter[Hashable]


class FrequencyGuesser:
    """Guesses the responses that followed an equal query before, and otherwise the most frequent responses.

    ``P(r | q) = (n(q, r) + s P(r)) / (n(q) + s)``, and ``P(r)`` likewise from all queries to the same handler. This
    suits queries that are repeated exactly, such as the discrete observations of FrozenLake. Thread-safe.

    Args:
        strength: ``s``: the weight of the overall frequencies, as a number of observations of the query (> 0).
        capacity: The number of queries that are remembered. The least recently seen query is forgotten first.
        max_responses: The number of different responses that are learned. Further ones are ignored.
    """

    def __init__(self, *, strength: float = 1.0, capacity: int = 100_000, max_responses: int = 10_000) -> None:
        self._strength = positive("strength", strength)
        self._max_responses = integer("max_responses", max_responses, least=1)
        self._lock = Lock()
        self._by_query: Recent[_Counts] = Recent(capacity)
        self._overall: dict[str, _Counts] = {}
        self._responses: dict[Hashable, tuple[int, Any]] = {}  # by key: the order of the first observation, response

    def guess(self, call: Call, k: int) -> list[Guess]:
        """Return at most ``k`` guesses, most likely first."""
        with self._lock:
            overall = self._overall.get(call.handler)
            if overall is None:
                return []
            here = self._by_query.get(call.key) or _Counts()
            total, total_here = overall.total() + self._strength, here.total() + self._strength
            scored = []
            for key in here.keys() | dict(overall.most_common(k)).keys():
                probability = (here[key] + self._strength * (overall[key] / total)) / total_here
                scored.append((-probability, *self._responses[key]))
            scored.sort(key=lambda entry: entry[:2])
            return [Guess(response, -negated) for negated, _, response in scored[:k]]

    def observe(self, call: Call, response: Any) -> None:
        """Count ``response``."""
        key = key_of(response)
        with self._lock:
            if key not in self._responses:
                if len(self._responses) >= self._max_responses:
                    return
                self._responses[key] = len(self._responses), response
            self._overall.setdefault(call.handler, _Counts())[key] += 1
            self._by_query.get_or_make(call.key, _Counts)[key] += 1
