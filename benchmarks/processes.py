"""Work that is spread over processes: with ``--jobs N``, and in ``spec-envs bench all``.

Processes are spawned, so that none inherits threads, engines or event loops. Ctrl-C, or an error, ends them all: each
is told to leave (``SystemExit`` in its work, so that engines and browsers are closed), and is killed if it stays.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import multiprocessing.process
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

ItemType = TypeVar("ItemType")
ResultType = TypeVar("ResultType")

#: How long a process may take to close what it has opened.
_LEAVE_S = 5.0


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
    with _pool(min(jobs, len(items))) as pool:
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


@contextlib.contextmanager
def _pool(jobs: int) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    before = multiprocessing.active_children()
    spawn = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_begin)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        _end([each for each in multiprocessing.active_children() if each not in before])
        raise
    finally:
        pool.shutdown()


def _begin() -> None:
    """Leave Ctrl-C to the process that started this one, which then asks this one to leave."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def _end(processes: Iterable[multiprocessing.process.BaseProcess]) -> None:
    ended = list(processes)
    for process in ended:
        process.terminate()
    for process in ended:
        process.join(_LEAVE_S)
        if process.is_alive():
            process.kill()
