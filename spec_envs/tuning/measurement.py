"""What is measured, as data: the question, the figures of one window, and the protocols of workloads and backends."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from spec_envs.calls import Effect
    from spec_envs.handling import CancelToken
    from spec_envs.tuning.knobs import Knob, Setting

__all__ = ["METRICS", "Backend", "Machine", "MeasureQuery", "Measurement", "Metrics", "Workload"]


@dataclasses.dataclass(frozen=True, slots=True)
class Metrics:
    """How a workload did in one window.

    Attributes:
        p50: Latency in ms that half of the events did not exceed; so ``p95`` and ``p99``.
        p95: See ``p50``.
        p99: See ``p50``.
        max: The longest latency in ms.
        mean: The mean latency in ms.
        throughput: Events per second.
        cpu_share: The workload's own share of its cores' time, 0 to 1.
        valid: Whether the figures count: there were events, and nothing foreign had the cores.
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
        """The figures of events that began within ``seconds``; without any event they are 0 and not valid."""
        if not len(latencies_ms):
            return cls(cpu_share=cpu_share)
        latencies = np.asarray(latencies_ms, np.float64)
        p50, p95, p99 = (float(each) for each in np.percentile(latencies, (50, 95, 99)))
        longest, mean = float(latencies.max()), float(latencies.mean())
        return cls(p50, p95, p99, longest, mean, len(latencies) / seconds, cpu_share, valid)


#: The names of the figures in the order of their columns in an observation.
METRICS = tuple(field.name for field in dataclasses.fields(Metrics))


@dataclasses.dataclass(frozen=True, slots=True)
class Machine:
    """What the machine did meanwhile; all zero where nothing was really measured.

    Attributes:
        load: Load average of the last minute, per core.
        memory: Share of the memory in use, 0 to 1.
        context_switches: Context switches per second, of all processes.
    """

    load: float = 0.0
    memory: float = 0.0
    context_switches: float = 0.0


class Workload(Protocol):
    """What runs: an immutable value, compared by value, that declares its knobs. Backends know what to do with it."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """What can be set."""


@dataclasses.dataclass(frozen=True, slots=True)
class MeasureQuery:
    """Apply ``knobs``, settle, and measure one window: what does the workload do?

    Attributes:
        workload: What runs.
        knobs: The setting to measure.
        seed: Of the episode; for what is random in a workload or a model.
        window: Number of the window in the episode, from 0.
        window_s: How long it takes in seconds, settling included.
        settle_s: How long of that to wait before anything counts.
        previous: The setting before, where the backend says that it matters; else ``None``.
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
    """The answer to a ``MeasureQuery``.

    Attributes:
        metrics: What was measured.
        machine: What the machine did meanwhile.
        attempts: How often it was measured until it was valid, or was given up.
        expected: The ``p95`` that a model expects without noise; ``None`` where there is no model.
    """

    metrics: Metrics
    machine: Machine = Machine()
    attempts: int = 1
    expected: float | None = None


class Backend(Protocol):
    """Where workloads run: the handler ``"measure"``, called from several threads at once.

    Attributes:
        workload: What runs unless the user says otherwise.
        effect: ``READ`` for a function of the query, ``SAMPLE`` for a fresh draw that changes nothing outside of
            itself, ``WRITE`` for one that sets what others see too: it is then never called on a branch.
        max_inflight: How many measurements at once do not disturb each other; ``None`` for any number.
        carries_over: Whether the setting before counts, and has to be in the query.
    """

    @property
    def workload(self) -> Workload:  # noqa: D102 - documented above
        ...

    @property
    def effect(self) -> Effect:  # noqa: D102
        ...

    @property
    def max_inflight(self) -> int | None:  # noqa: D102
        ...

    @property
    def carries_over(self) -> bool:  # noqa: D102
        ...

    def __call__(self, query: MeasureQuery, cancel: CancelToken) -> Measurement:
        """Apply, settle, measure."""

    def best(self, workload: Workload) -> float | None:
        """The best known ``p95`` in ms; ``None`` where none is known."""

    def close(self) -> None:
        """Stop what runs, and put back what was set."""
