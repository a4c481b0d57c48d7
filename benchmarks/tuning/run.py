"""The report of ``spec-envs bench tuning``: a table, JSON, and a picture of the curves."""

import contextlib
import dataclasses
import functools
import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import RenderableType

from spec_envs.benchmarks.processes import in_order
from spec_envs.benchmarks.reports import collected, config_of, mean_of_rows, percent, table_of, tokens_text
from spec_envs.benchmarks.tuning import TuningSettings
from spec_envs.benchmarks.tuning.episodes import REACTION_S, TuningBench, TuningRun, backend_of
from spec_envs.errors import InvalidConfiguration
from spec_envs.extras import needed, require

_COLUMNS = {
    "mode": "{mode}",
    "runs": "{runs}",
    f"p95 in ms over {REACTION_S:g} s": "{p95_20s:.2f}",
    "windows to 10 %": "{windows_to_10pct:.1f} ({median:g})",
    "regret in ms": "{regret:.2f}",
    "settings": "{settings_tried:.1f}",
    "seconds": "{seconds:.1f}",
    "saved": "{saved:.1%}",
    "hit rate": "{hit_rate:.1%}",
}


def run(settings: TuningSettings) -> dict[str, Any]:
    """The report of the episodes.

    Raises:
        InvalidConfiguration: The name of the picture has no known ending.
        DependencyNotInstalled: scikit-learn or matplotlib is needed, and missing.
    """
    settings.check_jobs()
    beside, seeds = settings.beside, settings.seeds
    if settings.plot is not None:
        _check_picture(settings.plot)
    modes = [settings] if beside is None else [dataclasses.replace(settings, mode=beside, beside=None), settings]
    _check_installed(modes)
    runs: dict[str, list[TuningRun]] = {each.mode: [] for each in modes}
    for done in collected(_episodes(modes, seeds), "episodes", seeds * len(modes)):
        runs[done.mode].append(done)
    if settings.plot is not None:
        plot(runs, settings, settings.plot)
    report = {"config": config_of(settings), **_part(runs[settings.mode])}
    if beside is not None:
        report["beside"] = {"mode": beside, **_part(runs[beside])}
        report["below"] = below(runs[beside], runs[settings.mode])
    return report


def _episodes(modes: Sequence[TuningSettings], seeds: int) -> Iterator[TuningRun]:
    if not modes[0].workers.is_one:
        runs = in_order(functools.partial(_episodes_of, modes), range(seeds), modes[0].workers)
        yield from itertools.chain.from_iterable(runs)
        return
    backend = backend_of(modes[0])
    try:
        for seed in range(seeds):
            for each in modes:
                yield TuningBench(each, backend).run(seed)
    finally:
        backend.close()


def _episodes_of(modes: Sequence[TuningSettings], seed: int) -> list[TuningRun]:
    """The episodes of one seed, on a model of a machine."""
    with contextlib.closing(backend_of(modes[0])) as backend:
        return [TuningBench(each, backend).run(seed) for each in modes]


def _check_installed(modes: Sequence[TuningSettings]) -> None:
    """Check it before the run: the failure of a guesser is only counted, and would not be seen."""
    used: set[str] = {each.actor for each in modes if each.mode != "speculator"}
    used |= {each.guesser for each in modes if each.mode != "actor"}
    if "gp" in used:
        require("the Gaussian process (gp) of --actor and --guesser, unlike climb and random,", "tuning")


def mean(runs: Sequence[TuningRun]) -> dict[str, Any]:
    """The mean of every figure."""
    rows = [dataclasses.asdict(each) for each in runs]
    names = [name for name in rows[0] if name not in ("mode", "seed", "curve")]
    return mean_of_rows([{name: row[name] for name in names} for row in rows])


def below(others: Sequence[TuningRun], runs: Sequence[TuningRun]) -> float:
    """By what share ``p95_20s`` lies below that of the other mode: the median over pairs of the same seed."""
    return statistics.median(1 - one.p95_20s / other.p95_20s for other, one in zip(others, runs, strict=True))


def _part(runs: Sequence[TuningRun]) -> dict[str, Any]:
    rows = [dataclasses.asdict(each) for each in runs]
    medians = {name: statistics.median(row[name] for row in rows) for name in ("p95_20s", "windows_to_10pct")}
    middle, half = _curve(runs)
    curve = {"p95": middle.tolist(), "half_interval": half.tolist()}
    return {"runs": rows, "mean": mean(runs), "median": medians, "curve": curve}


def _curve(runs: Sequence[TuningRun]) -> tuple[Any, Any]:
    """Mean ``p95`` of each window over the runs, and half of its 95 % interval (0 for a single run)."""
    rows = np.array([each.curve[: min(len(run.curve) for run in runs)] for each in runs])
    half = 1.96 * rows.std(axis=0, ddof=1) / math.sqrt(len(rows)) if len(rows) > 1 else np.zeros(rows.shape[1])
    return rows.mean(axis=0), half


def show(report: dict[str, Any], settings: TuningSettings) -> Iterator[RenderableType]:
    """The table of modes, and what lossless speculation costs."""
    title = (
        f"{settings.backend}, actor: {settings.actor}, {settings.actor_seconds:g} s, guesser: {settings.guesser}, "
        f"windows of {settings.window_s:g} s, clock: {settings.clock}"
    )
    parts = {settings.mode: report}
    if "beside" in report:
        parts = {report["beside"]["mode"]: report["beside"], **parts}
    rows = [
        {"mode": mode, "runs": len(part["runs"]), "median": part["median"]["windows_to_10pct"], **part["mean"]}
        for mode, part in parts.items()
    ]
    yield table_of(title, _COLUMNS, rows)
    if "below" in report:
        yield (
            f"p95 over {REACTION_S:g} s: {percent(report['below'])} below that of {settings.beside} (median of the "
            "pairs with the same seed)."
        )
    if "lossless" in parts:
        yield tokens_text(parts["lossless"]["mean"])
    yield "Figures are means over the runs, with medians in brackets."
    if "last-write-wins" in parts:
        yield (
            "last-write-wins is lossy: the guesser sets the live system. For what is saved without any loss, give "
            "--mode lossless --beside actor."
        )


def _new_figure() -> Any:
    with needed("--plot", "plot"):
        from matplotlib.figure import Figure

    return Figure(figsize=(7, 4.2), layout="constrained")


def _check_picture(target: Path) -> None:
    """Fail before the episodes are run rather than after them."""
    known = _new_figure().canvas.get_supported_filetypes()
    if target.suffix[1:].lower() not in known:
        raise InvalidConfiguration(
            f"--plot draws a picture, whose name must end with .png, .svg or the like, not {str(target)!r}"
        )


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
    count = len(next(iter(runs.values())))
    axes.set_title(f"{settings.backend}: mean of {count} runs, 95 % intervals", fontsize="medium")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.legend(frameon=False)
    figure.savefig(target)
