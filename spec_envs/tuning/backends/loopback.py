"""The ``sysctl`` backend by default: TCP buffers in a private network namespace. Changes nothing outside of it."""

from __future__ import annotations

from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.tuning.backends.program_backend import ProgramBackend, metrics_of
from spec_envs.tuning.backends.protocol import check_read_back
from spec_envs.tuning.measurement import MeasureQuery, Metrics, Workload
from spec_envs.tuning.programs.process import Program
from spec_envs.tuning.system.cores import CoreSet, core_sets
from spec_envs.tuning.workloads.loopback import Loopback


class LoopbackBackend(ProgramBackend[Loopback]):
    """Measures a ``Loopback`` under ``net.ipv4.tcp_rmem`` and ``tcp_wmem`` of private network namespaces.

    Each slot is a core with a namespace. The namespace ends with the process in it, and its settings end with the
    namespace, whatever happens. Needs user namespaces, or root.

    Raises:
        InvalidConfiguration: Namespaces cannot be made on this machine.
    """

    name = "sysctl"
    script = "tcp_messages"
    kind = Loopback

    def __init__(self, workload: Workload | None = None) -> None:
        super().__init__(workload or Loopback(), core_sets(1))
        try:
            for slot in self._programs:
                slot.start(slot.cores)
        except HandlerFailed as error:
            self.close()
            raise InvalidConfiguration(
                f"a private network namespace cannot be made here ({error}): it needs user namespaces or root; "
                f'backend="simulated", "eevdf" and "sqlite" need neither'
            ) from error

    def _arguments(self, workload: Loopback, cores: CoreSet) -> tuple[object, ...]:
        return cores

    def _measure(
        self, program: Program, workload: Loopback, query: MeasureQuery, cancel: CancelToken
    ) -> tuple[Metrics, int]:
        limits = dict(query.knobs)
        answer = program.measure({**limits, "message_bytes": workload.message_kb << 10}, query, cancel)
        check_read_back(limits, answer["read"])
        return metrics_of(answer, query), 1
