"""The scale of log odds, on which probabilities are corrected by lines that are fitted to outcomes."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: The greatest log odds that are told apart; probabilities nearer to 0 or 1 count as having these.
MAX_LOG_ODDS = 9.0


def log_odds(p: float) -> float:
    """The log odds of a probability, within ``MAX_LOG_ODDS`` of 0."""
    p = min(1 - 1e-9, max(1e-9, p))
    return max(-MAX_LOG_ODDS, min(MAX_LOG_ODDS, math.log(p / (1 - p))))


def from_log_odds(value: float) -> float:
    """The probability with the given log odds."""
    return 1.0 / (1.0 + math.exp(-max(-2 * MAX_LOG_ODDS, min(2 * MAX_LOG_ODDS, value))))


def fitted(
    design: Floats, hits: Floats, counts: Floats | float, mean: Floats, precision: Floats, begin: Floats | None = None
) -> Floats:
    """The most likely weights of a logistic regression, found by Newton's method; the prior makes them unique.

    Args:
        design: A row of features for each trial, or for each group of equal trials.
        hits: How many trials of each row were right.
        counts: How many trials each row stands for.
        mean: The means of the normal prior of the weights.
        precision: The precisions of the prior.
        begin: Weights that are near the result, such as those before the last trials. Default: ``mean``.
    """
    weights = (mean if begin is None else begin).copy()
    prior = np.diag(precision)
    for _ in range(25):
        p = 1.0 / (1.0 + np.exp(-design @ weights))
        gradient = design.T @ (counts * p - hits) + precision * (weights - mean)
        curvature = (design * (counts * p * (1 - p))[:, None]).T @ design + prior
        step = np.linalg.solve(curvature, gradient)
        longest = float(np.abs(step).max())
        weights -= step * min(1.0, 1.0 / max(1e-9, longest))  # a long step may overshoot
        if longest < 1e-6:
            break
    return weights
