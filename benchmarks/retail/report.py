"""The report of ``spec-envs bench retail``."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spec_envs.benchmarks.guess.run import RANKS
from spec_envs.benchmarks.reports import collected, config_of, console, mean_of_rows, percent, publish, table
from spec_envs.benchmarks.retail.foresight import next_call
from spec_envs.benchmarks.retail.run import RetailBench, TaskRun
from spec_envs.benchmarks.retail.settings import RetailSettings

_OUTCOMES = ("committed", "wasted", "cancelled")
_COLUMNS = ("task", "wait saved", "saved", "hit rate", "tokens", *_OUTCOMES, "prefetch", "API rate", "reward")


def run(settings: RetailSettings, json_file: Path | None) -> None:
    """Run the tasks and report.

    Raises:
        InvalidConfiguration: There are no such tasks.
    """
    bench = RetailBench(settings)
    runs = collected(bench.run(), "serving", bench.num_tasks, json_file is None)
    publish(report_of(bench, runs), json_file, lambda report: _show(report, settings))


def report_of(bench: RetailBench, runs: Sequence[TaskRun]) -> dict[str, Any]:
    """All figures in the form of JSON. All shares are between 0 and 1."""
    rows = [dataclasses.asdict(each) for each in runs]
    rates = [each.api_correct_rate for each in runs if each.api_correct_rate is not None]
    ranks = bench.message_ranks
    return {
        "config": config_of(bench.settings),
        "tasks": rows,
        "mean": mean_of_rows(rows),
        "next_call": next_call(bench.trials) if bench.trials else None,
        "next_message": {f"top{k}": statistics.fmean(r is not None and r < k for r in ranks) for k in RANKS}
        if ranks
        else None,
        "api_correct_rate": statistics.fmean(rates) if rates else None,
    }


def _show(report: dict[str, Any], settings: RetailSettings) -> None:
    title = (
        f"{settings.tasks}, split {settings.split}, guesses: {settings.guesses}, k={settings.k}, up to "
        f"{settings.limits.max_inflight} speculative calls in flight, clock: {settings.clock}"
    )
    mean = report["mean"]
    rows = [_row(row["task"], row) for row in report["tasks"]]
    out = console()
    out.print(table(title, _COLUMNS, rows, footer=_row("mean", mean)))
    out.print(
        f"The customer waits {mean['wait_seconds']:,.1f} s instead of {mean['sequential_wait_seconds']:,.1f} s in the "
        f"mean; with typing, a conversation takes {mean['seconds']:,.1f} s instead of "
        f"{mean['sequential_seconds']:,.1f} s. Tokens are relative to a run without speculation, and cancelled calls "
        'are charged in full. "committed" to "cancelled" count calls by outcome. "prefetch": prefetched reads that '
        "were used, of those that were made.\n"
        f"Everything except time was the same with and without speculation in {percent(mean['lossless'])} of the tasks."
    )
    if failed := mean["guesses"].get("failed"):
        total = sum(mean["guesses"].values())
        out.print(f"{failed:.3g} of {total:.3g} guesses of a task failed (mean).", style="bold")
    lines = [
        ("the agent's next call", report["next_call"]),
        ("of these, reads", report["next_call"] and report["next_call"]["reads"]),
        ("of these, writes", report["next_call"] and report["next_call"]["writes"]),
        ("the customer's next message", report["next_message"]),
    ]
    shown = [(name, *(percent(found[f"top{k}"]) for k in RANKS)) for name, found in lines if found]
    if shown:
        out.print(table("Share that is among the first guesses", ("what", *map(str, RANKS)), shown))
    if report["api_correct_rate"] is not None:
        out.print(
            f"{percent(report['api_correct_rate'])} of the calls of a conversation were predicted before the "
            f"customer's message, with {settings.turn_calls} predictions for a turn."
        )


def _row(name: str, figures: dict[str, Any]) -> list[str]:
    return [
        name,
        percent(figures["wait_saved"]),
        percent(figures["saved"]),
        percent(figures["hit_rate"]),
        f"x{figures['tokens_full']:.2f}",
        *(f"{figures['calls'].get(outcome, 0):.3g}" for outcome in _OUTCOMES),
        f"{figures['prefetch_used']:.2g}/{figures['prefetched']:.2g}",
        percent(figures["api_correct_rate"]),
        f"{figures['reward']:.3g}",
    ]
