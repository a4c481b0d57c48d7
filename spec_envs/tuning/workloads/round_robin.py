"""Tasks that take turns on a core: the workload of the ``simulated`` and the ``eevdf`` backend, and its closed form."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping

from spec_envs.errors import InvalidConfiguration
from spec_envs.tuning.knobs import Knob, Value
from spec_envs.tuning.measurement import Metrics

__all__ = ["SLICE", "RoundRobin"]

#: How long a task may run before the next one gets its turn; the bounds are the kernel's.
SLICE = Knob("slice_ms", "float", 0.1, 100.0, log=True, default=32.0, unit="ms")


@dataclasses.dataclass(frozen=True, slots=True)
class RoundRobin:
    """``tasks`` on one core, each with one event after the other that takes ``service_ms`` of CPU time.

    An event that begins anywhere in its task's slice of ``q`` ms is interrupted ``floor(u + s/q)`` times, with ``u``
    even between 0 and 1, and each time the other tasks have their turn. So its latency has the quantiles
    ``s + floor(u + s/q) (n - 1) q``.

    Attributes:
        service_ms: CPU time of one event in ms.
        tasks: Tasks on the core; with as many cores as are measured together, so many on each.
    """

    service_ms: float = 9.5
    tasks: int = 4

    def __post_init__(self) -> None:
        if not (math.isfinite(self.service_ms) and self.service_ms > 0):
            raise InvalidConfiguration(f"service_ms must be above 0 ms, not {self.service_ms!r}")
        if isinstance(self.tasks, bool) or not isinstance(self.tasks, int) or self.tasks < 1:
            raise InvalidConfiguration(f"tasks must be an integer of at least 1, not {self.tasks!r}")

    @property
    def name(self) -> str:
        """Such as "round-robin 4 x 9.5 ms"."""
        return f"round-robin {self.tasks} x {self.service_ms:g} ms"

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The slice."""
        return (SLICE,)

    def model(self, values: Mapping[str, Value]) -> Metrics:
        """The figures to expect, without noise."""
        slice_ms, service_ms = float(values[SLICE.name]), self.service_ms
        turn = (self.tasks - 1) * slice_ms
        p50, p95, p99 = (service_ms + math.floor(u + service_ms / slice_ms) * turn for u in (0.5, 0.95, 0.99))
        longest = service_ms + math.ceil(service_ms / slice_ms) * turn
        return Metrics(p50, p95, p99, longest, self.tasks * service_ms, 1e3 / service_ms, 1.0, True)

    def best(self) -> float:
        """The least ``p95`` in ms that any point of the grid is expected to have."""
        return _best(self)


@functools.lru_cache(maxsize=256)
def _best(workload: RoundRobin) -> float:
    return min(workload.model({SLICE.name: slice_ms}).p95 for slice_ms in SLICE.grid)
