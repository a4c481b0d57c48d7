"""Episodes of web search, run through ``SpeculativeWrapper`` and without it.

Both runs have the same handlers, so a run without speculation takes the sum of its calls. ``saved`` is the share of
that sum that the speculative run did not need, on its own clock: with the virtual clock in seconds of the episode, with
the wall clock in real ones. The guessers learn from one episode to the next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self, assert_never

import gymnasium as gym
from rich.console import RenderableType

import spec_envs  # noqa: F401  (registers SpecSearch-v0)
from spec_envs.agents import CallableGuesser, UnionGuesser
from spec_envs.agents.calibration import RankCalibration
from spec_envs.agents.recent import Recent
from spec_envs.agents.search.action_guesser import SearchGuesser
from spec_envs.agents.search.page_guesser import PageGuesser
from spec_envs.agents.search.recorded_guesser import RecordedSearchGuesser
from spec_envs.agents.search.scripted_policy import ScriptedSearchPolicy
from spec_envs.benchmarks.episodes import Speculated, charged, figures_of, play, play_plainly, runtime_of
from spec_envs.benchmarks.reports import collected, config_of, mean_of, outcomes, table_of, tokens_text
from spec_envs.benchmarks.search import PAGE_S, SearchSettings
from spec_envs.calls import Call
from spec_envs.errors import InvalidConfiguration
from spec_envs.guesses import Guess, Guesser
from spec_envs.handling import CancelToken, Handler, as_guess
from spec_envs.search.actions import read_action
from spec_envs.search.loading import embedded_corpus, load_questions
from spec_envs.search.pages import Fetched, FetchQuery
from spec_envs.search.questions import Question
from spec_envs.search.recordings import RecordedEpisode, load_episodes
from spec_envs.search.replay import RecordedAgent, RecordedSite
from spec_envs.wrappers import SimulationRuntime, SpeculativeWrapper
from spec_envs.wrappers.estimates import Estimates
from spec_envs.wrappers.handlers import with_latency
from spec_envs.wrappers.latency import lognormal
from spec_envs.wrappers.runtimes.base import Runtime

#: What a guess of the free guessers costs on the virtual clock, where computing takes no time: measured, rounded up.
FREE_S = 0.005


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SearchRun(Speculated):
    """The figures of one episode; its tokens are estimated."""

    episode: str  # name of the episode
    agent: str  # who acted when the episode was recorded; "scripted" if the episode was not recorded
    guesser: str  # who guessed when the episode was recorded; "free" where these guesses are not used
    k: int  # guesses for one call when the episode was recorded; for an episode that was not recorded, now
    steps: int  # actions taken
    not_predicted: int  # calls that no guesser predicted, because the guess would have taken longer than the call
    first_top1: int  # 1 if the first action was the first guess (upper and lower case do not count), else 0
    first_top3: int  # 1 if the first action was among the first three guesses, else 0
    top1: float | None  # share of the later actions that were the first guess; ``None`` if there was only one action
    top3: float | None  # the same for the first three guesses


class SearchBench:
    """Runs episodes one after the other with the same settings; guessers keep what they learned in earlier ones.

    Raises:
        InvalidConfiguration: ``settings`` want recorded guesses, and an episode has none.
    """

    def __init__(self, cases: Sequence[Case], settings: SearchSettings) -> None:
        if settings.guesses != "free" and any(case.record is None for case in cases):
            raise InvalidConfiguration(
                f"--guesses {settings.guesses} needs recorded guesses: give --episodes FILE, a file with recorded "
                f"episodes, or --guesses free"
            )
        self.cases = tuple(cases)
        self.settings = settings
        self._free = SearchGuesser()
        self._seen_pages = PageGuesser()
        self._estimates = Estimates()
        self._ranks = RankCalibration()
        self._ranks_of_pages = RankCalibration(prior=(0.02,))

    def run(self, case: Case) -> SearchRun:
        """Run one episode twice: by the plain loop in virtual time, and with speculation."""
        plain = play_plainly(case.env(), case.policy, SimulationRuntime())
        actions, pages = self._guessers(case)
        scored = ScoredGuesser(actions)
        runtime = runtime_of(self.settings.clock, priced=self.settings.money_per_s is not None)
        guessers = {"policy": scored, "fetch": pages}
        with self._wrapped(case, guessers, runtime) as env:
            ahead = play(env, env.act, now=runtime.now)
        figures = figures_of(
            env.statistics,
            speculative_s=ahead.seconds,
            sequential_s=plain.seconds,
            lossless=ahead.is_as(plain),
        )
        first, *later = scored.ranks
        return SearchRun(
            episode=case.name,
            agent=case.agent,
            guesser=case.record.guesser if case.record and self.settings.guesses != "free" else "free",
            k=case.record.k if case.record else self.settings.k,
            steps=len(ahead.actions),
            not_predicted=env.statistics.not_predicted,
            first_top1=int(first < 1),
            first_top3=int(first < 3),
            top1=sum(rank < 1 for rank in later) / len(later) if later else None,
            top3=sum(rank < 3 for rank in later) / len(later) if later else None,
            **figures,
        )

    def _wrapped(self, case: Case, guessers: Mapping[str, Guesser], runtime: Runtime) -> SpeculativeWrapper[Any, Any]:
        return SpeculativeWrapper(
            case.env(),
            policy=case.policy,
            guessers=guessers,
            k=self.settings.k,
            limits=self.settings.limits,
            runtime=runtime,
            estimates=self._estimates,
            guard=False,
        )

    def _guessers(self, case: Case) -> tuple[Guesser, Guesser]:
        """The guesser of the agent's actions, and the guesser of the pages that the site returns."""
        free, free_pages = self._charged(self._free), self._charged(self._pages(case))
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

    def _pages(self, case: Case) -> Guesser:
        match self.settings.pages:
            case "none":
                return CallableGuesser(lambda call, k: [])
            case "seen":
                return self._seen_pages
            case "copy":
                return PageGuesser(copy=case.copy)
            case unknown:
                assert_never(unknown)

    def _charged(self, guesser: Guesser) -> Guesser:
        return charged(guesser, FREE_S, self.settings.clock)


