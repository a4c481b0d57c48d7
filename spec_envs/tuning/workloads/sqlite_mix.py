"""Reads and writes of a SQLite database: the workload of the ``sqlite`` backend."""

from __future__ import annotations

import dataclasses

from spec_envs.checks import integer
from spec_envs.errors import InvalidConfiguration
from spec_envs.tuning.knobs import Knob

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

    Writes wait until ``batch_size`` of them form a transaction. The latency of a write lasts until its commit.

    Attributes:
        rows: Number of rows in the table, with about 200 bytes each.
        reads: Share of the events that are reads, from 0 to 1.
    """

    rows: int = 20_000
    reads: float = 0.7

    def __post_init__(self) -> None:
        integer("rows", self.rows, least=1)
        if not 0.0 <= self.reads <= 1.0:
            raise InvalidConfiguration(f"reads must lie between 0 and 1, not {self.reads!r}")

    @property
    def name(self) -> str:
        """Such as "sqlite, 20000 rows, 70 % reads"."""
        return f"sqlite, {self.rows} rows, {self.reads:.0%} reads"

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """Six settings of SQLite. ``synchronous``, which is FULL, is not among them."""
        return _KNOBS
