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


def examined(tasks: Sequence[Task], workers: int) -> Iterator[Outcome]:
    """The outcomes, as they come; a task that ends its process has one, too."""
    broken = []
    with _pool(workers) as pool:
        futures = {pool.submit(examine, *task): task for task in tasks}
        for future in concurrent.futures.as_completed(futures):
            try:
                yield future.result()
            except BrokenProcessPool:
                broken.append(futures[future])
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
