"""Examinations in processes of their own: some C libraries end theirs, and print what nobody has asked for."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

from tests.conformance.catalog import Subject
from tests.conformance.examining import Outcome, examine


class Task(NamedTuple):
    """The arguments of ``examine``."""

    subject: Subject
    episodes: int
    offset: int


def examined(tasks: Sequence[Task], workers: int, every_s: float) -> Iterator[Outcome | None]:
    """The outcomes, as they come; a task that ends its process has one, too. ``None`` where none came for a while."""
    broken = []
    with _pool(workers) as pool:
        futures = {pool.submit(examine, *task): task for task in tasks}
        while futures:
            done, _ = concurrent.futures.wait(futures, every_s, concurrent.futures.FIRST_COMPLETED)
            if not done:
                yield None
            for future in done:
                task = futures.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    broken.append(task)
    for task in broken:  # it was one of these, and the others are well
        with _pool(1) as pool:
            try:
                yield pool.submit(examine, *task).result()
            except BrokenProcessPool:
                yield Outcome(task.subject, problems=["it ends the process"])


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_quiet)


def _quiet() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
