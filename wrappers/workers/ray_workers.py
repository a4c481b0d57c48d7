"""Players on the workers of a Ray cluster, one limit for all of them, and what happens when a worker or a node dies.

Each worker is an actor that plays one episode at a time, and has the next one at hand. When one dies, its permits are
taken back, another worker is started in its place, and its episodes are played by others. The ledger of the limits
lives on the node of this program.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import importlib
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from spec_envs.errors import EpisodeFailed, InvalidConfiguration
from spec_envs.wrappers.workers.crew import Crew
from spec_envs.wrappers.workers.permits import Ledger, Loan, Settling, SharedLimit
from spec_envs.wrappers.workers.player import Plan, Played, Player
from spec_envs.wrappers.workers.purse import BEAT_S, Purse
from spec_envs.wrappers.workers.ray_tasks import RETRIES, connected, num_cpus

#: How long it may take until the first worker has begun.
_START_S = 300.0
#: How long the processes of a node may live on after the node was found dead; Ray ends them within a second or so.
_GRACE_S = 3.0
#: How long workers may take to close what they have opened.
_LEAVE_S = 5.0
#: The name of the thread of a worker in which it is told to leave.
_LEAVING = "leaving"


@dataclasses.dataclass(frozen=True, slots=True)
class _Given:
    """An episode to play."""

    place: int
    seed: int
    guessers: Any  # a reference to pickled guessers, or ``None``
    deaths: int = 0  # how many workers have died while they played it


@dataclasses.dataclass(slots=True, eq=False)
class _Hired:
    """A worker.

    Attributes:
        name: A name that no other worker ever had.
        actor: The handle of the actor.
        hello: The reference of its first sign of life; ``None``: it has come.
        episodes: The episodes that it plays and that it plays next, by the reference of what they will be.
    """

    name: str
    actor: Any
    hello: Any
    episodes: dict[Any, _Given] = dataclasses.field(default_factory=dict)

    @property
    def pending(self) -> tuple[Any, ...]:
        """What it has still to answer."""
        return (*self.episodes,) if self.hello is None else (self.hello,)


class RayCrew(Crew):
    """Players on a cluster.

    Args:
        ray: The module.
        plan: What is played.
        size: How many workers there are.
        limits: What all of them together may ask of handlers.
    """

    def __init__(self, ray: Any, plan: Plan, size: int, limits: Mapping[str, SharedLimit]) -> None:
        super().__init__(size)
        self._ray = ray
        self._plan = ray.put(ray.cloudpickle.dumps(plan))
        self._limits = dict(limits)
        self._beat_s = max(BEAT_S, size / 1000)  # the ledger settles with some thousand workers a second
        self._ledger = _ledger_here(ray, self._limits) if limits else None
        self._due: collections.deque[_Given] = collections.deque()
        self._sent: tuple[bytes | None, Any] = (None, None)
        self._workers: list[_Hired] = [self._hire() for _ in range(size)]
        self._begun_at: float | None = time.monotonic()

    def begin(self, place: int, seed: int, guessers: bytes | None) -> None:
        """Have an episode played by a worker that has little to do."""
        if guessers is not self._sent[0]:
            self._sent = guessers, None if guessers is None else self._ray.put(guessers)
        self._due.append(_Given(place, seed, self._sent[1]))
        self._give()

    def next_played(self) -> tuple[int, Played]:
        """Wait for the next episode; a worker that dies is replaced meanwhile, and its episode begun again.

        Raises:
            EpisodeFailed: The workers of an episode have died again and again.
            InvalidConfiguration: No worker has begun, since the cluster has no room for one.
        """
        while True:
            pending = {reference: worker for worker in self._workers for reference in worker.pending}
            done, _ = self._ray.wait(list(pending), num_returns=1, timeout=1.0)
            if not done:
                self._check_begun()
                continue
            worker, packed = pending[done[0]], None
            try:
                packed = self._ray.get(done[0])
            except self._ray.exceptions.RayTaskError as error:  # of ``hello``; those of episodes are in the episode
                raise InvalidConfiguration(f"a worker cannot load what it is to play: {error}") from error
            except self._ray.exceptions.RayError as error:
                self._bury(worker, error)
                continue
            given = worker.episodes.pop(done[0], None)
            if given is None:
                worker.hello = self._begun_at = None
            self._give()
            if given is not None:
                return given.place, self._ray.cloudpickle.loads(packed)

    def figures(self) -> dict[str, Any]:
        """By handler that is limited: how many slots were lent at once at most, and what was spent."""
        return {} if self._ledger is None else dict(self._ray.get(self._ledger.figures.remote()))

    def close(self) -> None:
        """Cancel what runs, and end all workers."""
        with contextlib.suppress(Exception):  # the cluster may be gone
            begun = [worker.actor for worker in self._workers if worker.hello is None]
            leaving = [actor.leave.options(concurrency_group=_LEAVING).remote() for actor in begun]
            if leaving:
                self._ray.wait(leaving, num_returns=len(leaving), timeout=_LEAVE_S)
        for actor in (*(worker.actor for worker in self._workers), self._ledger):
            if actor is not None:
                with contextlib.suppress(Exception):
                    self._ray.kill(actor)

    # -- workers -------------------------------------------------------------------------------------------------------

    def _hire(self) -> _Hired:
        name = uuid.uuid4().hex
        # ``leave`` is called while an episode is played, so it has a thread of its own.
        remote = self._ray.remote(max_restarts=0, num_cpus=1, concurrency_groups={_LEAVING: 1})(_Worker)
        actor = remote.remote(name, self._plan, self._limits, self._ledger, self._beat_s)
        return _Hired(name, actor, actor.hello.remote())

    def _give(self) -> None:
        """Give what is due to the workers that have least to do; each has one episode at hand beside that under way."""
        while self._due:
            ready = [worker for worker in self._workers if worker.hello is None and len(worker.episodes) < 2]
            if not ready:
                return
            worker, given = min(ready, key=lambda each: len(each.episodes)), self._due.popleft()
            worker.episodes[worker.actor.play.remote(given.seed, given.guessers)] = given

    def _bury(self, worker: _Hired, error: Exception) -> None:
        """Replace a worker that has died, and have its episodes played by others."""
        self._ray.kill(worker.actor)  # where it is only out of reach, it is to be dead before its permits are taken
        if self._ledger is not None:
            self._ledger.take_back.remote(worker.name, _GRACE_S)
        self._workers[self._workers.index(worker)] = self._hire()
        lost = list(worker.episodes.values())
        if lost:  # the first one was under way
            deaths = lost[0].deaths + 1
            if deaths > RETRIES:
                raise EpisodeFailed(lost[0].seed, f"{deaths} workers have died while they played it") from error
            lost[0] = dataclasses.replace(lost[0], deaths=deaths)
        self._due.extendleft(reversed(lost))
        self._give()

    def _check_begun(self) -> None:
        if self._begun_at is not None and time.monotonic() > self._begun_at + _START_S:
            raise InvalidConfiguration(
                f"no worker has begun within {_START_S:g} s: {self.size} workers need a CPU each, and the cluster has "
                f"{self._ray.cluster_resources().get('CPU', 0):g}, of which "
                f"{self._ray.available_resources().get('CPU', 0):g} are free"
            )


class _Worker:
    """Plays episodes, one at a time, in a process of the cluster; ``leave`` is called beside one."""

    def __init__(self, name: str, plan: bytes, limits: Mapping[str, SharedLimit], ledger: Any, beat_s: float) -> None:
        ray: Any = importlib.import_module("ray")
        self._ray, self._plan = ray, plan

        def settle(settlings: Mapping[str, Settling]) -> tuple[Mapping[str, Loan], float]:
            loans: tuple[Mapping[str, Loan], float] = ray.get(ledger.settle.remote(name, settlings, beat_s))
            return loans

        self._purse = Purse(limits, settle, beat_s) if limits else None
        self._limited = tuple(limits)
        self._player: Player | None = None

    def hello(self) -> None:
        """Load the plan, and tell that this worker has begun."""
        around = None if self._purse is None else self._purse.around
        self._player = Player(self._ray.cloudpickle.loads(self._plan), around, self._limited)

    def play(self, seed: int, guessers: bytes | None) -> bytes:
        """Play an episode."""
        loads = self._ray.cloudpickle.loads
        assert self._player is not None
        return self._player.play(seed, None if guessers is None else loads(guessers)).packed()

    def leave(self) -> None:
        """Cancel the episode under way, and give back all permits."""
        if self._player is not None:
            self._player.leave()
        if self._purse is not None:
            self._purse.close()


class _LedgerActor:
    """The ledger as an actor: settling waits a moment if there is nothing to lend."""

    def __init__(self, limits: Mapping[str, SharedLimit]) -> None:
        self._ledger = Ledger(limits)
        self._changed = asyncio.Condition()

    async def settle(
        self, worker: str, settlings: Mapping[str, Settling], patience_s: float
    ) -> tuple[dict[str, Loan], float]:
        """Settle with a worker, and return the loans and for how many seconds they were waited for."""
        begin = made_at = time.monotonic()
        async with self._changed:
            loans = self._ledger.settle(worker, settlings, made_at)
            self._changed.notify_all()  # others may want what was given back
            wanted = {
                name: Settling(slots=each.slots, starts=each.starts, budget=each.budget)
                for name, each in settlings.items()
                if each.wants
            }
            while wanted and all(loan.is_nothing for loan in loans.values()) and made_at < begin + patience_s:
                until = min(begin + patience_s, self._ledger.waits_until(made_at) or begin + patience_s)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), max(0.0, until - made_at))
                made_at = time.monotonic()
                loans = self._ledger.settle(worker, wanted, made_at)
            return loans, made_at - begin

    async def take_back(self, worker: str, after_s: float) -> None:
        """Take back what a dead worker held, after so many seconds in which its calls may still be in flight."""
        await asyncio.sleep(after_s)
        async with self._changed:
            self._ledger.take_back(worker)
            self._changed.notify_all()

    async def figures(self) -> dict[str, Any]:
        """By handler: how many slots were lent at once at most, and what was spent."""
        return {
            name: {"max_inflight": each.greatest_inflight, "tokens": each.spent.tokens, "money": each.spent.money}
            for name, each in self._ledger.permits.items()
        }


def _ledger_here(ray: Any, limits: Mapping[str, SharedLimit]) -> Any:
    """A ledger on the node of this program, so that the death of another node does not end it."""
    strategies: Any = importlib.import_module("ray.util.scheduling_strategies")
    here = strategies.NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"num_cpus": 0, "scheduling_strategy": here, "max_concurrency": 10_000}
    return ray.remote(_LedgerActor).options(**options).remote(limits)


@contextlib.contextmanager
def playing_on_ray(
    plan: Plan, address: str | None, jobs: int | None, limits: Mapping[str, SharedLimit]
) -> Iterator[RayCrew]:
    """Workers of a cluster that play episodes of ``plan``; they end with the ``with``.

    Args:
        plan: What is played.
        address: The address of the cluster, as for ``connected``.
        jobs: How many workers there are; ``None``: one for each CPU.
        limits: What all of them together may ask of handlers.
    """
    with connected(address) as ray:
        size = jobs or num_cpus(ray)
        crew = RayCrew(ray, plan, size, limits)
        try:
            yield crew
        finally:
            crew.close()
