"""The base of backends that measure with programs in processes of their own."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from spec_envs.calls import Effect
from spec_envs.handling import CancelToken
from spec_envs.tuning.backends.protocol import closed, workload_for
from spec_envs.tuning.backends.slots import Slots
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics, Workload
from spec_envs.tuning.programs.process import Program
from spec_envs.tuning.system.cores import CoreSet
from spec_envs.tuning.system.load import watch

WorkloadT = TypeVar("WorkloadT", bound=Workload)


class ProgramSlot:
    """A set of cores, and the program that runs on them. One call at a time uses a slot; any thread may close it."""

    def __init__(self, script: str, cores: CoreSet) -> None:
        self.cores = cores
        #: The program, which may have ended; ``None`` before the first call.
        self.program: Program | None = None
        self._script = script
        self._arguments: tuple[object, ...] = ()
        self._lock = threading.Lock()
        self._closed = False

    def start(self, arguments: tuple[object, ...]) -> Program:
        """The program with these arguments: the running one, or a new one if that has ended or has other arguments.

        Raises:
            HandlerFailed: The program does not start, or cannot work here.
            EnvClosed: The slot was closed.
        """
        with self._lock:
            if self._closed:
                raise closed()
            if self.program is None or not self.program.alive or self._arguments != arguments:
                if self.program is not None:
                    self.program.close()
                self.program, self._arguments = Program(self._script, *arguments), arguments
            return self.program

    def close(self) -> None:
        """End the program."""
        with self._lock:
            self._closed = True
            if self.program is not None:
                self.program.close()


class ProgramBackend(Generic[WorkloadT]):
    """Measures with a program on each set of cores. Subclasses say which program, and with which orders.

    Args:
        workload: The workload that runs if the user does not choose one.
        cores: The sets of cores. Each is a slot for one measurement at a time.
    """

    effect = Effect.SAMPLE
    carries_over = False

    #: Name of the backend in errors.
    name: ClassVar[str]
    #: Name of the program in ``spec_envs.tuning.programs``.
    script: ClassVar[str]
    #: The class of the workloads.
    kind: type[WorkloadT]

    def __init__(self, workload: Workload, cores: Sequence[CoreSet]) -> None:
        self.workload: WorkloadT = workload_for(self.name, self.kind, workload)
        self._programs = [ProgramSlot(self.script, each) for each in cores]
        self._slots = Slots(self._programs)
        self.max_inflight = len(self._programs)

    def __call__(self, query: MeasureQuery, cancel: CancelToken | None = None) -> Measurement:
        """Apply the setting, read it back, and measure a window.

        Raises:
            CallCancelled: The call was cancelled meanwhile.
            HandlerFailed: The setting cannot be applied, or the program failed.
            EnvClosed: The backend was closed.
            InvalidConfiguration: This backend cannot run the workload.
        """
        cancel = cancel or CancelToken()
        workload = workload_for(self.name, self.kind, query.workload)
        with self._slots.lend(cancel) as slot:
            seen = watch()
            program = slot.start(self._arguments(workload, slot.cores))
            metrics, attempts = self._measure(program, workload, query, cancel)
            return Measurement(metrics, seen(), attempts)

    def best(self, workload: Workload) -> float | None:
        """``None``: the best ``p95`` is not known."""
        return None

    def close(self) -> None:
        """End the programs. Idempotent."""
        self._slots.close()
        for slot in self._programs:
            slot.close()

    def _arguments(self, workload: WorkloadT, cores: CoreSet) -> tuple[object, ...]:
        """The command line of the program."""
        raise NotImplementedError

    def _measure(
        self, program: Program, workload: WorkloadT, query: MeasureQuery, cancel: CancelToken
    ) -> tuple[Metrics, int]:
        """The figures of a window, and how often it was measured."""
        raise NotImplementedError


def metrics_of(answer: Mapping[str, Any], query: MeasureQuery, *, least_share: float = 0.0) -> Metrics:
    """The figures in a program's answer. They are valid if the program had ``least_share`` of its cores' time."""
    latencies = [latency / 1e6 for latency in answer["latencies_ns"]]
    share = min(1.0, float(answer["cpu_share"]))
    return Metrics.of(latencies, query.window_s - query.settle_s, cpu_share=share, valid=share >= least_share)
