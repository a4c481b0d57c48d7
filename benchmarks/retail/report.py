"""How ``spec-envs bench retail`` runs, and how it shows what ``benchmarks.retail`` measures."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spec_envs.benchmarks.guess.run import RANKS
from spec_envs.benchmarks.reports import console, mean_of_rows, progress, table, versions, write_json
from spec_envs.benchmarks.retail.foresight import next_call
from spec_envs.benchmarks.retail.run import RetailBench, TaskRun
from spec_envs.benchmarks.retail.settings import RetailSettings

_COLUMNS = (
    *("task", "wait saved", "saved", "hit rate", "tokens", "calls", "wasted", "cancelled"),
    *("prefetch", "API rate", "reward"),
)


def run(options: dict[str, Any], json_file: Path | None) -> None:
    """Run the tasks and report.

    Args:
        options: The fields of ``RetailSettings``.
        json_file: Where to write JSON; ``None``: print a table.

    Raises:
        InvalidConfiguration: An option makes no sense, or there are no such tasks.
    """
    settings = RetailSettings(**options)
    bench = RetailBench(settings)
    runs: list[TaskRun] = []
    with progress("serving", bench.num_tasks, json_file is None) as show:
        for each in bench.run():
            runs.append(each)
            show(len(runs))
    report = report_of(bench, runs)
    if json_file is None:
        _print(report, settings)
    else:
        write_json(report, json_file)


def report_of(bench: RetailBench, runs: Sequence[TaskRun]) -> dict[str, Any]:
    """All figures, as JSON can hold them. All shares are between 0 and 1."""
    settings = dataclasses.asdict(bench.settings)
    files = {name: None if settings[name] is None else str(settings[name]) for name in ("data", "task_file")}
    rows = [dataclasses.asdict(each) for each in runs]
    rates = [each.api_correct_rate for each in runs if each.api_correct_rate is not None]
    ranks = bench.message_ranks
    return {
        "config": {**settings, **files, "versions": versions()},
        "tasks": rows,
        "mean": mean_of_rows(rows),
        "next_call": next_call(bench.trials) if bench.trials else None,
        "next_message": {f"top{k}": statistics.fmean(r is not None and r < k for r in ranks) for k in RANKS}
        if ranks
        else None,
        "api_correct_rate": statistics.fmean(rates) if rates else None,
    }


def _print(report: dict[str, Any], settings: RetailSettings) -> None:
    title = (
        f"{settings.tasks}, split {settings.split}, guesses: {settings.guesses}, k={settings.k}, "
        f"{settings.limits.max_inflight} speculative calls at once, clock: {settings.clock}"
    )
    rows = [_row(row["task"], row) for row in report["tasks"]]
    mean = report["mean"]
    out = console()
    out.print(table(title, _COLUMNS, rows, footer=_row("mean", mean)))
    out.print(
        f"The customer waits {mean['wait_seconds']:,.1f} s instead of {mean['sequential_wait_seconds']:,.1f} s in the "
        f"mean; with typing it is {mean['seconds']:,.1f} s instead of {mean['sequential_seconds']:,.1f} s. Tokens are "
        "relative to no speculation, with cancelled calls charged in full. Prefetched reads: used, of those made.\n"
        f"Everything but time was the same with and without speculation: {mean['lossless']:.1%} of the tasks."
    )
    if failed := mean["guesses"].get("failed"):
        out.print(f"{failed:.3g} of {sum(mean['guesses'].values()):.3g} guesses for a task failed.", style="bold")
    lines = [
        ("the agent's next call", report["next_call"]),
        ("of these, reads", report["next_call"] and report["next_call"]["reads"]),
        ("of these, writes", report["next_call"] and report["next_call"]["writes"]),
        ("the customer's next message", report["next_message"]),
    ]
    shown = [(name, *(_percent(found[f"top{k}"]) for k in RANKS)) for name, found in lines if found]
    if shown:
        out.print(table("Among the first guesses", ("what", *map(str, RANKS)), shown))
    if report["api_correct_rate"] is not None:
        out.print(
            f"{_percent(report['api_correct_rate'])} of a conversation's calls were predicted before the customer's "
            f"message, with {settings.turn_calls} predictions a turn."
        )


def _row(name: str, figures: dict[str, Any]) -> list[str]:
    calls = [f"{figures['calls'].get(outcome, 0):.3g}" for outcome in ("committed", "wasted", "cancelled")]
    return [
        name,
        f"{figures['wait_saved']:.1%}",
        f"{figures['saved']:.1%}",
        _percent(figures["hit_rate"]),
        f"x{figures['tokens_full']:.2f}",
        *calls,
        f"{figures['prefetch_used']:.2g}/{figures['prefetched']:.2g}",
        _percent(figures["api_correct_rate"]),
        f"{figures['reward']:.3g}",
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}" if share == 1 else f"{share:.1%}"
