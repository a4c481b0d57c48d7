"""Players in processes of this machine."""

from __future__ import annotations

import concurrent.futures
import contextlib
import pickle
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool

from spec_envs.errors import EpisodeFailed
from spec_envs.wrappers.workers.crew import Crew
from spec_envs.wrappers.workers.player import Plan, Played, Player
from spec_envs.wrappers.workers.pool import given_plan, spawned, worked


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
        self._has_begun = False  # whether any episode has come back

    def begin(self, place: int, seed: int, guessers: bytes | None) -> None:
        """Have the episode of ``seed`` played."""
        self._under_way[self._pool.submit(worked, _play, seed, guessers)] = place, seed

    def next_played(self) -> tuple[int, Played]:
        """Wait for the next episode, and return its place and the episode; ``EpisodeFailed`` if a process has died."""
        done, _ = concurrent.futures.wait(self._under_way, return_when=concurrent.futures.FIRST_COMPLETED)
        future = min(done, key=lambda each: self._under_way[each])
        place, seed = self._under_way.pop(future)
        try:
            played = pickle.loads(future.result())
        except BrokenProcessPool as error:
            seeds = ", ".join(map(str, sorted([seed, *(each for _, each in self._under_way.values())])))
            why = f"a process died (killed, or out of memory) while it played one of the seeds {seeds}"
            if not self._has_begun:
                why += (
                    '; if it could not begin: a script has to play under `if __name__ == "__main__":`, since each '
                    "process imports the script"
                )
            raise EpisodeFailed(seed, why) from error
        self._has_begun = True
        return place, played


@contextlib.contextmanager
def playing(plan: Plan, jobs: int) -> Iterator[Processes]:
    """Processes that play episodes of ``plan``; they end with the ``with``."""
    with spawned(jobs, plan.pickled()) as pool:
        yield Processes(pool, jobs)


_player: Player | None = None  # in a process that plays: its player, once there is one


def _play(seed: int, guessers: bytes | None) -> bytes:
    global _player
    if _player is None:  # not when the process begins, where an error would look like the death of the process
        _player = Player(pickle.loads(given_plan()))
    return _player.play(seed, None if guessers is None else pickle.loads(guessers)).packed()
