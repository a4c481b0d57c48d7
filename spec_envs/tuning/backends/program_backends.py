"""The backends that measure with programs in processes of their own: ``eevdf``, ``sysctl`` by default, ``sqlite``.

``eevdf`` runs tasks on real cores, with a chosen slice under Linux's scheduler. ``sysctl`` sets the TCP buffers of a
private network namespace. ``sqlite`` uses a real database, on files of its own. Nothing outside of them is changed.
"""

import dataclasses
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from spec_envs.calls import Effect
from spec_envs.checks import integer_or_none, keep_integers, keep_numbers
from spec_envs.closing import closed
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.slots import Slots
from spec_envs.tuning.backends.protocol import LEAST_SHARE, MachineBackend, check_read_back, undisturbed, workload_for
from spec_envs.tuning.cores import CoreSet, core_sets
from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.load import watch
from spec_envs.tuning.machine import check_kernel, set_slice, tids_of
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics, Workload
from spec_envs.tuning.programs.process import Program
from spec_envs.tuning.round_robin import RoundRobin, slice_ns

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
                raise closed("the backend")
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


class ProgramBackend(MachineBackend, Generic[WorkloadT]):
    """Measures with a program on each of several sets of cores. Subclasses say which program, and with which orders.

    Each set of cores is a slot for one measurement at a time. ``workload`` runs if the user does not choose one.
    """

    effect = Effect.SAMPLE

    #: Name of the backend in errors.
    name: ClassVar[str]
    #: Name of the program in ``spec_envs.tuning.programs``.
    script: ClassVar[str]
    #: The class of the workloads.
    kind: type[WorkloadT]

    def __init__(self, workload: Workload, cores: Sequence[CoreSet]) -> None:
        self.workload: WorkloadT = workload_for(self.name, self.kind, workload)
        self._programs = [ProgramSlot(self.script, each) for each in cores]
        self._slots = Slots(self._programs, owner="the backend")
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


class EevdfBackend(ProgramBackend[RoundRobin]):
    """Measures ``RoundRobin`` on the machine: forked tasks, pinned to cores, each spinning for ``service_ms``.

    The knob is the tasks' slice under the EEVDF scheduler, which is set with ``sched_setattr(2)`` on each task and read
    back; a process may do so with its own tasks. Events count if they began within the window, after settling. If the
    tasks had less than 95 % of their cores' time, another process disturbed the window. The window is then measured
    again, up to three times in all, and marked as not valid if all measurements were disturbed.

    The tasks sleep between windows. They end with the backend, or with this process if it is killed.

    Args:
        workload: The workload that runs if the user does not choose one.
        cores: How many cores one measurement uses, with ``workload.tasks`` on each. The number of disjoint sets of this
            size is the number of measurements that can run at once.

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


#: The largest buffers of a connection: the third figures of ``net.ipv4.tcp_rmem`` and ``net.ipv4.tcp_wmem``.
_LIMITS = tuple(
    Knob(name, "int", 4096, 32 << 20, log=True, default=4096, steps=14, unit="B")
    for name in ("tcp_rmem_max", "tcp_wmem_max")
)


@dataclasses.dataclass(frozen=True, slots=True)
class Loopback:
    """Sends messages over TCP to another process on the same core, which acknowledges each message.

    Attributes:
        message_kb: Size of a message in kB, at least 1.
    """

    message_kb: int = 256

    def __post_init__(self) -> None:
        keep_integers(self, message_kb=1)

    @property
    def name(self) -> str:
        """Such as "loopback, 256 kB messages"."""
        return f"loopback, {self.message_kb} kB messages"

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The limits of the receiver's and the sender's buffers."""
        return _LIMITS


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


#: ``PRAGMA synchronous`` is not a knob, and journals in memory are not a choice: they would buy speed with durability.
_KNOBS = (
    Knob("journal_mode", "choice", choices=("delete", "truncate", "persist", "wal"), default="delete"),
    Knob("cache_kb", "int", 64, 65536, log=True, default=2048, steps=11, unit="kB"),
    Knob("page_size", "choice", choices=("512", "1024", "2048", "4096", "8192", "16384", "32768"), default="4096"),
    Knob("mmap_mb", "choice", choices=("0", "4", "16", "64", "256"), default="0"),
    Knob("batch_size", "int", 1, 256, log=True, default=1, steps=9, unit="writes per transaction"),
    Knob("autocheckpoint", "int", 16, 16384, log=True, default=1024, steps=11, unit="pages"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class SqliteMix:
    """Reads of all rows of an owner, and writes of single rows, one after the other, on a table with an index.

    Writes wait until ``batch_size`` of them form a transaction. The latency of a write ends with the commit.

    Attributes:
        rows: Number of rows in the table, with about 200 bytes each.
        reads: Share of the events that are reads, from 0 to 1.
    """

    rows: int = 20_000
    reads: float = 0.7

    def __post_init__(self) -> None:
        keep_integers(self, rows=1)
        keep_numbers(self, "reads", most=1)

    @property
    def name(self) -> str:
        """Such as "sqlite, 20000 rows, 70 % reads"."""
        return f"sqlite, {self.rows} rows, {self.reads:.0%} reads"

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """Six settings of SQLite. ``synchronous``, which is FULL, is not among them."""
        return _KNOBS


#: ``PRAGMA synchronous`` = FULL: a commit is on the disk.
_FULL = 2


class SqliteBackend(ProgramBackend[SqliteMix]):
    """Measures a ``SqliteMix`` on a fresh copy of a prepared file, in a process that is pinned to a core.

    Args:
        workload: The workload that runs if the user does not choose one.
        folder: The folder for the files; default: the folder of temporary files. The files are removed on ``close()``,
            and when this process is killed. If the folder is in memory (tmpfs), a commit costs next to nothing.
        max_inflight: How many measurements may run at once. They have cores and files of their own, but share the disk.
            Default: the number of cores.

    Raises:
        InvalidConfiguration: There is no such folder, or the machine has fewer cores.
    """

    name = "sqlite"
    script = "database"
    kind = SqliteMix

    def __init__(
        self, workload: Workload | None = None, *, folder: str | Path | None = None, max_inflight: int | None = None
    ) -> None:
        self._folder = Path(folder or tempfile.gettempdir())
        if not self._folder.is_dir():
            raise InvalidConfiguration(f"there is no folder {str(self._folder)!r} for the database")
        cores = core_sets(1)
        max_inflight = integer_or_none("max_inflight", max_inflight, least=1)
        if max_inflight is not None and max_inflight > len(cores):
            raise InvalidConfiguration(f"max_inflight must be at most {len(cores)}, one per core, not {max_inflight}")
        super().__init__(workload or SqliteMix(), cores[:max_inflight])

    def _arguments(self, workload: SqliteMix, cores: CoreSet) -> tuple[object, ...]:
        return *cores, self._folder

    def _measure(
        self, program: Program, workload: SqliteMix, query: MeasureQuery, cancel: CancelToken
    ) -> tuple[Metrics, int]:
        values = dict(query.knobs)
        order = {**values, "rows": workload.rows, "reads": workload.reads, "seed": f"{query.seed}/{query.window}"}
        answer = program.measure(order, query, cancel)
        check_read_back(values | {"synchronous": _FULL}, answer["read"])
        return metrics_of(answer, query), 1
