"""How ``spec-envs bench search`` runs, and how it shows what ``benchmarks.search`` measures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from spec_envs.benchmarks.reports import console, mean_of, progress, table, versions, write_json
from spec_envs.benchmarks.search.cases import Case
from spec_envs.benchmarks.search.run import SearchBench, SearchRun
from spec_envs.benchmarks.search.settings import SearchSettings
from spec_envs.errors import InvalidConfiguration
from spec_envs.search.recordings.trajectory_file import load_episodes

_COLUMNS = ("agent", "guesser", "k", "episodes", "saved", "top1", "top3", "first top1", "first top3", "lossless")


def run(source: str, split: str, options: dict[str, Any], json_file: Path | None) -> None:
    """Run the episodes and report.

    Args:
        source: A file of recorded episodes, or "embedded".
        split: Of the embedded questions.
        options: The fields of ``SearchSettings``; ``None`` for a default.
        json_file: Where to write JSON; ``None``: print a table.

    Raises:
        InvalidConfiguration: The file holds no episodes, or an option makes no sense for it.
    """
    settings = SearchSettings(**{name: value for name, value in options.items() if value is not None})
    if source == "embedded":
        cases = Case.embedded(split, settings)
    else:
        cases = Case.recorded(load_episodes(source), settings)
    if not cases:
        raise InvalidConfiguration(f"{source} holds no episode")
    bench = SearchBench(cases, settings)
    runs = []
    with progress("episodes", len(cases), shown=json_file is None) as show:
        for case in cases:
            runs.append(bench.run(case))
            show(len(runs))
    if json_file is None:
        _print(runs, settings)
        return
    report = {
        "config": {**dataclasses.asdict(settings), "episodes": source, "split": split, "versions": versions()},
        "episodes": [dataclasses.asdict(each) for each in runs],
        "mean": mean(runs),
        "pairs": pairs(runs),
    }
    write_json(report, json_file)


def mean(runs: Sequence[SearchRun]) -> dict[str, Any]:
    """The mean of every figure over the episodes; ``top1`` and ``top3`` are shares of all actions after a first."""
    return mean_of(runs) | _tops(runs)


def pairs(runs: Sequence[SearchRun]) -> list[dict[str, Any]]:
    """By agent, guesser and guesses asked for: the time saved, and the share of the actions that were guessed."""
    groups: dict[tuple[str, str, int], list[SearchRun]] = {}
    for each in runs:
        groups.setdefault((each.agent, each.guesser, each.k), []).append(each)
    return [
        {"agent": agent, "guesser": guesser, "k": k, "episodes": len(group), **_figures(group)}
        for (agent, guesser, k), group in sorted(groups.items())
    ]


def _figures(group: Sequence[SearchRun]) -> dict[str, Any]:
    figures = mean(group)
    return {name: figures[name] for name in ("saved", "top1", "top3", "first_top1", "first_top3", "lossless")}


def _tops(runs: Sequence[SearchRun]) -> dict[str, float | None]:
    later = sum(each.steps - 1 for each in runs)
    hits = {name: sum((getattr(each, name) or 0.0) * (each.steps - 1) for each in runs) for name in ("top1", "top3")}
    return {name: count / later if later else None for name, count in hits.items()}


def _print(runs: Sequence[SearchRun], settings: SearchSettings) -> None:
    title = (
        f"guesses: {settings.guesses}, k={settings.k}, {settings.max_inflight} speculative calls at once, "
        f"agent {settings.agent_seconds:g} s, clock: {settings.clock}"
    )
    figures = mean(runs)
    rows = [_row([each["agent"], each["guesser"], str(each["k"]), str(each["episodes"])], each) for each in pairs(runs)]
    footer = _row(["mean", "", "", str(len(runs))], figures)
    out = console()
    out.print(table(title, _COLUMNS, rows, footer=footer))
    out.print(
        f"{figures['seconds']:,.1f} s instead of {figures['sequential_seconds']:,.1f} s for an episode in the mean; "
        f"tokens x{figures['tokens_partial']:.2f}, or x{figures['tokens_full']:.2f} with cancelled calls charged in "
        "full.\ntop1, top3: share of the actions that were the first guess, or among the first three; first: of the "
        f"first action,\notherwise of those after it. {_outcomes(figures['calls'], 'Calls')} "
        f"{_outcomes(figures['guesses'], 'Guesses')}"
    )


def _row(names: Iterable[str], figures: dict[str, Any]) -> list[str]:
    shares = [figures[name] for name in ("saved", "top1", "top3", "first_top1", "first_top3")]
    return [*names, *("-" if each is None else f"{each:.1%}" for each in shares), f"{figures['lossless']:.3g}"]


def _outcomes(counts: dict[str, float], name: str) -> str:
    shown = ", ".join(f"{count:.3g} {outcome.replace('_', ' ')}" for outcome, count in counts.items() if count)
    return f"{name} for an episode: {shown or 'none'}."
