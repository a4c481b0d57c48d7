"""Work that is spread over processes with ``--jobs N``, or over a Ray cluster with ``--ray``.

``spec_envs.wrappers.workers`` says how workers begin, and how Ctrl-C or an error ends them.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from spec_envs.wrappers.workers.pool import spawned, worked
from spec_envs.wrappers.workers.ray_tasks import done_on_ray

ItemType = TypeVar("ItemType")
ResultType = TypeVar("ResultType")


#: The address of the Ray cluster that Ray finds, else of a new one on this machine.
ANY_CLUSTER = "any"


@dataclasses.dataclass(frozen=True, slots=True)
class Workers:
    """The workers that do the work of an experiment.

    Attributes:
        jobs: The number of workers; ``None``: this process alone, or one for each CPU of a cluster.
        ray: The address of a Ray cluster, or ``ANY_CLUSTER``; ``None``: processes of this machine.
    """

    jobs: int | None = None
    ray: str | None = None

    @property
    def is_one(self) -> bool:
        """Whether this process works alone."""
        return self.ray is None and self.jobs in (None, 1)

    @property
    def option(self) -> str:
        """The command-line option that sets these workers."""
        return f"--jobs {self.jobs}" if self.ray is None else "--ray"


#: This process alone.
ALONE = Workers()


def as_done(
    work: Callable[[ItemType], ResultType], items: Sequence[ItemType], workers: Workers
) -> Iterator[tuple[int, ResultType]]:
    """Yield the place and the result of each item, in the order in which the work is done.

    Args:
        work: A function of a module, so that other processes find it. If this process works alone, it is called here.
        items: What the work is given; it is pickled, as is the result.
        workers: Who works.

    Raises:
        BrokenProcessPool: A process has died.
        HandlerFailed: The workers of an item on a cluster have died again and again.
        Exception: Whatever the work raises; then no further item is begun.
    """
    if workers.ray is not None:
        yield from done_on_ray(work, items, workers.jobs, None if workers.ray == ANY_CLUSTER else workers.ray)
    elif workers.is_one or len(items) < 2:
        yield from ((number, work(item)) for number, item in enumerate(items))
    else:
        with spawned(min(workers.jobs or 1, len(items))) as pool:
            places = {pool.submit(worked, work, item): number for number, item in enumerate(items)}
            for future in concurrent.futures.as_completed(places):
                yield places[future], future.result()


def in_order(
    work: Callable[[ItemType], ResultType], items: Sequence[ItemType], workers: Workers
) -> Iterator[ResultType]:
    """The result of each item's work, in the order of the items; otherwise as ``as_done``."""
    waiting: dict[int, ResultType] = {}
    due = 0
    for number, result in as_done(work, items, workers):
        waiting[number] = result
        while due in waiting:
            yield waiting.pop(due)
            due += 1