#: The rank of an action that was not guessed.
_NEVER = 1_000


class ScoredGuesser:
    """A guesser of actions that notes which rank the inner guesser gave to each action that was really taken.

    Where the inner guesser did not predict an action in time, for lack of slots, it predicts the action when the real
    action is known, before it learns that action.
    """

    def __init__(self, inner: Guesser) -> None:
        self.ranks: list[int] = []
        self.frugal = getattr(inner, "frugal", False)
        self._inner: Any = inner
        self._guess = as_guess(inner.guess)
        self._made: Recent[Sequence[Guess]] = Recent(10_000)

    def guess(self, call: Call, k: int, cancel: CancelToken, early: Callable[[Any], None]) -> Sequence[Guess]:
        """Return the inner guesses."""
        made: Sequence[Guess] = self._guess(call, k, cancel, early)
        self._made.put(call.key, made)
        return made

    def observe(self, call: Call, response: Any) -> None:
        """Note the rank, and let the inner guesser learn."""
        made = self._made.get(call.key)
        if made is None:
            made = self.guess(call, 3, SimulationRuntime().token(), lambda guesses: None)
        guessed = [str(read_action(guess.response)).lower() for guess in made]
        taken = str(read_action(response)).lower()
        self.ranks.append(guessed.index(taken) if taken in guessed else _NEVER)
        self._inner.observe(call, response)


_SHARES = ("saved", "top1", "top3", "first_top1", "first_top3")
_COLUMNS = {
    **{name: f"{{{name}}}" for name in ("agent", "guesser", "k", "episodes")},
    **{name.replace("_", " "): f"{{{name}:.1%}}" for name in _SHARES},
    "lossless": "{lossless:yes}",
}


def run(settings: SearchSettings) -> dict[str, Any]:
    """The report of the episodes.

    Raises:
        InvalidConfiguration: The file holds no episodes, or a setting makes no sense for it.
    """
    if not settings.workers.is_one:
        option = settings.workers.option
        raise InvalidConfiguration(
            f"{option} runs episodes side by side, and the guessers learn from one episode to the next: "
            f"leave out {option.split()[0]}, or give --sweep, whose runs go side by side"
        )
    if settings.episodes == "embedded":
        cases = Case.embedded(settings)
    else:
        cases = Case.recorded(load_episodes(settings.episodes), settings)
    if not cases:
        raise InvalidConfiguration(
            f"{settings.episodes} holds no episode to run; give --episodes a file with recorded episodes, or 'embedded'"
        )
    bench = SearchBench(cases, settings)
    runs = collected(map(bench.run, cases), "episodes", len(cases))
    return {
        "config": config_of(settings),
        "episodes": [dataclasses.asdict(each) for each in runs],
        "mean": mean(runs),
        "pairs": pairs(runs),
    }


