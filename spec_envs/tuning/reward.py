"""The reward of a window: how much better the rewarded metric is than in the first valid window, less penalties."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from spec_envs.checks import choice
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.tuning.knobs import finite
from spec_envs.tuning.measurement import METRICS, Metrics

#: The metrics that a reward can be about. Less is better, except for throughput.
_REWARDED = ("p50", "p95", "p99", "max", "mean", "throughput")
_CAPPED = _REWARDED[:-1]


class Reward:
    """The rule by which windows are rewarded.

    Args:
        metric: The name of the rewarded metric.
        caps: For some of the latencies: the value in ms above which the reward is reduced.

    Raises:
        InvalidConfiguration: There is no such metric, or ``caps`` is not a mapping of latencies to limits above 0.
    """

    def __init__(self, metric: str, caps: Mapping[str, float] | None) -> None:
        self._metric: str = choice("reward", metric, _REWARDED)
        self._sign = -1.0 if metric == "throughput" else 1.0
        self._caps = _read_caps(caps)

    @property
    def goal(self) -> str:
        """The goal in words, such as "lower p95, with p99 at most 200"."""
        limits = "".join(f", with {name} at most {cap:g}" for name, cap in self._caps.items())
        return f"{'lower' if self._sign > 0 else 'raise'} {self._metric}{limits}"

    def check(self, metrics: Metrics) -> None:
        """Check that the reward is defined, and that the observation will be in its space.

        Raises:
            HandlerFailed: A figure is negative or not finite, or the rewarded figure of a valid window is not positive.
        """
        figures = [finite(float(getattr(metrics, name))) for name in METRICS]
        if any(figure is None or figure < 0 for figure in figures) or (metrics.valid and self.figure(metrics) <= 0):
            raise HandlerFailed(
                f"all metrics must be finite and at least 0, and {self._metric!r}, which the reward is about, must be "
                f"above 0 in a valid window; the backend has measured {metrics!r}"
            )

    def figure(self, metrics: Metrics) -> float:
        """The rewarded figure."""
        return float(getattr(metrics, self._metric))

    def of(self, metrics: Metrics, reference: float | None) -> float:
        """The reward of a window; 0 if the window is not valid, or no window has been valid so far.

        Args:
            metrics: The figures of the window.
            reference: The rewarded figure of the first valid window; ``None`` if there is none.
        """
        if reference is None or not metrics.valid:
            return 0.0
        gain = math.log(reference / self.figure(metrics)) * self._sign
        return gain - sum(math.log(max(getattr(metrics, name), cap) / cap) for name, cap in self._caps.items())


def _read_caps(caps: Any) -> dict[str, float]:
    if caps is not None and not isinstance(caps, Mapping):
        raise InvalidConfiguration(f"caps must be a mapping of metrics to limits, not {caps!r}")
    limits: dict[str, float] = dict(caps or {})
    for name, cap in limits.items():
        if name not in _CAPPED or (finite(cap) or 0.0) <= 0:
            raise InvalidConfiguration(f"caps holds limits above 0 ms for {', '.join(_CAPPED)}, not {name!r}: {cap!r}")
    return limits
