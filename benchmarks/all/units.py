"""The units of work of ``bench all``, and the files in which their results are kept and found again.

A unit takes less than a minute. When it is done, its results are written to a file of its own, whole or not at all. So
a run that is killed loses only the units under way.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import json
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import spec_envs
from spec_envs.benchmarks.episodes import kept_traces
from spec_envs.whole_files import write_whole

#: The figures of one episode, in the form of JSON.
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unit:
    """A part of the work."""

    part: str  # the module of this package whose ``work`` does it
    tags: Mapping[str, Any]  # distinguish this run of episodes from others of the part; repeated in every row
    settings: Any = None  # the settings of the experiment
    items: Sequence[Any] = ()  # the episodes, as the part names them, such as files and numbers
    cost_s: float = 1.0  # how long it takes, roughly
    name: str = ""  # the title of the timeline of its first episode; empty: no timeline
    alone: bool = False  # whether it is measured on the wall clock, so that nothing else may run meanwhile
    files: Sequence[Path] = ()  # the files that it reads

    @property
    def key(self) -> dict[str, Any]:
        """Everything that the results depend on, except the code of this package, as JSON data."""
        settings = None if self.settings is None else dataclasses.asdict(self.settings)
        what = {"tags": dict(self.tags), "settings": settings, "items": list(self.items), "name": self.name}
        files = {str(file): _digest(file) for file in self.files}
        key: dict[str, Any] = json.loads(json.dumps({"part": self.part, **what, "files": files}, default=str))
        return key

    @property
    def file_name(self) -> str:
        """The name of the file of its results: another one for each unit of a run."""
        words = "-".join(str(value) for value in (*self.tags.values(), *map(_short, self.items)))
        readable = "".join(sign if sign.isalnum() else "-" for sign in words)[:80]
        return f"{self.part}-{readable}-{hashlib.sha256(json.dumps(self.key).encode()).hexdigest()[:8]}.json"


def _short(item: Any) -> str:
    return Path(item).stem if isinstance(item, str | Path) else str(item)


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """The result of a unit."""

    key: dict[str, Any]  # of the unit
    code: str  # a digest of the package that it ran
    rows: list[Row]  # the figures of its episodes
    events: list[dict[str, Any]]  # the trace of its first episode, if the unit has a name
    cpu_s: float  # how long this process computed for it
    error: str = ""  # why it failed; empty if it did not


def rows_of(unit: Unit) -> list[Row]:
    """Do the work of ``unit``: the figures of its episodes, less its part and its tags."""
    rows: list[Row] = importlib.import_module(f"spec_envs.benchmarks.all.{unit.part}").work(unit)
    return rows


def run(unit: Unit, code: str) -> Result:
    """Do the work of ``unit``; an error is a result, too."""
    start = time.process_time()
    try:
        with kept_traces() as traces:
            rows = [{"part": unit.part, "tags": dict(unit.tags), **row} for row in rows_of(unit)]
    except Exception as error:
        told = f"{unit.part}, {dict(unit.tags)}: {error!r}\n{traceback.format_exc()}"
        return Result(unit.key, code, [], [], time.process_time() - start, told)
    events = [event.as_dict() for event in traces[0]] if unit.name and traces else []
    # In the form in which a file is read again, so that a resumed run gives the same results.
    rows, events = json.loads(json.dumps([rows, events], allow_nan=False))
    return Result(unit.key, code, rows, events, time.process_time() - start)


def keep(unit: Unit, result: Result, folder: Path) -> None:
    """Keep the result of ``unit`` in ``folder``, unless it is an error."""
    if not result.error:
        write_whole(folder / unit.file_name, json.dumps(dataclasses.asdict(result)))


def kept(unit: Unit, folder: Path, code: str) -> Result | None:
    """The result of an equal unit that is in ``folder``; ``None`` if there is none, or it cannot be read."""
    try:
        result = Result(**json.loads((folder / unit.file_name).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return result if (result.key, result.code) == (unit.key, code) else None


@functools.lru_cache
def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def code() -> str:
    """A digest of this package: other code may give other figures."""
    root = Path(spec_envs.__file__).parent
    digest = hashlib.sha256()
    for folder in sorted({root, *(each.resolve() for each in root.iterdir() if each.is_symlink())}):
        for file in sorted(folder.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
