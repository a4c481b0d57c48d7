"""A pool of processes of this machine that ends when it is told to.

Processes are spawned, so that none inherits threads, engines or event loops. Ctrl-C, or an error, ends them all: each
is told to leave (``SystemExit`` in its work, so that engines and browsers are closed), and is killed if it stays.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import multiprocessing.process
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_T = TypeVar("_T")
#: How long a process may take to close what it has opened.
_LEAVE_S = 5.0
#: How long after its work a process that was told to leave leaves.
_PAUSE_S = 0.05

_plan: bytes = b""  # in a process of a pool: what was given to ``spawned``
_is_leaving = False  # in a process of a pool: whether it was told to leave
_is_working = False  # in a process of a pool: whether it is in ``worked``


@contextlib.contextmanager
def spawned(jobs: int, plan: bytes = b"") -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """A pool of processes, which an error or Ctrl-C ends; each task is to be given to ``worked``.

    Args:
        jobs: How many processes there are.
        plan: What ``given_plan`` returns in them.
    """
    before = multiprocessing.active_children()
    spawn = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_begin, initargs=(plan,))
    try:
        yield pool
    except BaseException:
        # Before ``shutdown``: of a pool that has lost a process it waits for all others, also for one that stays.
        _end([each for each in multiprocessing.active_children() if each not in before])
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def given_plan() -> bytes:
    """The plan that the pool of this process was given."""
    return _plan


def worked(work: Callable[..., _T], *given: object) -> _T:
    """Return what ``work`` returns, in a process of a pool; afterwards the process leaves if it was told to."""
    global _is_working
    _is_working = True
    try:
        return work(*given)
    finally:
        _is_working = False
        if _is_leaving:
            _leave_soon()


def _begin(plan: bytes) -> None:
    """Leave Ctrl-C to the process that started this one, which then asks this one to leave."""
    global _plan
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_outlive_no_parent, name="waits for the parent's end", daemon=True).start()
    _plan = plan


def _leave(*_: object) -> None:
    global _is_leaving
    _is_leaving = True
    if not _is_working:
        _leave_soon()
    sys.exit(1)


def _leave_soon() -> None:
    """Leave again in a moment: whoever called the work, a guesser or a task of the pool may catch ``SystemExit``."""

    def leave() -> None:
        time.sleep(_PAUSE_S)
        if threading.main_thread().is_alive():  # else the process is ending
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=leave, name="leaves", daemon=True).start()


def _outlive_no_parent() -> None:
    """End this process when the one that started it was killed, so that it does not work or wait for nobody."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_LEAVE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _end(processes: Iterable[multiprocessing.process.BaseProcess]) -> None:
    ended = list(processes)
    for process in ended:
        process.terminate()
    for process in ended:
        process.join(_LEAVE_S)
        if process.is_alive():
            process.kill()
            process.join()
