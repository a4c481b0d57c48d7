"""Agents that share one provider's rate limit: a model of very many, and real wrappers on a loop in virtual time.

The model has the rules that matter here and no others: a call waits until the provider takes it, and takes its time;
behind each call that was taken the agent makes the next one ahead of time, with a guess that is right so often; a call
behind a wrong guess is wasted. The provider takes calls in any order ("first come"), or calls ahead of time only where
``rate_limited`` does ("gives way"): where no other call waits, and a window has room beside as many authoritative calls
as the last one had.
"""

import asyncio
import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from spec_envs.benchmarks.episodes import VirtualLoop, play_awaited
from spec_envs.benchmarks.scale import ScaleSettings
from spec_envs.benchmarks.scale.workload import RIGHT, MostlyAsync, SlowAsync, env_of, guessers
from spec_envs.wrappers import AsyncSpeculativeWrapper, Limits
from spec_envs.wrappers.certify import PlainAsyncLoop
from spec_envs.wrappers.handlers import rate_limited

#: What plain agents ask for, relative to what the provider takes.
DEMANDS = (0.25, 0.5, 1.0, 2.0)
#: The real agents.
_FEW = 20
_TICK_S = 0.2
_DEPTH = 4

Order = Literal["plain", "first come", "gives way"]


def rows(settings: ScaleSettings) -> Iterator[dict[str, Any]]:
    """A row for each demand: how long the agents take, by rule."""
    for demand in DEMANDS:
        yield {
            "demand": demand,
            **{order: modelled(settings, demand, order) for order in ("plain", "first come", "gives way")},
            "wrappers_plain": played(settings, demand, speculative=False),
            "wrappers_ahead": played(settings, demand, speculative=True),
        }


def modelled(settings: ScaleSettings, demand: float, order: Order) -> float:
    """Seconds of virtual time until all agents of the model are done."""
    return _Model(settings, demand, order).run()


class _Model:
    """All agents at once, as arrays: a row for each agent, a column for each call of its chain.

    Column 0 is the call that the agent waits for; each further one is ahead of the one before it.
    """

    _NONE, _WAITS, _RUNS, _DONE = range(4)

    def __init__(self, settings: ScaleSettings, demand: float, order: Order) -> None:
        self._order, self._settings = order, settings
        self._random = np.random.default_rng(0)
        depth = 0 if order == "plain" else min(_DEPTH, settings.max_inflight)
        shape = settings.agents, 1 + depth
        self._state = np.zeros(shape, np.int8)
        self._state[:, 0] = self._WAITS
        self._ends = np.zeros(shape)
        self._right = self._random.random(shape) < RIGHT
        self._left = np.full(settings.agents, 2 * settings.steps)
        self._per_tick = settings.agents / settings.seconds / demand * _TICK_S
        self._credit = 0.0
        # The authoritative share of what was taken in the last second: what speculation leaves room for.
        self._taken = [(0.0, 0.0)] * round(1 / _TICK_S)

    def run(self) -> float:
        """Seconds until all agents are done."""
        now = 0.0
        while (self._left > 0).any():
            now += _TICK_S
            self._state[(self._state == self._RUNS) & (self._ends <= now)] = self._DONE
            self._commit()
            self._extend()
            self._take(now)
        return now

    def _commit(self) -> None:
        """Agents whose call is done go on: to the next of the chain if the guess was right, else with a new call."""
        for _ in range(self._state.shape[1]):
            done = (self._state[:, 0] == self._DONE) & (self._left > 0)
            if not done.any():
                return
            self._left[done] -= 1
            goes_on = done.copy()
            if self._state.shape[1] > 1:
                goes_on &= self._right[:, 1] & (self._state[:, 1] != self._NONE)
                for array, empty in ((self._state, self._NONE), (self._ends, 0.0), (self._right, False)):
                    array[goes_on, :-1] = array[goes_on, 1:]
                    array[goes_on, -1] = empty
            else:
                goes_on[:] = False
            anew = done & ~goes_on
            self._state[anew] = self._NONE
            self._state[anew, 0] = self._WAITS
            self._state[self._left == 0] = self._NONE

    def _extend(self) -> None:
        """Behind each call that was taken comes the next one, ahead of time."""
        for column in range(1, self._state.shape[1]):
            new = (self._state[:, column] == self._NONE) & (self._state[:, column - 1] >= self._RUNS)
            new &= self._left > column
            self._state[new, column] = self._WAITS
            self._right[new, column] = self._random.random(int(new.sum())) < RIGHT

    def _take(self, now: float) -> None:
        """The provider takes the calls for which it has room."""
        self._credit = min(self._credit + self._per_tick, 2 * self._per_tick)
        waits = np.argwhere(self._state == self._WAITS)
        needed = waits[waits[:, 1] == 0]
        if self._order == "first come":
            begun = self._begin(waits, self._credit, now)
        else:
            begun = self._begin(needed, self._credit, now)
            lately = sum(authoritative for authoritative, _ in self._taken)
            room = self._per_tick / _TICK_S - sum(all_of for _, all_of in self._taken) - lately - begun - 1
            if begun == len(needed):
                begun += self._begin(waits[waits[:, 1] > 0], min(room, self._credit - begun), now)
        self._credit -= begun
        self._taken = [*self._taken[1:], (min(begun, len(needed)), begun)]

    def _begin(self, waiting: Any, room: float, now: float) -> int:
        count = max(0, min(len(waiting), int(room)))
        chosen = waiting[self._random.permutation(len(waiting))[:count]]
        places = chosen[:, 0], chosen[:, 1]
        self._state[places] = self._RUNS
        self._ends[places] = now + self._settings.seconds * (0.5 + self._random.random(count))
        return count


def played(settings: ScaleSettings, demand: float, *, speculative: bool) -> float:
    """Seconds of virtual time that a few agents with real wrappers take."""
    limit = max(1, round(_FEW / settings.seconds / demand))
    loop = VirtualLoop()
    try:
        loop.run_until_complete(_all(dataclasses.replace(settings, agents=_FEW), limit, speculative=speculative))
        return loop.clock
    finally:
        loop.close()


async def _all(settings: ScaleSettings, limit: int, *, speculative: bool) -> None:
    handler = rate_limited(SlowAsync(settings.seconds), limit, 1.0)

    async def agent(seed: int) -> None:
        env = env_of(handler, settings)
        loop: Any = PlainAsyncLoop(env, handler)
        if speculative:
            limits = Limits(max_inflight=settings.max_inflight)
            loop = AsyncSpeculativeWrapper(env, handler, guessers=guessers(MostlyAsync()), limits=limits, guard=False)
        await play_awaited(loop, seed)

    await asyncio.gather(*map(agent, range(settings.agents)))
