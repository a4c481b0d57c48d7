"""Generated worlds: how long they take, and how much memory."""

from __future__ import annotations

import itertools
import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import RenderableType

from spec_envs.benchmarks.reports import collected, config_of, table_of
from spec_envs.benchmarks.worlds import WorldsSettings
from spec_envs.retail import load_data, load_tasks
from spec_envs.search import load_corpus
from spec_envs.wrappers.workers.pool import spawned, worked

_MB = 1024  # ru_maxrss counts kilobytes on Linux


def _customers(size: int) -> int:
    return len(load_data("generated", size=size).tables["users"])


def _tasks(size: int) -> int:
    return len(load_tasks("generated", size=size))


def _pages(size: int) -> int:
    return len(load_corpus("generated", size=size))


_WORLDS: dict[str, Callable[[int], int]] = {
    "retail, without tasks": _customers,
    "retail, with tasks": _tasks,
    "search": _pages,
}


def run(settings: WorldsSettings) -> dict[str, Any]:
    """The report: what each world needs at each size."""
    kinds = list(itertools.product(_WORLDS, sorted({1, settings.size})))
    return {
        "config": config_of(settings),
        "worlds": collected((_in_a_process_of_its_own(*kind) for kind in kinds), "worlds", len(kinds)),
    }


def _in_a_process_of_its_own(world: str, size: int) -> dict[str, Any]:
    with spawned(1) as pool:
        return pool.submit(worked, _measured, world, size).result()


def _measured(world: str, size: int) -> dict[str, Any]:
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _MB, time.process_time()
    count = _WORLDS[world](size)
    processor_s, after = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _MB
    return {
        "world": world,
        "size": size,
        "count": count,
        "processor_s": processor_s,
        "mb_before": before,
        "mb_at_most": after,
    }


_COLUMNS = {
    "world": "{world}",
    "size": "{size}",
    "count": "{count:,}",
    "processor s": "{processor_s:.2f}",
    "MB before": "{mb_before}",
    "MB at most": "{mb_at_most}",
}


def show(report: dict[str, Any], settings: WorldsSettings) -> Iterator[RenderableType]:
    """What each world needs at each size."""
    yield table_of("Generated worlds, each in a process of its own", _COLUMNS, report["worlds"])
