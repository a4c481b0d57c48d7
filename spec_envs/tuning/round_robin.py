"""A model of a scheduler that serves tasks in turn: latency and context switches as functions of the time slice."""

import dataclasses
import functools
import math
from collections.abc import Mapping

from spec_envs.checks import keep_integers
from spec_envs.errors import InvalidConfiguration
from spec_envs.tuning.knobs import Knob, Setting, Value
from spec_envs.tuning.measurement import Metrics

#: How long a task may run before the next task gets its turn. The bounds are those of the Linux kernel.
SLICE = Knob("slice_ms", "float", 0.1, 100.0, log=True, default=32.0, unit="ms")


@dataclasses.dataclass(frozen=True, slots=True)
class RoundRobin:
    """``tasks`` tasks on one core. Each has events one after the other, which take ``service_ms`` of CPU time.

    An event of ``s`` ms begins at any point of its task's slice of ``q`` ms. So it is interrupted ``floor(u + s/q)``
    times, with ``u`` uniform between 0 and 1, and each time the ``n - 1`` other tasks have their turn. The quantiles of
    its latency are ``s + floor(u + s/q) (n - 1) q``.

    Attributes:
        service_ms: CPU time of one event in ms, above 0.
        tasks: Number of tasks on each core, at least 1.
    """

    service_ms: float = 9.5
    tasks: int = 4

    def __post_init__(self) -> None:
        if not (math.isfinite(self.service_ms) and self.service_ms > 0):
            raise InvalidConfiguration(f"service_ms must be above 0 ms, not {self.service_ms!r}")
        keep_integers(self, tasks=1)

    @property
    def name(self) -> str:
        """Such as "round-robin 4 x 9.5 ms"."""
        return f"round-robin {self.tasks} x {self.service_ms:g} ms"

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The scheduler slice."""
        return (SLICE,)

    def model(self, values: Mapping[str, Value]) -> Metrics:
        """The expected figures, without noise."""
        slice_ms, service_ms = float(values[SLICE.name]), self.service_ms
        turn = (self.tasks - 1) * slice_ms
        p50, p95, p99 = (service_ms + math.floor(u + service_ms / slice_ms) * turn for u in (0.5, 0.95, 0.99))
        longest = service_ms + math.ceil(service_ms / slice_ms) * turn
        return Metrics(p50, p95, p99, longest, self.tasks * service_ms, 1e3 / service_ms, 1.0, True)

    def best(self) -> float:
        """The least expected ``p95`` in ms of all slices on the grid."""
        return _best(self)


def slice_ns(setting: Setting) -> int:
    """The scheduler slice of a setting, in nanoseconds."""
    return round(float(dict(setting)[SLICE.name]) * 1e6)


@functools.lru_cache(maxsize=256)
def _best(workload: RoundRobin) -> float:
    return min(workload.model({SLICE.name: slice_ms}).p95 for slice_ms in SLICE.grid)
