"""The ``sqlite`` backend: a real database under its own settings, on files of this backend. Needs nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path

from spec_envs.checks import integer_or_none
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.tuning.backends.program_backend import ProgramBackend, metrics_of
from spec_envs.tuning.backends.protocol import check_read_back
from spec_envs.tuning.measurement import MeasureQuery, Metrics, Workload
from spec_envs.tuning.programs.process import Program
from spec_envs.tuning.system.cores import CoreSet, core_sets
from spec_envs.tuning.workloads.sqlite_mix import SqliteMix

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
