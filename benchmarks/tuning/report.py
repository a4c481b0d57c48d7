"""How ``spec-envs bench tuning`` runs, and how it shows what ``benchmarks.tuning`` measures."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled

from spec_envs.benchmarks.reports import console, mean_of_rows, progress, table, versions, write_json
from spec_envs.benchmarks.tuning.run import REACTION_S, TuningBench, TuningRun
from spec_envs.benchmarks.tuning.settings import TuningSettings
from spec_envs.errors import InvalidConfiguration

_COLUMNS = ("mode", "runs", "p95 over 20 s", "windows to 10 %", "regret", "settings", "seconds", "saved", "guessed")


def run(
    options: dict[str, Any], seeds: int, beside: str | None, json_file: Path | None, plot_file: Path | None
) -> None:
    """Run the episodes and report.

    Args:
        options: The fields of ``TuningSettings``; ``None`` for a default.
        seeds: How many episodes.
        beside: Another mode, whose episodes take turns with those of the first.
        json_file: Where to write JSON; ``None``: print a table.
        plot_file: Where to draw the curves.

    Raises:
        InvalidConfiguration: An option makes no sense.
        DependencyNotInstalled: There is to be a picture, and matplotlib is missing.
    """
    chosen = {name: value for name, value in options.items() if value is not None}
    settings = TuningSettings(**chosen)
    if beside == settings.mode:
        raise InvalidConfiguration(f"beside must be another mode than mode, which is {beside!r} already")
    if plot_file is not None:
        _check_picture(plot_file)
    modes = [settings] if beside is None else [TuningSettings(**chosen | {"mode": beside}), settings]
    _check_installed(modes)
    runs: dict[str, list[TuningRun]] = {each.mode: [] for each in modes}
    backend = settings.make_backend()
    try:
        with progress("episodes", seeds * len(modes), shown=json_file is None) as show:
            for seed in range(seeds):
                for each in modes:
                    runs[each.mode].append(TuningBench(each, backend).run(seed))
                    show(sum(map(len, runs.values())))
    finally:
        backend.close()
    if plot_file is not None:
        plot(runs, settings, plot_file)
    if json_file is None:
        _print(runs, settings)
        return
    report: dict[str, Any] = {"config": {**dataclasses.asdict(settings), "seeds": seeds, "versions": versions()}}
    report |= _part(runs[settings.mode])
    if beside is not None:
        report["beside"] = {"mode": beside, **_part(runs[beside])}
        report["below"] = below(runs[beside], runs[settings.mode])
    write_json(report, json_file)


def _check_installed(modes: Sequence[TuningSettings]) -> None:
    """A guesser that fails is only counted, so that it cannot run at all has to be said before."""
    used: set[str] = {each.actor for each in modes if each.mode != "speculator"}
    used |= {each.guesser for each in modes if each.mode != "actor"}
    if "gp" in used and importlib.util.find_spec("sklearn") is None:
        raise DependencyNotInstalled(
            '--actor and --guesser gp need scikit-learn: pip install "spec-envs[tuning]"; "climb" needs nothing'
        )


def mean(runs: Sequence[TuningRun]) -> dict[str, Any]:
    """The mean of every figure."""
    return mean_of_rows([_figures(each) for each in runs])


def below(others: Sequence[TuningRun], runs: Sequence[TuningRun]) -> float:
    """By which share ``p95_20s`` lies below that of the other mode, in the median over pairs of the same seed."""
    return statistics.median(1 - one.p95_20s / other.p95_20s for other, one in zip(others, runs, strict=True))


def _part(runs: Sequence[TuningRun]) -> dict[str, Any]:
    figures = [_figures(each) for each in runs]
    medians = {name: statistics.median(row[name] for row in figures) for name in ("p95_20s", "windows_to_10pct")}
    rows = [dataclasses.asdict(each) for each in runs]
    middle, half = _curve(runs)
    curve = {"p95": middle.tolist(), "half_interval": half.tolist()}
    return {"runs": rows, "mean": mean(runs), "median": medians, "curve": curve}


def _figures(run: TuningRun) -> dict[str, Any]:
    figures = dataclasses.asdict(run)
    for name in ("mode", "seed", "curve"):
        del figures[name]
    return figures


def _curve(runs: Sequence[TuningRun]) -> tuple[Any, Any]:
    """Mean ``p95`` of each window over the runs, and half of its 95 % interval."""
    rows = np.array([each.curve[: min(len(run.curve) for run in runs)] for each in runs])
    half = 1.96 * rows.std(axis=0, ddof=1) / math.sqrt(len(rows)) if len(rows) > 1 else np.zeros(rows.shape[1])
    return rows.mean(axis=0), half


def _print(runs: dict[str, list[TuningRun]], settings: TuningSettings) -> None:
    title = (
        f"{settings.backend}, actor: {settings.actor}, {settings.actor_seconds:g} s, guesser: {settings.guesser}, "
        f"windows of {settings.window_s:g} s, clock: {settings.clock}"
    )
    rows = []
    for mode, each in runs.items():
        figures = mean(each)
        rows.append(
            [
                mode,
                str(len(each)),
                f"{figures['p95_20s']:.2f} ms",
                f"{figures['windows_to_10pct']:.1f} ({statistics.median(run.windows_to_10pct for run in each):g})",
                f"{figures['regret']:.2f} ms",
                f"{figures['settings_tried']:.1f}",
                f"{figures['seconds']:.1f}",
                *("-" if figures[name] is None else f"{figures[name]:.1%}" for name in ("saved", "hit_rate")),
            ]
        )
    out = console()
    out.print(table(title, _COLUMNS, rows))
    if len(runs) > 1:
        other, one = runs.values()
        out.print(
            f"p95 over {REACTION_S:g} s: {below(other, one):.1%} below {other[0].mode} in the median of the pairs."
        )
    out.print("Means over the runs, medians in brackets.")
    if "last-write-wins" in runs:
        out.print("last-write-wins is lossy: the guesser sets the live system.")


def _new_figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyNotInstalled('a picture needs matplotlib: pip install "spec-envs[plot]"') from error
    return Figure(figsize=(7, 4.2), layout="constrained")


def _check_picture(target: Path) -> None:
    """Fail before the episodes rather than after them."""
    known = _new_figure().canvas.get_supported_filetypes()
    if target.suffix[1:].lower() not in known:
        raise InvalidConfiguration(f"the name of a picture must end with .png, .svg or alike, not {str(target)!r}")


def plot(runs: dict[str, list[TuningRun]], settings: TuningSettings, target: Path) -> None:
    """Draw the mean ``p95`` window by window, with 95 % intervals.

    Raises:
        DependencyNotInstalled: matplotlib is missing.
    """
    figure = _new_figure()
    axes = figure.subplots()
    for mode, each in runs.items():
        middle, half = _curve(each)
        windows = np.arange(len(middle))
        axes.plot(windows, middle, marker=".", label=mode)
        axes.fill_between(windows, middle - half, middle + half, alpha=0.25, linewidth=0)
    axes.set(xlabel="window", ylabel="p95 in ms", yscale="log")
    axes.set_title(
        f"{settings.backend}: mean of {len(next(iter(runs.values())))} runs, 95 % intervals", fontsize="medium"
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.legend(frameon=False)
    figure.savefig(target)
