"""The ``sqlite`` backend: a real database under its own settings, on files of this backend. Needs nothing."""

from __future__ import annotations

import dataclasses
import tempfile
import threading
from pathlib import Path

from spec_envs.calls import Effect
from spec_envs.errors import EnvClosed, HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics, Workload
from spec_envs.tuning.programs.process import Program
from spec_envs.tuning.system.cores import Places, core_sets
from spec_envs.tuning.system.load import watch

__all__ = ["SqliteBackend", "SqliteMix"]

#: ``PRAGMA synchronous`` is no knob, and journals in memory are no choice: speed is not to be had for durability.
_FULL = 2
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
    """Reads of the rows of an owner, and writes of single rows, one after the other, on a table with an index.

    Writes wait until ``batch_size`` of them make a transaction; the latency of each lasts until its commit.

    Attributes:
        rows: Of the table, with about 200 bytes each.
        reads: Share of the events that read, 0 to 1.
    """

    rows: int = 20_000
    reads: float = 0.7

    def __post_init__(self) -> None:
        if isinstance(self.rows, bool) or not isinstance(self.rows, int) or self.rows < 1:
            raise InvalidConfiguration(f"rows must be an integer of at least 1, not {self.rows!r}")
        if not 0.0 <= self.reads <= 1.0:
            raise InvalidConfiguration(f"reads must lie between 0 and 1, not {self.reads!r}")

    @property
    def name(self) -> str:
        """Such as "sqlite, 20000 rows, 70 % reads"."""
        return f"sqlite, {self.rows} rows, {self.reads:.0%} reads"

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """Six settings of SQLite; ``synchronous`` is FULL and none of them."""
        return _KNOBS


class SqliteBackend:
    """Measures a ``SqliteMix`` on a fresh copy of a prepared file, in a process on a core of its own.

    Args:
        workload: What runs unless the user says otherwise.
        folder: Where the files are; default: the folder of temporary files. They are removed on ``close()``, and when
            this process is killed. In memory (tmpfs) a commit costs next to nothing.
        places: How many measurements at once. They have cores and files of their own, but share the disk; default: as
            many as there are cores.

    Raises:
        InvalidConfiguration: The folder cannot be written to, or there are not so many cores.
    """

    effect = Effect.SAMPLE
    carries_over = False

    def __init__(
        self, workload: Workload | None = None, *, folder: str | Path | None = None, places: int | None = None
    ) -> None:
        self.workload: SqliteMix = _mix(workload or SqliteMix())
        self._folder = Path(folder or tempfile.gettempdir())
        if not self._folder.is_dir():
            raise InvalidConfiguration(f"there is no folder {str(self._folder)!r} for the database")
        cores = core_sets(1)
        if places is not None and not 1 <= places <= len(cores):
            raise InvalidConfiguration(f"places must lie between 1 and {len(cores)}, as cores do, not {places!r}")
        self._cores = [core for (core,) in cores[:places]]
        self._places = Places(self._cores)
        self._programs: dict[int, Program] = {}
        self._lock = threading.Lock()
        self._closed = False
        self.max_inflight = len(self._cores)

    def __call__(self, query: MeasureQuery, cancel: CancelToken) -> Measurement:
        """Copy the file, apply the setting, read it back, and measure.

        Raises:
            CallCancelled: Nobody waits for it any more.
            HandlerFailed: A setting reads otherwise, or SQLite failed.
            EnvClosed: The backend was closed.
        """
        workload = _mix(query.workload)
        values = dict(query.knobs)
        order = {**values, "rows": workload.rows, "reads": workload.reads, "seed": f"{query.seed}/{query.window}"}
        with self._places.lend(cancel) as core:
            seen = watch()
            program = self._program(core)
            answer = program.ask(order | {"settle_s": query.settle_s, "window_s": query.window_s}, cancel)
            for name, found in answer["read"].items():
                if found != (values | {"synchronous": _FULL})[name]:
                    raise HandlerFailed(f"SQLite's {name} was set to {values.get(name, _FULL)!r}, but reads {found!r}")
            latencies = [latency / 1e6 for latency in answer["latencies_ns"]]
            share = min(1.0, answer["cpu_share"])
            return Measurement(Metrics.of(latencies, query.window_s - query.settle_s, cpu_share=share), seen())

    def best(self, workload: Workload) -> float | None:
        """Nothing is known of it."""
        return None

    def close(self) -> None:
        """End the processes and remove the files. Idempotent."""
        with self._lock:
            self._closed = True
            for program in self._programs.values():
                program.close()

    def _program(self, core: int) -> Program:
        with self._lock:
            if self._closed:
                raise EnvClosed("the backend was closed; make a new one")
            program = self._programs.get(core)
            if program is None or not program.alive:
                program = self._programs[core] = Program("database", core, self._folder)
            return program


def _mix(workload: Workload) -> SqliteMix:
    if not isinstance(workload, SqliteMix):
        raise InvalidConfiguration(f"the sqlite backend runs a SqliteMix, not {workload!r}")
    return workload
