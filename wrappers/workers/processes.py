"""Players in processes of this machine.

Processes are spawned, so that none inherits threads, engines or event loops. Ctrl-C, or an error, ends them all: each
is told to leave (``SystemExit`` in its work, so that engines and browsers are closed), and is killed if it stays.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import multiprocessing.process
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool

from spec_envs.errors import EpisodeFailed
from spec_envs.wrappers.workers.crew import Crew
from spec_envs.wrappers.workers.player import Plan, Played, Player

#: How long a process may take to close what it has opened.
_LEAVE_S = 5.0
#: How long after its work a process that was told to leave leaves.
_PAUSE_S = 0.05


class Processes(Crew):
    """Players in processes.

    Args:
        pool: Processes that were given the plan, as ``playing`` does.
        size: How many processes there are.
    """

    def __init__(self, pool: concurrent.futures.ProcessPoolExecutor, size: int) -> None:
        super().__init__(size)
        self._pool = pool
        self._under_way: dict[concurrent.futures.Future[bytes], tuple[int, int]] = {}

    def begin(self, place: int, seed: int, guessers: bytes | None) -> None:
        """Have the episode of ``seed`` played."""
        self._under_way[self._pool.submit(_play, seed, guessers)] = place, seed

    def next_played(self) -> tuple[int, Played]:
        """Wait for the next episode, and return its place and the episode; ``EpisodeFailed`` if a process has died."""
        done, _ = concurrent.futures.wait(self._under_way, return_when=concurrent.futures.FIRST_COMPLETED)
        future = min(done, key=lambda each: self._under_way[each])
        place, seed = self._under_way.pop(future)
        try:
            return place, pickle.loads(future.result())
        except BrokenProcessPool as error:
            seeds = ", ".join(map(str, sorted([seed, *(each for _, each in self._under_way.values())])))
            raise EpisodeFailed(
                seed, f"a process died, which was killed or ran out of memory; it played one of the seeds {seeds}"
            ) from error


@contextlib.contextmanager
def playing(plan: Plan, jobs: int) -> Iterator[Processes]:
    """Processes that play episodes of ``plan``; they end with the ``with``."""
    with spawned(jobs, plan.pickled()) as pool:
        yield Processes(pool, jobs)


@contextlib.contextmanager
def spawned(jobs: int, plan: bytes = b"") -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """A pool of processes, which an error or Ctrl-C ends; ``plan`` is what they play, if they are to play."""
    before = multiprocessing.active_children()
    spawn = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_begin, initargs=(plan,))
    try:
        yield pool
    except BaseException:
        # Before ``shutdown``: of a pool that has lost a process it waits for all others, also for one that stays.
        _end([each for each in multiprocessing.active_children() if each not in before])
        pool.shutdown(cancel_futures=True)  # the pool's thread looks at the processes, too: nobody else may meanwhile
        raise
    finally:
        pool.shutdown()


#: In a process that plays: its pickled plan, and the player, once there is one.
_plan: bytes = b""
_player: Player | None = None
_is_leaving = False  # whether the process was told to leave


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
    sys.exit(1)


def _leave_soon() -> None:
    """Leave once the process waits for work: the pool, or a guesser's caller, has caught the first ``SystemExit``."""
    time.sleep(_PAUSE_S)
    os.kill(os.getpid(), signal.SIGTERM)


def _outlive_no_parent() -> None:
    """End this process when the one that started it was killed, so that it does not work or wait for nobody."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_LEAVE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _play(seed: int, guessers: bytes | None) -> bytes:
    global _player
    try:
        if _player is None:  # not in ``_begin``, where an error would look like the death of a process
            _player = Player(pickle.loads(_plan))
        return _player.play(seed, None if guessers is None else pickle.loads(guessers)).packed()
    finally:
        if _is_leaving:
            threading.Thread(target=_leave_soon, name="leaves", daemon=True).start()


def _end(processes: Iterable[multiprocessing.process.BaseProcess]) -> None:
    ended = list(processes)
    for process in ended:
        process.terminate()
    for process in ended:
        process.join(_LEAVE_S)
        if process.is_alive():
            process.kill()
            process.join()
