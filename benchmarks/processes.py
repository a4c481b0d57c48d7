"""Work that is spread over processes: with ``--jobs N``, and in ``spec-envs bench all``.

``spec_envs.wrappers.workers.processes`` says how processes begin, and how Ctrl-C or an error ends them.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from spec_envs.wrappers.workers.processes import spawned

ItemType = TypeVar("ItemType")
ResultType = TypeVar("ResultType")


def as_done(
    work: Callable[[ItemType], ResultType], items: Sequence[ItemType], jobs: int
) -> Iterator[tuple[int, ResultType]]:
    """The place of each item with the result of its work, in the order in which the work is done.

    Args:
        work: A function of a module, so that other processes find it. With one job it is called here.
        items: What the work is given; it is pickled, as is the result.
        jobs: How many processes work.

    Raises:
        BrokenProcessPool: A process has died.
        Exception: Whatever the work raises; then no further item is begun.
    """
    if jobs == 1 or len(items) < 2:
        yield from ((number, work(item)) for number, item in enumerate(items))
        return
    with spawned(min(jobs, len(items))) as pool:
        places = {pool.submit(work, item): number for number, item in enumerate(items)}
        for future in concurrent.futures.as_completed(places):
            yield places[future], future.result()


def in_order(work: Callable[[ItemType], ResultType], items: Sequence[ItemType], jobs: int) -> Iterator[ResultType]:
    """The result of each item's work, in the order of the items; otherwise as ``as_done``."""
    waiting: dict[int, ResultType] = {}
    due = 0
    for number, result in as_done(work, items, jobs):
        waiting[number] = result
        while due in waiting:
            yield waiting.pop(due)
            due += 1
