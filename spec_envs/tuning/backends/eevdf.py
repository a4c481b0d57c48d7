"""The ``eevdf`` backend: real tasks on real cores, with a chosen slice under Linux's scheduler. Needs no root."""

from __future__ import annotations

from spec_envs.handling import CancelToken
from spec_envs.tuning.backends.program_backend import ProgramBackend, metrics_of
from spec_envs.tuning.backends.protocol import LEAST_SHARE, undisturbed, workload_for
from spec_envs.tuning.measurement import MeasureQuery, Metrics, Workload
from spec_envs.tuning.programs.process import Program
from spec_envs.tuning.system.cores import CoreSet, core_sets
from spec_envs.tuning.system.scheduler import check_kernel, set_slice, tids_of
from spec_envs.tuning.workloads.round_robin import RoundRobin, slice_ns


class EevdfBackend(ProgramBackend[RoundRobin]):
    """Measures ``RoundRobin`` on the machine: forked tasks, pinned to cores, each spinning for ``service_ms``.

    The knob is the tasks' slice under the EEVDF scheduler, which is set with ``sched_setattr(2)`` on each task and read
    back; a process may do so with its own tasks. Events count if they began within the window, after settling. If the
    tasks had less than 95 % of their cores' time, another process disturbed the window. The window is then measured
    again, up to three times in all, and marked as not valid if all measurements were disturbed.

    The tasks sleep between windows. They end with the backend, or with this process if it is killed.

    Args:
        workload: The workload that runs if the user does not choose one.
        cores: How many cores one measurement uses, with ``workload.tasks`` on each. As many measurements can run at
            once as there are disjoint sets of this size.

    Raises:
        InvalidConfiguration: The kernel is older than 6.12, or the machine has fewer cores.
    """

    name = "eevdf"
    script = "spinner"
    kind = RoundRobin

    def __init__(self, workload: Workload | None = None, *, cores: int = 1) -> None:
        check_kernel()
        super().__init__(workload or RoundRobin(), core_sets(cores))

    def best(self, workload: Workload) -> float | None:
        """The ``p95`` in ms of the best slice by the closed form; the machine differs from it by some percent."""
        return workload_for(self.name, self.kind, workload).best()

    def pids(self) -> list[int]:
        """The process ids of the tasks that are running."""
        programs = [slot.program for slot in self._programs]
        return [pid for program in programs if program is not None and program.alive for pid in program.hello["pids"]]

    def _arguments(self, workload: RoundRobin, cores: CoreSet) -> tuple[object, ...]:
        return workload.tasks, *cores

    def _measure(
        self, program: Program, workload: RoundRobin, query: MeasureQuery, cancel: CancelToken
    ) -> tuple[Metrics, int]:
        for pid in program.hello["pids"]:
            for tid in tids_of(pid):
                set_slice(tid, slice_ns(query.knobs))
        order = {"service_ns": round(workload.service_ms * 1e6)}
        return undisturbed(lambda: metrics_of(program.measure(order, query, cancel), query, least_share=LEAST_SHARE))
