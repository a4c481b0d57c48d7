"""The probability that a guess is right, learned online. All guessers take their probabilities from this module.

``RankCalibration`` uses the rank of a guess, ``ScoreCalibration`` its rank and score. ``Reliability`` corrects the
probabilities that a guesser claims, for each rank. All start from a prior, so that the first guesses have sensible
probabilities too. All are thread-safe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from spec_envs.checks import as_number, positive
from spec_envs.errors import InvalidConfiguration
from spec_envs.pickling import Lock

#: The probability that is always left for a response that nobody guessed.
_RESERVE = 0.01


class RankCalibration:
    """Estimates P(the guess of rank r is right) from past guesses, with a Beta distribution for each rank.

    Args:
        prior: The mean of the prior for the ranks 0, 1, …; each further rank gets half of the previous rank's mean.
        strength: The weight of the prior, as a number of observations.
    """

    def __init__(self, prior: Sequence[float] = (0.45, 0.15, 0.10, 0.05, 0.03), strength: float = 10.0) -> None:
        if not prior or not all(0 < as_number(mean) < 1 for mean in prior):
            raise InvalidConfiguration(f"prior must be probabilities between 0 and 1, not {prior!r}")
        self._prior = tuple(prior)
        self._strength = positive("strength", strength)
        self._lock = Lock()
        self._hits: dict[int, int] = {}
        self._trials: dict[int, int] = {}

    def probability(self, rank: int) -> float:
        """Return P(the guess of ``rank`` is right); rank 0 is the first guess."""
        beyond = rank - len(self._prior) + 1
        mean = self._prior[-1] / 2 ** max(beyond, 0) if beyond > 0 else self._prior[rank]
        with self._lock:
            hits, trials = self._hits.get(rank, 0), self._trials.get(rank, 0)
        return (hits + self._strength * mean) / (trials + self._strength)

    def probabilities(self, count: int) -> list[float]:
        """Return P(right) for the first ``count`` ranks, scaled down if they would sum to more than 1."""
        return capped([self.probability(rank) for rank in range(count)])

    def observe(self, rank: int | None, offered: int) -> None:
        """Learn that the guess of ``rank`` was right among ``offered`` guesses; ``None``: no guess was right."""
        with self._lock:
            for each in range(offered):
                self._trials[each] = self._trials.get(each, 0) + 1
            if rank is not None:
                self._hits[rank] = self._hits.get(rank, 0) + 1


class ScoreCalibration:
    """Estimates P(a scored candidate is the response) from its rank and from its distance to the best candidate.

    The ranks determine how probable it is that any candidate is right. Among the candidates, the probability of rank r
    is proportional to P(r) times a softmax of the score differences. The temperature of the softmax is unknown, so
    several temperatures are mixed, each weighted by how well it has predicted so far. One of them is infinite, which
    ignores the scores.

    Args:
        ranks: The estimate by rank. Default: a new ``RankCalibration``.
        temperatures: Score differences that make a candidate e times less likely, in the unit of the scores.
        limit: Scores are clipped to the range from ``-limit`` to ``limit``.
    """

    def __init__(
        self,
        ranks: RankCalibration | None = None,
        temperatures: Sequence[float] = (30.0, 60.0, 120.0, 240.0, 480.0, math.inf),
        limit: float = 1000.0,
    ) -> None:
        if not temperatures or not all(as_number(each) > 0 for each in temperatures):
            raise InvalidConfiguration(f"temperatures must be above 0, not {temperatures!r}")
        self.ranks = ranks or RankCalibration()
        self._temperatures = tuple(temperatures)
        self._limit = limit
        self._lock = Lock()
        self._evidence = [0.0] * len(self._temperatures)  # log likelihood

    def probabilities(self, scores: Sequence[float], *, complete: bool = False) -> list[float]:
        """Return P(right) for each candidate, best candidate first.

        Args:
            scores: The score of each candidate.
            complete: Whether no response other than these candidates is possible.
        """
        if not scores:
            return []
        by_rank = [self.ranks.probability(rank) for rank in range(len(scores))]
        mass = 1 - _RESERVE if complete else min(sum(by_rank), 1 - _RESERVE)
        with self._lock:
            top = max(self._evidence)
            weights = [math.exp(each - top) for each in self._evidence]
        shares = [0.0] * len(scores)
        for weight, temperature in zip(weights, self._temperatures, strict=True):
            for rank, share in enumerate(self._shares(scores, by_rank, temperature)):
                shares[rank] += weight / sum(weights) * share
        return [mass * share for share in shares]

    def observe(self, rank: int | None, scores: Sequence[float]) -> None:
        """Learn that the candidate of ``rank`` was right among candidates with ``scores``; ``None``: none was right."""
        if rank is not None:
            by_rank = [self.ranks.probability(each) for each in range(len(scores))]
            likelihood = [self._shares(scores, by_rank, each)[rank] for each in self._temperatures]
            with self._lock:
                for index, each in enumerate(likelihood):
                    self._evidence[index] += math.log(max(each, 1e-6))
        self.ranks.observe(rank, len(scores))

    def _shares(self, scores: Sequence[float], by_rank: Sequence[float], temperature: float) -> list[float]:
        clipped = [max(-self._limit, min(self._limit, score)) for score in scores]
        top = max(clipped)
        raw = [p * math.exp((score - top) / temperature) for p, score in zip(by_rank, clipped, strict=True)]
        return [each / sum(raw) for each in raw]


class Reliability:
    """Corrects claimed probabilities by the ratio of hits to claimed hits of each rank.

    Args:
        strength: The weight of the prior ratio of 1, as a number of hits and of claimed hits.
    """

    def __init__(self, strength: float = 2.0) -> None:
        self._strength = strength
        self._lock = Lock()
        self._hits: dict[int, int] = {}
        self._claimed: dict[int, float] = {}

    def corrected(self, claims: Sequence[float]) -> list[float]:
        """Return the corrected claims of the ranks 0, 1, …, scaled down if they would sum to more than 1."""
        with self._lock:
            return capped([claim * self._factor(rank) for rank, claim in enumerate(claims)])

    def observe(self, rank: int | None, claims: Sequence[float]) -> None:
        """Learn that the guess of ``rank`` was right among guesses with ``claims``; ``None``: no guess was right."""
        with self._lock:
            for each, claim in enumerate(claims):
                self._claimed[each] = self._claimed.get(each, 0.0) + claim
            if rank is not None:
                self._hits[rank] = self._hits.get(rank, 0) + 1

    def _factor(self, rank: int) -> float:
        return (self._hits.get(rank, 0) + self._strength) / (self._claimed.get(rank, 0.0) + self._strength)


def capped(probabilities: list[float]) -> list[float]:
    """Return the probabilities, scaled down to sum to just below 1 if they would sum to more."""
    total = sum(probabilities)
    if total <= 1 - _RESERVE:
        return probabilities
    return [(1 - _RESERVE) * each / total for each in probabilities]