def mean(runs: Sequence[SearchRun]) -> dict[str, Any]:
    """The mean of every figure over the episodes; ``top1`` and ``top3`` are shares of all actions after the first."""
    later = sum(each.steps - 1 for each in runs)
    hits = {name: sum((getattr(each, name) or 0.0) * (each.steps - 1) for each in runs) for name in ("top1", "top3")}
    return mean_of(runs) | {name: count / later if later else None for name, count in hits.items()}


def pairs(runs: Sequence[SearchRun]) -> list[dict[str, Any]]:
    """For each agent, guesser and ``k``: the time saved, and the share of the actions that were guessed."""
    groups: dict[tuple[str, str, int], list[SearchRun]] = {}
    for each in runs:
        groups.setdefault((each.agent, each.guesser, each.k), []).append(each)
    rows = []
    for (agent, guesser, k), group in sorted(groups.items()):
        figures = mean(group)
        shares = {name: figures[name] for name in (*_SHARES, "lossless")}
        rows.append({"agent": agent, "guesser": guesser, "k": k, "episodes": len(group), **shares})
    return rows


def show(report: dict[str, Any], settings: SearchSettings) -> Iterator[RenderableType]:
    """The table of agents and guessers, and what episodes take and cost."""
    title = (
        f"guesses: {settings.guesses}, {settings.title}, agent {settings.agent_seconds:g} s, clock: {settings.clock}"
    )
    mean = report["mean"]
    footer = {**mean, "agent": "mean", "guesser": "", "k": "", "episodes": len(report["episodes"])}
    yield table_of(title, _COLUMNS, report["pairs"], footer)
    yield (
        f"Mean time of an episode: {mean['speculative_s']:,.1f} s, instead of {mean['sequential_s']:,.1f} s without "
        f"speculation. {tokens_text(mean)}\n"
        "top1 and top3: share of the actions that were the first guess, or among the first three; "
        '"first" means the first action of an episode, the others count the later actions.\n'
        f"Calls of an episode: {outcomes(mean['calls'])}. Guesses of an episode: {outcomes(mean['guesses'])}."
    )


#: For episodes that are not recorded: the spread of all times.
_SPREAD = 0.4


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """An episode to run: a question, the agent, and the site that answers searches; both take their time."""

    name: str
    question: Question
    agent: str
    policy: Handler
    site: Handler
    copy: Callable[[FetchQuery], Fetched]  # what the site holds, at once
    max_steps: int
    record: RecordedEpisode | None = None  # which the agent's actions come from

    @classmethod
    def recorded(cls, episodes: Sequence[RecordedEpisode], settings: SearchSettings) -> list[Self]:
        """One case for each recorded episode; a search that one record lacks is answered from the other records."""
        speed, seed = settings.time_scale, settings.seed
        sites = [
            RecordedSite(episode, episodes, speed=speed * PAGE_S / settings.page_seconds, seed=seed)
            for episode in episodes
        ]
        return [
            cls(
                episode.name,
                episode.question,
                episode.agent,
                RecordedAgent(episode, median_s=settings.agent_seconds, speed=speed, seed=seed),
                site,
                site.found,
                episode.max_steps,
                episode,
            )
            for episode, site in zip(episodes, sites, strict=True)
        ]

    @classmethod
    def embedded(cls, settings: SearchSettings) -> list[Self]:
        """One case for each question of the split of the embedded wiki, with the scripted agent."""
        speed, seed = settings.time_scale, settings.seed
        thinking = lognormal(settings.agent_seconds / speed, _SPREAD, seed)
        corpus = embedded_corpus()
        site = with_latency(corpus, lognormal(settings.page_seconds / speed, _SPREAD, seed))
        policy = with_latency(ScriptedSearchPolicy(), thinking)
        questions = load_questions("embedded", settings.split)
        return [cls(each.id, each, "scripted", policy, site, corpus, 10) for each in questions]

    def env(self) -> gym.Env[Any, Any]:
        """A new environment of the episode."""
        return gym.make(
            "SpecSearch-v0", backend=self.site, questions=[self.question], question_index=0, max_steps=self.max_steps
        )
