"""Retail: how much less customers wait, and how much of what agent and customer do is predicted, by guesser."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spec_envs.benchmarks.all.figures import PAPER, Figure, Rows, figure, said, series
from spec_envs.benchmarks.all.here import Here
from spec_envs.benchmarks.all.units import Row, Unit
from spec_envs.benchmarks.retail import Guesses, RetailSettings
from spec_envs.benchmarks.retail.cast import folds_of
from spec_envs.benchmarks.retail.run import Guessers, RetailBench

HEADLINE = {"tasks": "embedded", "guesses": "union"}
_GUESSERS: tuple[Guesses, ...] = ("union", "pattern", "user-model")
_TASKS, _QUICK_TASKS = 60, 8
_QUICK_LEARN = 40
#: How many tasks one unit runs: what is learned for them is learned once in each process.
_CHUNK = 12
#: arXiv 2510.04371v2, figure 3: calls that its worst and its best guesser predicted before the customer had spoken.
_PAPER_EARLY = {"worst": 0.22, "best": 0.38}
_FIGURES = {
    "api_correct_rate": "calls, early",
    "call_top1": "call, top 1",
    "call_top3": "call, top 3",
    "message_top1": "message, top 1",
    "message_top3": "message, top 3",
}


def plan(here: Here, *, quick: bool, seed: int) -> Iterator[Unit]:
    """The units: some tasks with one guesser."""
    for guesses in _GUESSERS:
        settings = RetailSettings(guesses=guesses, seed=seed, learn=_QUICK_LEARN if quick else None)
        yield from _units({"tasks": "embedded", "guesses": guesses}, settings, _QUICK_TASKS if quick else _TASKS)
    if here.shop is not None and not quick:
        settings = RetailSettings(tasks="tau-bench", data=here.shop, split="dev", guesses="pattern", seed=seed)
        yield from _units({"tasks": "tau-bench", "guesses": "pattern"}, settings, len(_tasks(settings)))


def _units(tags: Mapping[str, Any], settings: RetailSettings, count: int) -> Iterator[Unit]:
    files = () if settings.data is None else tuple(sorted(settings.data.glob("*.json")))
    for first in range(0, count, _CHUNK):
        yield Unit(
            part="retail",
            tags=tags,
            settings=settings,
            items=(first, min(first + _CHUNK, count)),
            cost_s=15.0,
            name="retail: a customer" if tags == HEADLINE and first == 0 else "",
            files=files,
        )


def _tasks(settings: RetailSettings) -> list[tuple[int, Any]]:
    """The tasks, each with the number of its fold."""
    return [(number, task) for number, (_, tasks) in enumerate(folds_of(settings)) for task in tasks]


@functools.lru_cache(maxsize=8)
def _learned(settings: RetailSettings, fold: int) -> tuple[RetailBench, Guessers]:
    bench = RetailBench(settings)
    with bench.learned(bench.folds[fold][0]) as guessers:
        return bench, guessers


def work(unit: Unit) -> list[Row]:
    """Run the tasks."""
    first, end = unit.items
    return [_row(unit.settings, fold, task) for fold, task in _tasks(unit.settings)[first:end]]


def _row(settings: RetailSettings, fold: int, task: Any) -> Row:
    bench, guessers = _learned(settings, fold)
    trials, ranks = len(bench.trials), len(bench.message_ranks)
    found = dataclasses.asdict(bench.serve(task, guessers))
    calls = [trial.rank for trial in bench.trials[trials:] if trial.tool is not None]
    return {
        **found,
        "episode": found.pop("task"),
        "clock": settings.clock,
        # Nothing can save the time in which the customer types.
        "saved_with_typing": found["saved"],
        "saved": found["wait_saved"],
        "sequential_s": found["sequential_wait_s"],
        "speculative_s": found["wait_s"],
        **_tops("call", calls),
        **_tops("message", bench.message_ranks[ranks:]),
    }


def _tops(what: str, ranks: Sequence[int | None]) -> dict[str, float | None]:
    """The share of ``ranks`` below 1 and below 3; ``None`` without any."""
    return {
        f"{what}_top{k}": sum(rank is not None and rank < k for rank in ranks) / len(ranks) if ranks else None
        for k in (1, 3)
    }


def figures(rows: Rows) -> list[Figure]:
    """The figures of this part."""
    shown = [
        series(_name(group), [group.point(title, name) for name, title in _FIGURES.items()], "bars")
        for group in _groups(rows)
    ]
    about = (
        "How much is predicted, by guesser, as shares within a conversation. Early: calls that were "
        "predicted with equal arguments before the customer had said what leads to them, five predictions for a turn. "
        "The guesser of messages predicts no calls, and the guesser of calls no messages. The paper's guessers are "
        "language models, on other conversations."
    )
    shown += [said({_FIGURES["api_correct_rate"]: share}, f"{PAPER}, {who}") for who, share in _PAPER_EARLY.items()]
    command = "spec-envs bench retail --guesses union"
    found = figure("Retail: what is predicted", about, ("what", "share"), shown, command=command, categories=True)
    names = {"saved": "of the wait", "saved_with_typing": "of the whole conversation", "hit_rate": "guessed in time"}
    shown = [
        series(_name(group), [group.point(title, name) for name, title in names.items()], "bars")
        for group in _groups(rows)
    ]
    about = "Time saved, and responses guessed in time. The whole conversation includes typing, which nothing can save."
    return [*found, *figure("Retail: time saved", about, ("of what", "share"), shown, command=command, categories=True)]


def _groups(rows: Rows) -> list[Rows]:
    pairs = dict.fromkeys((row["tags"]["tasks"], row["tags"]["guesses"]) for row in rows.rows)
    return [rows.where(tasks=tasks, guesses=guesses) for tasks, guesses in pairs]


def _name(rows: Rows) -> str:
    tags = rows.rows[0]["tags"]
    shop = "" if tags["tasks"] == "embedded" else f", {tags['tasks']}"
    return {"union": "both", "pattern": "guesser of calls", "user-model": "guesser of messages"}[tags["guesses"]] + shop
