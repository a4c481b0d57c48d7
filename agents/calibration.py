"""How likely a guess is to be right, learned online; every guesser gets its probabilities here.

``RankCalibration`` goes by the rank of a guess, ``ScoreCalibration`` by rank and score. ``Reliability`` and
``LogOddsCalibration`` correct the probabilities that a guesser claims: by rank, and by rank
and claim. All start from a prior, so that the first guesses have sensible probabilities too. All but
``LogOddsCalibration`` are thread-safe.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from spec_envs import InvalidConfiguration

#: The probability that is always left for a response that nobody guessed.
_RESERVE = 0.01
#: Outcomes are counted in bins of log odds of this width, from -_MAX_LOG_ODDS to _MAX_LOG_ODDS.
_BIN_WIDTH = 0.5
_MAX_LOG_ODDS = 9.0
#: The number of ranks with a line of their own; further ranks share the last line.
_RANKS = 3


class RankCalibration:
    """Estimates P(the guess of rank r is right) from past guesses, with a Beta distribution for each rank.

    Args:
        prior: The mean of the prior for the ranks 0, 1, …; each further rank gets half of the one before.
        strength: The number of observations that the prior counts for.
    """

    def __init__(self, prior: Sequence[float] = (0.45, 0.15, 0.10, 0.05, 0.03), strength: float = 10.0) -> None:
        if not prior or not all(0 < mean < 1 for mean in prior):
            raise InvalidConfiguration(f"prior must be probabilities between 0 and 1, not {prior!r}")
        if not strength > 0:
            raise InvalidConfiguration(f"strength must be above 0, not {strength!r}")
        self._prior = tuple(prior)
        self._strength = strength
        self._lock = threading.Lock()
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
        if not temperatures or not all(each > 0 for each in temperatures):
            raise InvalidConfiguration(f"temperatures must be above 0, not {temperatures!r}")
        self.ranks = ranks or RankCalibration()
        self._temperatures = tuple(temperatures)
        self._limit = limit
        self._lock = threading.Lock()
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
        strength: The number of hits, and of claimed hits, that the prior ratio of 1 counts for.
    """

    def __init__(self, strength: float = 2.0) -> None:
        self._strength = strength
        self._lock = threading.Lock()
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


class LogOddsCalibration:
    """Corrects probabilities by ``logit(p') = slope * logit(p) + offset``, with one line for each of the first ranks.

    A line starts as the identity, and a prior worth ``strength`` observations pulls the line towards the identity.
    Lines are fitted to counts in bins, so that they can be updated after each observation, and saved. Not thread-safe.

    Args:
        strength: The number of observations that the prior counts for.
    """

    def __init__(self, strength: float = 8.0) -> None:
        self._strength = strength
        bins = round(2 * _MAX_LOG_ODDS / _BIN_WIDTH) + 1
        self._counts = np.zeros((_RANKS, bins))
        self._hits = np.zeros((_RANKS, bins))
        self._sums = np.zeros((_RANKS, bins))
        self._lines: list[tuple[float, float] | None] = [None] * _RANKS

    def corrected(self, claims: Sequence[float], *, exclusive: bool = True) -> list[float]:
        """Return the corrected probabilities of the ranks 0, 1, …, none greater than the one before.

        Args:
            claims: The probability that the model claims for each rank.
            exclusive: Whether only one prediction can come true. If so, the results are scaled to sum to less than 1.
        """
        result: list[float] = []
        for rank, claim in enumerate(claims):
            slope, offset = self._line(min(rank, _RANKS - 1))
            value = 1.0 / (1.0 + math.exp(-(slope * _logit(claim) + offset)))
            result.append(min(value, result[-1]) if result else value)
        return capped(result) if exclusive else result

    def observe(self, right: Collection[int], claims: Sequence[float]) -> None:
        """Learn which predictions came true: ``right`` holds their ranks, ``claims`` the claims of all predictions."""
        for rank, claim in enumerate(claims):
            row, value = min(rank, _RANKS - 1), _logit(claim)
            place = round((value + _MAX_LOG_ODDS) / _BIN_WIDTH)
            self._counts[row, place] += 1
            self._sums[row, place] += value
            self._hits[row, place] += rank in right
            self._lines[row] = None

    def _line(self, row: int) -> tuple[float, float]:
        line = self._lines[row]
        if line is None:
            line = self._lines[row] = self._fit(row)
        return line

    def _fit(self, row: int) -> tuple[float, float]:
        """Return the most likely line, found by Newton's method. The prior makes the line unique."""
        used = self._counts[row] > 0
        if not used.any():
            return 1.0, 0.0
        counts, hits = self._counts[row][used], self._hits[row][used]
        design = np.stack([self._sums[row][used] / counts, np.ones(len(counts))], axis=1)
        start = np.array([1.0, 0.0])
        prior = np.array([self._strength, self._strength / 4])
        line = start.copy()
        for _ in range(25):
            p = 1.0 / (1.0 + np.exp(-design @ line))
            slope = design.T @ (counts * p - hits) + prior * (line - start)
            curvature = (design * (counts * p * (1 - p))[:, None]).T @ design + np.diag(prior)
            step = np.linalg.solve(curvature, slope)
            line -= step * min(1.0, 1.0 / max(1e-9, float(np.abs(step).max())))
            if np.abs(step).max() < 1e-8:
                break
        return max(0.05, float(line[0])), float(line[1])

    def to_json(self) -> dict[str, Any]:
        """Return the whole state as JSON data."""
        return {
            "strength": self._strength,
            **{name: getattr(self, f"_{name}").tolist() for name in ("counts", "hits", "sums")},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LogOddsCalibration:
        """Return a calibration in the state that ``to_json`` returned."""
        calibration = cls(data["strength"])
        for name in ("counts", "hits", "sums"):
            setattr(calibration, f"_{name}", np.array(data[name]))
        return calibration


def capped(probabilities: list[float]) -> list[float]:
    """Return the probabilities, scaled down to sum to just below 1 if they would sum to more."""
    total = sum(probabilities)
    if total <= 1 - _RESERVE:
        return probabilities
    return [(1 - _RESERVE) * each / total for each in probabilities]


def _logit(p: float) -> float:
    p = min(1 - 1e-9, max(1e-9, p))
    return max(-_MAX_LOG_ODDS, min(_MAX_LOG_ODDS, math.log(p / (1 - p))))
