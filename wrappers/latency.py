"""Distributions of latency for ``with_latency`` and for simulations: functions from a query to seconds.

The query and a seed determine the latency. Equal queries take equally long in every process, so a handler with a
simulated latency is still a function of its query.
"""

import dataclasses
import functools
import math
import pickle
from collections.abc import Callable, Hashable
from hashlib import blake2b
from statistics import NormalDist
from typing import Any

from spec_envs.checks import not_negative
from spec_envs.equality import OwnRule
from spec_envs.values import key_of

__all__ = ["exponential", "lognormal"]


def exponential(mean_s: float, seed: int = 0) -> Callable[[Any], float]:
    """Return exponentially distributed latencies with a mean of ``mean_s`` seconds."""
    not_negative("mean_s", mean_s)
    return functools.partial(_exponential, mean_s, seed)


def lognormal(median_s: float, sigma: float, seed: int = 0) -> Callable[[Any], float]:
    """Return latencies of ``median_s * exp(N(0, sigma^2))`` seconds."""
    not_negative("median_s", median_s)
    not_negative("sigma", sigma)
    return functools.partial(_lognormal, median_s, sigma, seed)


def _exponential(mean_s: float, seed: int, query: Any) -> float:
    return -mean_s * math.log1p(-_uniform(query, seed))


def _lognormal(median_s: float, sigma: float, seed: int, query: Any) -> float:
    return median_s * math.exp(sigma * NormalDist().inv_cdf(_uniform(query, seed)))


def _uniform(query: Any, seed: int) -> float:
    """Return a number in (0, 1) that depends on query and seed alone, not on the salted ``hash`` of a process."""
    digest = blake2b(_canonical(key_of(query)), digest_size=8, key=str(seed).encode()).digest()
    return ((int.from_bytes(digest, "big") >> 12) + 0.5) / 2**52


def _canonical(key: Hashable) -> bytes:
    if isinstance(key, tuple):
        parts = [_canonical(part) for part in key]
    elif isinstance(key, frozenset):
        parts = sorted(_canonical(part) for part in key)
    elif isinstance(key, OwnRule):
        if not dataclasses.is_dataclass(key.value):
            return pickle.dumps(key.value, protocol=5)
        parts = [_canonical(key_of(getattr(key.value, field.name))) for field in dataclasses.fields(key.value)]
    else:
        return pickle.dumps(key, protocol=5)  # atoms: equal ones have equal pickles, since they share no parts
    return b"(" + b"".join(len(part).to_bytes(8, "big") + part for part in parts) + b")"
