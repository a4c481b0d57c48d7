"""The report of ``spec-envs bench guess``."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spec_envs.benchmarks.guess.run import RANKS, Trial, is_read, measure, share_of, tops
from spec_envs.benchmarks.guess.settings import GuessSettings
from spec_envs.benchmarks.reports import config_of, console, percent, progress, publish, table
from spec_envs.conversation import ToolCall, read_trajectories
from spec_envs.errors import InvalidConfiguration

_BINS = 10


def run(settings: GuessSettings, json_file: Path | None) -> None:
    """Predict the conversations and report.

    Raises:
        InvalidConfiguration: A file holds no trajectories, or not enough tasks.
    """
    trajectories = read_trajectories(settings.trajectories)
    known = None if settings.train is None else read_trajectories(settings.train)
    if not any(isinstance(event, ToolCall) for each in trajectories for event in each.conversation.events):
        raise InvalidConfiguration(f"{settings.trajectories} holds no tool call to predict")
    folds, seed = settings.folds, settings.seed
    with progress("guessing", len(trajectories), json_file is None) as advance:
        trials, learning = measure(trajectories, known, folds=folds, seed=seed, advance=advance)
    report = {
        "config": config_of(settings) | {"folds": folds if known is None else None},
        **summary(trials),
        "learn_seconds": learning,
    }
    report["counts"] |= {"trajectories": len(trajectories), "tasks": len({each.task for each in trajectories})}
    publish(report, json_file, _show)


def summary(trials: Sequence[Trial]) -> dict[str, Any]:
    """The figures of the report. All shares are between 0 and 1."""
    calls = [trial for trial in trials if trial.tool is not None]
    reads = [trial for trial in calls if is_read(str(trial.tool))]
    writes = [trial for trial in calls if not is_read(str(trial.tool))]
    tools = sorted({str(trial.tool) for trial in calls}, key=lambda tool: (-_count(calls, tool), tool))
    millis = sorted(1000 * trial.seconds for trial in trials)
    return {
        "counts": {
            "calls": len(calls),
            "reads": len(reads),
            "writes": len(writes),
            "messages": len(trials) - len(calls),
        },
        "next_call": {
            **tops(calls),
            "tool_top1": share_of([trial.first for trial in calls]),
            "reads": tops(reads),
            "writes": tops(writes),
            "by_tool": {
                tool: {"calls": _count(calls, tool), **tops([trial for trial in calls if trial.tool == tool])}
                for tool in tools
            },
        },
        "calibration": {
            **calibration([(trial.claims[0], trial.rank == 0) for trial in trials if trial.claims]),
            "all_guesses": calibration([(p, trial.rank == i) for trial in trials for i, p in enumerate(trial.claims)]),
            "calls_only": calibration([(trial.claims[0], trial.rank == 0) for trial in calls if trial.claims]),
        },
        "guess_ms": {
            "median": statistics.median(millis) if millis else None,
            "p90": millis[int(0.9 * (len(millis) - 1))] if millis else None,
        },
    }


def calibration(claims: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """How well the probabilities of guesses agree with how often they were right.

    Args:
        claims: For each guess its probability, and whether it was right.

    Returns:
        Brier score, expected calibration error, and the two shares bin by bin.
    """
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(_BINS)]
    for p, right in claims:
        bins[min(_BINS - 1, int(p * _BINS))].append((p, right))
    rows = [
        {
            "from": number / _BINS,
            "to": (number + 1) / _BINS,
            "count": len(found),
            "said": statistics.fmean(p for p, _ in found),
            "right": statistics.fmean(right for _, right in found),
        }
        for number, found in enumerate(bins)
        if found
    ]
    count = len(claims)
    return {
        "count": count,
        "brier": statistics.fmean((p - right) ** 2 for p, right in claims) if claims else None,
        "expected_calibration_error": sum(row["count"] * abs(row["said"] - row["right"]) for row in rows) / count
        if count
        else None,
        "reliability": rows,
    }


def _count(trials: Sequence[Trial], tool: str) -> int:
    return sum(trial.tool == tool for trial in trials)


def _show(report: dict[str, Any]) -> None:
    found, counts = report["next_call"], report["counts"]
    columns = ("tool", "calls", *map(str, RANKS))
    rows = [_row(tool, entry["calls"], entry) for tool, entry in found["by_tool"].items()]
    rows += [_row(kind, counts[kind], found[kind]) for kind in ("reads", "writes")]
    out = console()
    out.print(
        table(
            "Share of the next calls that are among the first guesses",
            columns,
            rows,
            footer=_row("all", counts["calls"], found),
        )
    )
    trust = report["calibration"]
    lines = [
        (f"{row['from']:.1f} to {row['to']:.1f}", str(row["count"]), f"{row['said']:.2f}", f"{row['right']:.2f}")
        for row in trust["reliability"]
    ]
    out.print(
        table("First guesses: how probable, and how often right", ("probability", "guesses", "mean", "right"), lines)
    )
    out.print(
        f"Brier score {trust['brier']:.3f}, expected calibration error {trust['expected_calibration_error']:.3f}; "
        f"{report['guess_ms']['median']:.1f} ms for a guess (median), {report['learn_seconds']:.0f} s to learn"
    )


def _row(name: str, count: int, entry: dict[str, Any]) -> tuple[str, ...]:
    return name, str(count), *(percent(entry[f"top{k}"]) for k in RANKS)
