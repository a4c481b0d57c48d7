"""Means with 95 % intervals, by bootstrap over episodes."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

_RESAMPLES = 2000
_WITHIN = (2.5, 97.5)

#: ``value``, ``low`` and ``high``; the last two are ``None`` where one episode says nothing about others.
Interval = dict[str, float | None]
NOTHING: Interval = {"value": None, "low": None, "high": None}


def interval(values: Sequence[Any], seed: int = 0) -> Interval:
    """The mean, and the interval in which 95 % of the means of resampled episodes lie.

    The draws depend on ``seed`` and on the number of values alone: equal values give equal intervals.

    Args:
        values: A figure of each episode; those without it (``None``) do not count.
        seed: Seed of the resampling.
    """
    known = np.array([float(value) for value in values if value is not None])
    if not len(known):
        return NOTHING
    if len(known) == 1:
        return {"value": float(known[0]), "low": None, "high": None}
    rng = np.random.default_rng([seed, zlib.crc32(b"bootstrap"), len(known)])
    means = known[rng.integers(len(known), size=(_RESAMPLES, len(known)))].mean(axis=1)
    low, high = np.percentile(means, _WITHIN)
    return {"value": float(known.mean()), "low": float(low), "high": float(high)}
