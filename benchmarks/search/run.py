"""``spec-envs bench search``: episodes of web search run through ``SpeculativeWrapper``, beside the same without it.

Both runs have the same handlers, so the one without speculation takes the sum of its calls. ``saved`` is the share of
that sum that the other did not need, on its own clock: with a virtual clock in seconds of the episode, with the wall
clock in real ones. The guessers learn from one episode to the next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

from spec_envs.adapting import as_guess
from spec_envs.agents import UnionGuesser
from spec_envs.agents.calibration import RankCalibration
from spec_envs.agents.recent import Recent
from spec_envs.agents.search.action_guesser import SearchGuesser
from spec_envs.agents.search.page_guesser import PageGuesser
from spec_envs.agents.search.recorded_guesser import RecordedSearchGuesser
from spec_envs.benchmarks.speculated import Speculated, figures_of
from spec_envs.benchmarks.timed import TimedGuesser
from spec_envs.errors import InvalidConfiguration
from spec_envs.search.actions import read_action
from spec_envs.wrappers import SimulationRuntime, SpeculativeWrapper, ThreadRuntime
from spec_envs.wrappers.speculation.tree.limits import Limits

if TYPE_CHECKING:
    from spec_envs.benchmarks.search.cases import Case
    from spec_envs.benchmarks.search.settings import SearchSettings
    from spec_envs.calls import Call
    from spec_envs.guesses import Guess, Guesser
    from spec_envs.handling import CancelToken
    from spec_envs.wrappers.runtimes.base import Runtime

#: What a guess of the free guessers costs on the virtual clock, where computing takes no time: measured, rounded up.
FREE_S = 0.005


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SearchRun(Speculated):
    """What became of one episode; its tokens are estimated.

    Args:
        episode: Its name.
        agent, guesser: Who acted, and who guessed when the episode was recorded; "free" where that is not used.
        k: Guesses that were asked for when the episode was recorded; else now.
        steps: Actions taken.
        not_predicted: Responses for which no guesser was asked, because it was expected to take longer than the call.
        first_top1, first_top3: 1 if the first action was the first guess, or among the first three, in any case of
            letters; else 0.
        top1, top3: The same as shares of the actions after the first; ``None`` where there was only one.
    """

    episode: str
    agent: str
    guesser: str
    k: int
    steps: int
    not_predicted: int
    first_top1: int
    first_top3: int
    top1: float | None
    top3: float | None


class SearchBench:
    """Runs episodes one after the other with the same settings; what is learned in one is known in the next.

    Args:
        cases: What to run.
        settings: How.
        free: The free guesser of actions. Default: a new ``SearchGuesser``.

    Raises:
        InvalidConfiguration: Guesses are to be the recorded ones, and there is no record.
    """

    def __init__(self, cases: Sequence[Case], settings: SearchSettings, free: SearchGuesser | None = None) -> None:
        if settings.guesses != "free" and any(case.record is None for case in cases):
            raise InvalidConfiguration(f"guesses {settings.guesses!r} need recorded episodes; use guesses 'free'")
        self.cases = tuple(cases)
        self.settings = settings
        self._free = SearchGuesser() if free is None else free
        self._free_pages = PageGuesser()
        self._ranks = RankCalibration()
        self._ranks_of_pages = RankCalibration(prior=(0.02,))

    def run(self, case: Case) -> SearchRun:
        """Run one episode twice: without speculation in virtual time, and with it."""
        plain = SimulationRuntime()
        with self._wrapped(case, {}, Limits(max_inflight=0), plain) as env:
            expected = play(env)
            sequential = plain.now()
        actions, pages = self._guessers(case)
        scored = ScoredGuesser(actions)
        runtime: Runtime = SimulationRuntime() if self.settings.clock == "virtual" else ThreadRuntime()
        with self._wrapped(case, {"policy": scored, "fetch": pages}, self.settings.limits, runtime) as env:
            start = runtime.now()
            played = play(env)
            seconds = runtime.now() - start
        figures = figures_of(
            env.statistics, seconds=seconds, sequential_seconds=sequential, lossless=played == expected
        )
        first, *later = scored.ranks
        return SearchRun(
            episode=case.name,
            agent=case.agent,
            guesser=case.record.guesser if case.record and self.settings.guesses != "free" else "free",
            k=case.record.k if case.record else self.settings.k,
            steps=len(played.actions),
            not_predicted=env.statistics.not_predicted,
            first_top1=int(first < 1),
            first_top3=int(first < 3),
            top1=sum(rank < 1 for rank in later) / len(later) if later else None,
            top3=sum(rank < 3 for rank in later) / len(later) if later else None,
            **figures,
        )

    def _wrapped(
        self, case: Case, guessers: Mapping[str, Guesser], limits: Limits, runtime: Runtime
    ) -> SpeculativeWrapper[Any, Any]:
        return SpeculativeWrapper(
            case.env(), policy=case.policy, guessers=guessers, k=self.settings.k, limits=limits, runtime=runtime
        )

    def _guessers(self, case: Case) -> tuple[Guesser, Guesser]:
        """Of the agent's actions, and of what the site returns."""
        free, free_pages = self._charged(self._free), self._charged(self._free_pages)
        if case.record is None:
            return free, free_pages
        recorded = RecordedSearchGuesser(
            case.record, speed=self.settings.time_scale, ranks=self._ranks, pages=self._ranks_of_pages
        )
        match self.settings.guesses:
            case "recorded":
                return recorded, recorded
            case "free":
                return free, free_pages
            case "union":
                return UnionGuesser([free, recorded]), free_pages
            case unknown:
                assert_never(unknown)

    def _charged(self, guesser: Guesser) -> Guesser:
        return TimedGuesser(guesser, FREE_S) if self.settings.clock == "virtual" else guesser


class Played(NamedTuple):
    """What was done, and what was seen."""

    actions: tuple[Any, ...]
    observations: tuple[Any, ...]


def play(env: SpeculativeWrapper[Any, Any]) -> Played:
    """Play an episode to its end."""
    observation, _ = env.reset(seed=0)
    actions, observations = [], [observation]
    done = False
    while not done:
        actions.append(env.act(observation))
        observation, _, terminated, truncated, _ = env.step(actions[-1])
        observations.append(observation)
        done = terminated or truncated
    return Played(tuple(actions), tuple(observations))


#: The rank of an action that was not guessed.
_NEVER = 1_000


class ScoredGuesser:
    """Another guesser of actions, with the rank that it gave to each action that was really taken.

    What it was never asked about, for want of places, it is asked when the action is known, before it learns from it.
    """

    def __init__(self, inner: Guesser) -> None:
        self.ranks: list[int] = []
        self._inner: Any = inner
        self._guess = as_guess(inner.guess)
        self._made: Recent[Sequence[Guess]] = Recent(10_000)

    def guess(self, call: Call, k: int, cancel: CancelToken, early: Callable[[Any], None]) -> Sequence[Guess]:
        """The inner guesses."""
        made: Sequence[Guess] = self._guess(call, k, cancel, early)
        self._made.put(call.key, made)
        return made

    def observe(self, call: Call, response: Any) -> None:
        """Note the rank, and have the inner guesser learn."""
        made = self._made.get(call.key)
        if made is None:
            made = self.guess(call, 3, SimulationRuntime().token(), lambda guesses: None)
        guessed = [str(read_action(guess.response)).lower() for guess in made]
        taken = str(read_action(response)).lower()
        self.ranks.append(guessed.index(taken) if taken in guessed else _NEVER)
        self._inner.observe(call, response)
