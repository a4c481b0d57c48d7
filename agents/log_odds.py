"""``LogOddsCalibration``: corrects probabilities on the scale of log odds. Learned online."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from spec_envs.agents.calibration import capped
from spec_envs.log_odds import MAX_LOG_ODDS, fitted, from_log_odds, log_odds

#: Outcomes are counted in bins of log odds of this width, from -MAX_LOG_ODDS to MAX_LOG_ODDS.
_BIN_WIDTH = 0.5
#: The number of ranks with a line of their own; further ranks share the last line.
_RANKS = 3


class LogOddsCalibration:
    """Corrects probabilities by ``logit(p') = slope * logit(p) + offset``, with one line for each of the first ranks.

    A line starts as the identity, and a prior worth ``strength`` observations pulls the line towards the identity.
    Lines are fitted to counts in bins, so that they can be updated after each observation, and saved. Not thread-safe.
    """

    def __init__(self, strength: float = 8.0) -> None:
        self._strength = strength
        bins = round(2 * MAX_LOG_ODDS / _BIN_WIDTH) + 1
        self._counts = np.zeros((_RANKS, bins))
        self._hits = np.zeros((_RANKS, bins))
        self._sums = np.zeros((_RANKS, bins))
        self._lines: list[tuple[float, float] | None] = [None] * _RANKS

    def corrected(self, claims: Sequence[float], *, exclusive: bool = True) -> list[float]:
        """Return the corrected probabilities of the ranks 0, 1, …; none is greater than that of the rank before.

        If at most one prediction can be right (``exclusive``), the probabilities are scaled to sum to less than 1.
        """
        result: list[float] = []
        for rank, claim in enumerate(claims):
            row = min(rank, _RANKS - 1)
            slope, offset = line = self._lines[row] or self._fit(row)
            self._lines[row] = line
            value = from_log_odds(slope * log_odds(claim) + offset)
            result.append(min(value, result[-1]) if result else value)
        return capped(result) if exclusive else result

    def observe(self, right: Collection[int], claims: Sequence[float]) -> None:
        """Learn which predictions were right: ``right`` holds their ranks, ``claims`` the claims of all predictions."""
        for rank, claim in enumerate(claims):
            row, value = min(rank, _RANKS - 1), log_odds(claim)
            place = round((value + MAX_LOG_ODDS) / _BIN_WIDTH)
            self._counts[row, place] += 1
            self._sums[row, place] += value
            self._hits[row, place] += rank in right
            self._lines[row] = None

    def _fit(self, row: int) -> tuple[float, float]:
        """Return the most likely line."""
        used = self._counts[row] > 0
        if not used.any():
            return 1.0, 0.0
        counts, hits = self._counts[row][used], self._hits[row][used]
        design = np.stack([self._sums[row][used] / counts, np.ones(len(counts))], axis=1)
        precision = np.array([self._strength, self._strength / 4])
        slope, offset = fitted(design, hits, counts, np.array([1.0, 0.0]), precision)
        return max(0.05, float(slope)), float(offset)

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
