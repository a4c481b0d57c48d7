"""Closed forms, from "Speculative Actions" (arXiv 2510.04371), for two machines between which the real one lies.

*Depth 1* starts one call ahead for each guess, and guesses nothing while a call runs that was started ahead.
*No limit* starts every call, however deep, and its cost has no bound.
"""

import dataclasses
import statistics
from collections.abc import Iterator

from spec_envs.benchmarks.plan.workload import PlannedCall, Workload
from spec_envs.calls import Effect

#: The share of a call that fits in before its response is needed, with one call before it; see ``tree.queue``.
_SHARE = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class ClosedForm:
    """The saving and the cost by the closed forms."""

    saved_at_depth_1: float  # share of the time that is saved at depth 1
    # Tokens at depth 1 relative to the plain loop, cancelled calls charged in full; ``None`` where they are unknown.
    tokens_at_depth_1: float | None
    calls_at_depth_1: float  # calls made at depth 1 relative to the plain loop
    saved_without_limits: float  # share of the time that is saved without any limits


def closed_form(workload: Workload, k: int, selectivity: float) -> ClosedForm:
    """The closed forms for means over all calls of a workload.

    Args:
        workload: Calls and guessers.
        k: Guesses for one call.
        selectivity: The least odds of a guess, times one half, for which a call is started.
    """
    pairs = list(_pairs(workload, k, selectivity))
    num_calls = len(workload.calls) / len(workload.episodes)
    mean_s = statistics.fmean(call.seconds for call in workload.calls)
    mean_tokens = statistics.fmean(call.usage.tokens for call in workload.calls)
    p = statistics.fmean(pair.p for pair in pairs)
    if p == 0 or mean_s == 0:
        return ClosedForm(0.0, 1.0 if mean_tokens else None, 1.0, 0.0)
    # Weighted by how often there is something to gain: p is the chance, and what a hit gains follows from the pairs.
    gain_s = statistics.fmean(pair.p * pair.gain_s for pair in pairs) / p
    left_s = statistics.fmean(pair.p * pair.left_s for pair in pairs) / p
    hits, windows = hits_and_windows(num_calls - 1, p)
    wasted_calls = statistics.fmean(pair.started - pair.p for pair in pairs)
    wasted = wasted_calls * mean_tokens + statistics.fmean(pair.guess_tokens for pair in pairs)
    return ClosedForm(
        hits * gain_s / (num_calls * mean_s),
        1 + windows * wasted / (num_calls * mean_tokens) if mean_tokens else None,
        1 + windows * wasted_calls / num_calls,
        (num_calls - 1) / num_calls * p * left_s / mean_s,
    )


def hits_and_windows(n: float, p: float) -> tuple[float, float]:
    """Expected hits and windows among ``n`` calls, if the call after a hit opens no window: S_n, and S_n / p."""
    windows = n / (1 + p) + p * (1 - (-p) ** round(n)) / (1 + p) ** 2
    return p * windows, windows


@dataclasses.dataclass(frozen=True, slots=True)
class _Pair:
    """Two calls, one after the other."""

    p: float  # the probability that the second one is started ahead on the right guess
    started: int  # how many calls are started ahead
    gain_s: float  # what a hit saves at depth 1: what is left of the first call, or the second, whichever is less
    left_s: float  # what is left of the first call when the guess comes
    guess_tokens: float  # tokens of guessing


def _pairs(workload: Workload, k: int, selectivity: float) -> Iterator[_Pair]:
    for episode in workload.episodes:
        for first, second in zip(episode, episode[1:], strict=False):
            yield _pair(first, second, workload, k, selectivity)


def _pair(first: PlannedCall, second: PlannedCall, workload: Workload, k: int, selectivity: float) -> _Pair:
    guessing = workload.guessing.get(first.handler)
    if guessing is None:
        return _Pair(0.0, 0, 0.0, 0.0, 0.0)
    left_s = first.seconds - guessing.seconds
    if left_s <= 0 or second.effect is Effect.WRITE:
        return _Pair(0.0, 0, 0.0, 0.0, guessing.usage.tokens)
    rates = [rate for rate in guessing.rates[:k] if rate > 0 and _SHARE * rate >= selectivity * (1 - rate)]
    return _Pair(sum(rates), len(rates), min(second.seconds, left_s), left_s, guessing.usage.tokens)
