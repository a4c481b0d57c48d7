"""The ``sysctl`` backend by default: TCP's buffers in a network namespace of its own. Changes nothing outside of it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from spec_envs.calls import Effect
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics, Workload
from spec_envs.tuning.programs.process import Program
from spec_envs.tuning.system.cores import Places, core_sets
from spec_envs.tuning.system.load import watch

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Loopback", "LoopbackBackend"]

#: The greatest sizes of a connection's buffers: the third figures of ``net.ipv4.tcp_rmem`` and ``net.ipv4.tcp_wmem``.
_LIMITS = tuple(
    Knob(name, "int", 4096, 32 << 20, log=True, default=4096, steps=14, unit="B")
    for name in ("tcp_rmem_max", "tcp_wmem_max")
)


@dataclasses.dataclass(frozen=True, slots=True)
class Loopback:
    """Sends messages of ``message_kb`` over TCP to another process on the same core, which acknowledges each."""

    message_kb: int = 256

    def __post_init__(self) -> None:
        if isinstance(self.message_kb, bool) or not isinstance(self.message_kb, int) or self.message_kb < 1:
            raise InvalidConfiguration(f"message_kb must be an integer of at least 1, not {self.message_kb!r}")

    @property
    def name(self) -> str:
        """Such as "loopback, 256 kB messages"."""
        return f"loopback, {self.message_kb} kB messages"

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """Limits of the receiver's and the sender's buffer."""
        return _LIMITS


class LoopbackBackend:
    """Measures a ``Loopback`` under ``net.ipv4.tcp_rmem`` and ``tcp_wmem`` of network namespaces of its own.

    Each place for a measurement is a core with a namespace, which ends with the process in it; so what was set is gone
    with it, whatever happens. Needs user namespaces, or root.

    Raises:
        InvalidConfiguration: A namespace cannot be made here.
    """

    effect = Effect.SAMPLE
    carries_over = False

    def __init__(self, workload: Workload | None = None) -> None:
        self.workload: Loopback = _loopback(workload or Loopback())
        self._programs: list[Program] = []
        try:
            for (core,) in core_sets(1):
                self._programs.append(Program("tcp_messages", core))
        except HandlerFailed as error:
            self.close()
            raise InvalidConfiguration(
                f"a private network namespace cannot be made here ({error}): it needs user namespaces or root; "
                f'backend="simulated", "eevdf" and "sqlite" need neither'
            ) from error
        self._places = Places(self._programs)
        self.max_inflight = len(self._programs)

    def __call__(self, query: MeasureQuery, cancel: CancelToken) -> Measurement:
        """Set the limits, read them back, and measure.

        Raises:
            CallCancelled: Nobody waits for it any more.
            HandlerFailed: A limit cannot be set, or reads otherwise.
            EnvClosed: The backend was closed.
        """
        workload = _loopback(query.workload)
        limits = dict(query.knobs)
        window = {"settle_s": query.settle_s, "window_s": query.window_s}
        with self._places.lend(cancel) as program:
            seen = watch()
            answer = program.ask({**limits, **window, "message_bytes": workload.message_kb << 10}, cancel)
            _check_read(limits, answer["read"])
            latencies = [latency / 1e6 for latency in answer["latencies_ns"]]
            share = min(1.0, answer["cpu_share"])
            return Measurement(Metrics.of(latencies, query.window_s - query.settle_s, cpu_share=share), seen())

    def best(self, workload: Workload) -> float | None:
        """Nothing is known of it."""
        return None

    def close(self) -> None:
        """End the namespaces. Idempotent."""
        for program in self._programs:
            program.close()


def _loopback(workload: Workload) -> Loopback:
    if not isinstance(workload, Loopback):
        raise InvalidConfiguration(f"the sysctl backend runs a Loopback, or settings of the system, not {workload!r}")
    return workload


def _check_read(limits: Mapping[str, object], read: Mapping[str, object]) -> None:
    for name, value in limits.items():
        if read[name] != value:
            raise HandlerFailed(f"{name} was set to {value!r}, but reads {read[name]!r}")
