"""The ``eevdf`` backend: real tasks on real cores under Linux's scheduler, with the slice that was set; no root."""

from __future__ import annotations

import threading

from spec_envs.calls import Effect
from spec_envs.errors import EnvClosed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics, Workload
from spec_envs.tuning.programs.process import Program
from spec_envs.tuning.system import scheduler as sched
from spec_envs.tuning.system.cores import LEAST_SHARE, CoreSet, Places, core_sets, undisturbed
from spec_envs.tuning.system.load import watch
from spec_envs.tuning.workloads.round_robin import SLICE, RoundRobin

__all__ = ["EevdfBackend"]


class EevdfBackend:
    """Measures ``RoundRobin`` for real: forked tasks, pinned to cores, each spinning for ``service_ms`` of CPU time.

    The knob is the tasks' slice under the EEVDF scheduler, set with ``sched_setattr(2)`` on each of them and read back;
    any process may do so with its own. Events count that began within the window, after settling. If the tasks had less
    than 95 % of their cores' time, something foreign ran there: the window is measured again, up to three times in all,
    and is marked as not valid if that did not help.

    The tasks sleep between windows, and end with the backend, or with the process when it is killed.

    Args:
        workload: What runs unless the user says otherwise.
        cores: How many cores one measurement uses, with ``workload.tasks`` on each. There is room for as many
            measurements at once as there are sets of so many cores.

    Raises:
        InvalidConfiguration: The kernel is older than 6.12, or there are not so many cores.
    """

    effect = Effect.SAMPLE
    carries_over = False  # settling sees to that

    def __init__(self, workload: Workload | None = None, *, cores: int = 1) -> None:
        sched.check_kernel()
        self.workload: RoundRobin = _spinning(workload or RoundRobin())
        self._spinners = [_Spinner(each) for each in core_sets(cores)]
        self._places = Places(self._spinners)
        self.max_inflight = len(self._spinners)

    def __call__(self, query: MeasureQuery, cancel: CancelToken) -> Measurement:
        """Set the slice and measure a window, again if it was spoiled.

        Raises:
            CallCancelled: Nobody waits for it any more.
            HandlerFailed: The slice cannot be set, or a task died.
            EnvClosed: The backend was closed.
        """
        workload = _spinning(query.workload)
        slice_ns = round(float(dict(query.knobs)[SLICE.name]) * 1e6)
        with self._places.lend(cancel) as spinner:
            seen = watch()
            program = spinner.prepare(workload.tasks, slice_ns)
            metrics, attempts = undisturbed(lambda: _window(program, workload, query, cancel))
            return Measurement(metrics, seen(), attempts)

    def best(self, workload: Workload) -> float | None:
        """What the closed form promises for the best slice: the real machine comes within some percent of it."""
        return _spinning(workload).best()

    def pids(self) -> list[int]:
        """The process ids of the tasks that there are at the moment."""
        return [pid for spinner in self._spinners for pid in spinner.pids]

    def close(self) -> None:
        """End all tasks. Idempotent."""
        self._places.close()
        for spinner in self._spinners:
            spinner.close()


def _spinning(workload: Workload) -> RoundRobin:
    if not isinstance(workload, RoundRobin):
        raise InvalidConfiguration(f"the eevdf backend runs a RoundRobin, not {workload!r}")
    return workload


class _Spinner:
    """The program ``spinner.py`` on one set of cores; used by one call at a time, closed by any thread."""

    def __init__(self, cores: CoreSet) -> None:
        self._cores = cores
        self._program: Program | None = None
        self._tasks = 0
        self._lock = threading.Lock()
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """The process ids of its tasks."""
        program = self._program
        return [] if program is None or not program.alive else list(program.hello["pids"])

    def prepare(self, tasks: int, slice_ns: int) -> Program:
        """See that the tasks run and have the slice."""
        with self._lock:
            if self._closed:
                raise EnvClosed("the backend was closed; make a new one")
            if self._program is None or not self._program.alive or self._tasks != tasks:
                if self._program is not None:
                    self._program.close()
                self._program, self._tasks = Program("spinner", tasks, *self._cores), tasks
            program = self._program
        for pid in program.hello["pids"]:
            for tid in sched.tids_of(pid):
                sched.set_slice(tid, slice_ns)
        return program

    def close(self) -> None:
        """End the program and its tasks."""
        with self._lock:
            self._closed = True
            if self._program is not None:
                self._program.close()


def _window(program: Program, workload: RoundRobin, query: MeasureQuery, cancel: CancelToken) -> Metrics:
    service_ns = round(workload.service_ms * 1e6)
    order = {"service_ns": service_ns, "settle_s": query.settle_s, "window_s": query.window_s}
    answer = program.ask(order, cancel)
    latencies = [latency / 1e6 for latency in answer["latencies_ns"]]
    share = min(1.0, float(answer["cpu_share"]))
    return Metrics.of(latencies, query.window_s - query.settle_s, cpu_share=share, valid=share >= LEAST_SHARE)
