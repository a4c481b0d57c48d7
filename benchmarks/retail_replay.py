"""Do the tools, the data and the hash agree with tau-bench's? Replays gold actions and says what came of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spec_envs.benchmarks.reports import progress
from spec_envs.retail.data import load
from spec_envs.retail.store import StoreSnapshot
from spec_envs.retail.tasks import Task, check_tasks, load_tasks, replay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def run(data: str, tasks: str, target: Path) -> None:
    """Replay the tasks' gold actions and write a JSON list of ``{split, index, outputs, data_hash}``.

    Args:
        data: As ``load`` takes it.
        tasks: As ``load_tasks`` takes it.
        target: A file, or ``-`` for the standard output.
    """
    found, store = load_tasks(tasks), StoreSnapshot(load(data))
    check_tasks(store, found)
    with progress("tasks", len(found)) as report:
        results = []
        for result in replayed(store, found):
            results.append(result)
            report(len(results))
    text = json.dumps(results)
    if str(target) == "-":
        click.echo(text)
    else:
        target.write_text(text + "\n", encoding="utf-8")


def replayed(store: StoreSnapshot, tasks: Sequence[Task]) -> Iterator[dict[str, Any]]:
    """What the tools answered and the hash of the data after it, task after task, each from the data in ``store``."""
    for task in tasks:
        outputs, after = replay(store, task.actions)
        yield {"split": task.split, "index": task.index, "outputs": outputs, "data_hash": after.tau_hash()}
