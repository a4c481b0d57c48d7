"""What is measured, as data (the query, the figures of one window, the protocol of workloads), and what it is worth."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from spec_envs.brief import own_form
from spec_envs.checks import choice
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.tuning.knobs import Knob, Setting, finite


@dataclasses.dataclass(frozen=True, slots=True)
class Metrics:
    """The figures of a workload in one window.

    Attributes:
        p50: The latency in ms that half of the events did not exceed.
        p95: The latency in ms that 95 % of the events did not exceed.
        p99: The latency in ms that 99 % of the events did not exceed.
        max: The longest latency in ms.
        mean: The mean latency in ms.
        throughput: Events per second.
        cpu_share: The share of the cores' time that the workload had, from 0 to 1.
        valid: Whether the figures count: there were events, and no other process took the cores' time.
    """

    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0
    mean: float = 0.0
    throughput: float = 0.0
    cpu_share: float = 0.0
    valid: bool = False

    @classmethod
    def of(
        cls, latencies_ms: Sequence[float], seconds: float, *, cpu_share: float = 1.0, valid: bool = True
    ) -> Metrics:
        """The figures of the events that began within ``seconds``. Without events they are 0, and not valid."""
        if not len(latencies_ms):
            return cls(cpu_share=cpu_share)
        latencies = np.asarray(latencies_ms, np.float64)
        p50, p95, p99 = (float(each) for each in np.percentile(latencies, (50, 95, 99)))
        longest, mean = float(latencies.max()), float(latencies.mean())
        return cls(p50, p95, p99, longest, mean, len(latencies) / seconds, cpu_share, valid)


#: The names of the figures, in the order of their columns in an observation.
METRICS = tuple(field.name for field in dataclasses.fields(Metrics))


@dataclasses.dataclass(frozen=True, slots=True)
class Machine:
    """The state of the machine during a window; all zero if the window was simulated."""

    load: float = 0.0  # load average of the last minute, per core
    memory: float = 0.0  # share of the memory in use, from 0 to 1
    context_switches: float = 0.0  # context switches of all processes per second


class Workload(Protocol):
    """What runs: an immutable value, compared by value, that declares its knobs. Backends know how to run it."""

    @property
    def name(self) -> str:
        """The name that people read."""
        ...

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The knobs that can be set."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class MeasureQuery:
    """Apply ``knobs``, settle, and measure one window of ``workload``.

    Attributes:
        workload: The workload that runs.
        knobs: The setting to measure.
        seed: Seed of the episode, for the random parts of a workload or a model.
        window: Number of the window in the episode, from 0.
        window_s: Length of the window in seconds, settling included.
        settle_s: Seconds at the start of the window in which nothing counts.
        previous: The previous setting, if the backend says that it influences the measurement; otherwise ``None``.
    """

    workload: Workload
    knobs: Setting
    seed: int
    window: int
    window_s: float
    settle_s: float
    previous: Setting | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Measurement:
    """The response to a ``MeasureQuery``.

    Attributes:
        metrics: The figures of the window.
        machine: The state of the machine during the window.
        attempts: How often the window was measured until it was valid, or the backend gave up.
        expected: The ``p95`` in ms that a model predicts without noise; ``None`` if there is no model.
    """

    metrics: Metrics
    machine: Machine = Machine()
    attempts: int = 1
    expected: float | None = None


@own_form.register
def _(query: MeasureQuery) -> str:
    return ", ".join(f"{name}={value}" for name, value in query.knobs)


@own_form.register
def _(measured: Measurement) -> str:
    metrics = measured.metrics
    # The page of a trace draws its curve from the first number (frontend/src/replay.ts).
    return (
        f"value {metrics.p95:.4g} ms (p95), {metrics.throughput:.4g} events/s{'' if metrics.valid else ', not valid'}"
    )


#: The metrics that a reward can be about. Less is better, except for throughput.
_REWARDED = ("p50", "p95", "p99", "max", "mean", "throughput")
_CAPPED = _REWARDED[:-1]


class Reward:
    """The rule by which windows are rewarded: by one metric, and less if a latency exceeds its cap in ms.

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
        """Raise ``HandlerFailed`` unless ``metrics`` have a reward, and fit into the space of observations."""
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
        """The reward of a window; 0 if the window is not valid, or if there is no ``reference`` figure yet."""
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
