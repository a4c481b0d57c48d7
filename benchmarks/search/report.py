"""The report of ``spec-envs bench search``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from spec_envs.benchmarks.reports import collected, config_of, console, mean_of, outcomes, percent, publish, table
from spec_envs.benchmarks.search.cases import Case
from spec_envs.benchmarks.search.run import SearchBench, SearchRun
from spec_envs.benchmarks.search.settings import SearchSettings
from spec_envs.errors import InvalidConfiguration
from spec_envs.search.recordings import load_episodes

_SHARES = ("saved", "top1", "top3", "first_top1", "first_top3")
_COLUMNS = ("agent", "guesser", "k", "episodes", *(name.replace("_", " ") for name in _SHARES), "lossless")


def run(settings: SearchSettings, episodes: str, split: str, json_file: Path | None) -> None:
    """Run the episodes and report.

    Args:
        settings: How to run them.
        episodes: A file of recorded episodes, or "embedded" for the embedded questions.
        split: Which of the embedded questions.
        json_file: Where to write JSON; ``None``: print a table.

    Raises:
        InvalidConfiguration: The file holds no episodes, or a setting makes no sense for it.
    """
    if episodes == "embedded":
        cases = Case.embedded(split, settings)
    else:
        cases = Case.recorded(load_episodes(episodes), settings)
    if not cases:
        raise InvalidConfiguration(f"{episodes} holds no episode")
    bench = SearchBench(cases, settings)
    runs = collected(map(bench.run, cases), "episodes", len(cases), json_file is None)
    report = {
        "config": config_of(settings, episodes=episodes, split=split),
        "episodes": [dataclasses.asdict(each) for each in runs],
        "mean": mean(runs),
        "pairs": pairs(runs),
    }
    publish(report, json_file, lambda found: _show(found, settings))


def mean(runs: Sequence[SearchRun]) -> dict[str, Any]:
    """The mean of every figure over the episodes; ``top1`` and ``top3`` are shares of all actions after the first."""
    return mean_of(runs) | _tops(runs)


def pairs(runs: Sequence[SearchRun]) -> list[dict[str, Any]]:
    """For each agent, guesser and ``k``: the time saved, and the share of the actions that were guessed."""
    groups: dict[tuple[str, str, int], list[SearchRun]] = {}
    for each in runs:
        groups.setdefault((each.agent, each.guesser, each.k), []).append(each)
    return [
        {"agent": agent, "guesser": guesser, "k": k, "episodes": len(group), **_figures(group)}
        for (agent, guesser, k), group in sorted(groups.items())
    ]


def _figures(group: Sequence[SearchRun]) -> dict[str, Any]:
    figures = mean(group)
    return {name: figures[name] for name in (*_SHARES, "lossless")}


def _tops(runs: Sequence[SearchRun]) -> dict[str, float | None]:
    later = sum(each.steps - 1 for each in runs)
    hits = {name: sum((getattr(each, name) or 0.0) * (each.steps - 1) for each in runs) for name in ("top1", "top3")}
    return {name: count / later if later else None for name, count in hits.items()}


def _show(report: dict[str, Any], settings: SearchSettings) -> None:
    title = (
        f"guesses: {settings.guesses}, k={settings.k}, up to {settings.max_inflight} speculative calls in flight, "
        f"agent {settings.agent_seconds:g} s, clock: {settings.clock}"
    )
    mean = report["mean"]
    rows = [
        _row((each["agent"], each["guesser"], str(each["k"]), str(each["episodes"])), each) for each in report["pairs"]
    ]
    footer = _row(("mean", "", "", str(len(report["episodes"]))), mean)
    out = console()
    out.print(table(title, _COLUMNS, rows, footer=footer))
    out.print(
        f"Mean time of an episode: {mean['seconds']:,.1f} s, instead of {mean['sequential_seconds']:,.1f} s without "
        f"speculation; tokens x{mean['tokens_partial']:.2f},\nor x{mean['tokens_full']:.2f} with cancelled calls "
        "charged in full. top1 and top3: share of the actions that were the first guess, or among\nthe first three; "
        '"first" means the first action of an episode, the others count the later actions.\n'
        f"Calls of an episode: {outcomes(mean['calls'])}. Guesses of an episode: {outcomes(mean['guesses'])}."
    )


def _row(names: Iterable[str], figures: dict[str, Any]) -> list[str]:
    return [*names, *(percent(figures[name]) for name in _SHARES), f"{figures['lossless']:.3g}"]
