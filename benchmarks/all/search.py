"""Search: actions guessed and time saved, by agent and guesser."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from spec_envs.benchmarks.all.figures import PAPER, Figure, Rows, figure, said, series
from spec_envs.benchmarks.all.here import Here
from spec_envs.benchmarks.all.units import Row, Unit
from spec_envs.benchmarks.search import Guesses, Pages, SearchSettings
from spec_envs.benchmarks.search.run import Case, SearchBench
from spec_envs.search.loading import load_questions
from spec_envs.search.recordings import RecordedEpisode, load_episodes

HEADLINE = {"episodes": "embedded", "guesses": "free", "pages": "seen"}
_QUICK = 20
#: What the free guessers know of pages; the last one is the upper bound.
_PAGES: tuple[Pages, ...] = ("none", "copy")
_RECORDED: tuple[Guesses, ...] = ("recorded", "free", "union")
#: arXiv 2510.04371v2, figure 4: calls among the first three guesses of its best guesser, by agent.
_PAPER_TOP3 = {"gemini-2.5-flash": 0.46}
_SHARES = {"top1": "the first guess", "top3": "among the first three guesses"}


def plan(here: Here, *, quick: bool, seed: int) -> Iterator[Unit]:
    """The units: all episodes of one agent with one guesser, since guessers learn from one episode to the next."""
    count = len(load_questions("embedded", "test"))
    count = min(count, _QUICK) if quick else count
    for pages in ("seen", *_PAGES):
        tags = {"episodes": "embedded", "guesses": "free", "pages": pages}
        settings = SearchSettings(pages=pages, seed=seed)
        named = "search: a question" if tags == HEADLINE else ""
        yield Unit(part="search", tags=tags, settings=settings, items=[count], cost_s=0.2 * count, name=named)
    if here.episodes is None:
        return
    recorded = load_episodes(str(here.episodes))
    for agent in sorted({each.agent for each in recorded}):
        for guesses in _RECORDED:
            settings = SearchSettings(episodes=str(here.episodes), guesses=guesses, seed=seed)
            tags = {"episodes": "recorded", "guesses": guesses, "agent": agent}
            cost = 0.1 * sum(each.agent == agent for each in recorded)
            files = [here.episodes]
            yield Unit(part="search", tags=tags, settings=settings, items=[agent], cost_s=cost, files=files)


def work(unit: Unit) -> list[Row]:
    """Run the episodes."""
    settings: SearchSettings = unit.settings
    if settings.episodes == "embedded":
        cases = Case.embedded(settings)[: unit.items[0]]
    else:
        recorded = load_episodes(settings.episodes)
        cases = [each for each in Case.recorded(recorded, settings) if _agent(each) == unit.items[0]]
    bench = SearchBench(cases, settings)
    return [_row(bench, case) for case in cases]


def _agent(case: Case) -> str:
    record: RecordedEpisode | None = case.record
    assert record is not None
    return record.agent


def _row(bench: SearchBench, case: Case) -> Row:
    return {"clock": bench.settings.clock, **dataclasses.asdict(bench.run(case))}


def figures(rows: Rows) -> list[Figure]:
    """The figures of this part."""
    recorded = rows.where(episodes="recorded")
    agents = recorded.tags("agent")
    command = "spec-envs bench search --episodes trajectories.json --guesses union"
    found: list[Figure] = []
    for name, title in _SHARES.items():
        shown = [
            series(guesser, [_pair(recorded, agent, guesser).point(agent, name) for agent in agents], "bars")
            for guesser in _guessers(recorded)
        ]
        about = (
            f"Actions of recorded ReAct agents that were {title}, by agent and guesser: recorded guesses of language "
            "models, and the free guessers, which cost nothing. Upper and lower case do not count. The first action of "
            "an episode is left out."
        )
        if name == "top3":
            shown.append(said(_PAPER_TOP3, f"{PAPER}, best guesser"))
        found += figure(f"Search: {title}", about, ("agent", "share"), shown, command=command, categories=True)
    names = {"recorded": "recorded guesses", "free": "free guesses", "union": "both"}
    shown = [
        series(
            title,
            [recorded.where(agent=agent, guesses=guesses).point(agent, "saved") for agent in recorded.tags("agent")],
            "bars",
        )
        for guesses, title in names.items()
    ]
    found += figure(
        "Search: time saved, by agent",
        "Recorded episodes; means over episodes.",
        ("agent", "time saved"),
        shown,
        command=command,
        categories=True,
    )
    return found + _by_pages(rows.where(episodes="embedded"))


def _guessers(rows: Rows) -> list[str]:
    return [*rows.where(guesses="recorded").by("guesser"), "free"]


def _pair(rows: Rows, agent: str, guesser: str) -> Rows:
    of_agent = rows.where(agent=agent, guesses="free" if guesser == "free" else "recorded")
    return of_agent if guesser == "free" else of_agent.by("guesser").get(guesser, Rows([]))


def _by_pages(embedded: Rows) -> list[Figure]:
    titles = {"none": "nothing", "seen": "pages of earlier episodes", "copy": "a copy of the site"}
    shown = [
        series(title, [embedded.where(pages=pages).point(name, share) for pages, name in titles.items()], "bars")
        for share, title in (("saved", "time saved"), ("hit_rate", "guessed in time"))
    ]
    about = (
        "The scripted agent on the generated wiki, by what the guesser of pages knows. With nothing, only actions are "
        "guessed."
    )
    return figure(
        "Search: what it is worth to know pages",
        about,
        ("what is known of pages", "share"),
        shown,
        command="spec-envs bench search --pages seen",
        categories=True,
    )
