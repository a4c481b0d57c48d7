"""``spec-envs bench all``: plan the units, do them over processes, and write what was found."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from spec_envs.benchmarks.all import AllSettings, chess, clock, retail, search, theory, tools, tuning, units
from spec_envs.benchmarks.all.figures import Figure, Rows, interval
from spec_envs.benchmarks.all.here import Here, Missing
from spec_envs.benchmarks.all.units import Result, Row, Unit
from spec_envs.benchmarks.processes import ALONE, Workers, as_done
from spec_envs.benchmarks.reports import config_of, console, table_of, weighed_progress, yes_or_no
from spec_envs.pages import Timeline, page, timelines
from spec_envs.whole_files import write_whole

#: The environments of the summary.
ENVIRONMENTS: Mapping[str, ModuleType] = {
    "chess": chess,
    "retail": retail,
    "search": search,
    "tuning": tuning,
    "tools": tools,
}
PARTS: Mapping[str, ModuleType] = {**ENVIRONMENTS, "theory": theory, "clock": clock}
#: The figures of the summary.
FIGURES = ("saved", "tokens_full", "hit_rate", "lossless", "sequential_s", "speculative_s")


def run(settings: AllSettings) -> None:
    """Run everything, and write ``results.json`` and ``report.html``.

    Raises:
        Exit: With code 1 if a unit failed or was not lossless, and with 130 after Ctrl-C.
    """
    here = Here.found(settings.data)
    planned = plan(here, settings)
    folder = settings.out / "units"
    folder.mkdir(parents=True, exist_ok=True)
    code = units.code()
    results = _kept(planned, folder, code) if settings.resume else {}
    screen = console()
    missing = list(here.missing(quick=settings.quick))
    screen.print(_opening(planned, results, missing), soft_wrap=True, markup=False)
    try:
        _do(functools.partial(units.run, code=code), settings.workers, folder, planned, results)
    except KeyboardInterrupt:
        screen.print(
            f"\nInterrupted; {len(results)} of {len(planned)} units are kept. To go on: the same with --resume"
        )
        raise click.exceptions.Exit(130) from None
    ordered = [results[number] for number in sorted(results)]
    report = report_of(settings, ordered, missing)
    write_whole(settings.out / "results.json", json.dumps(report, indent=1, allow_nan=False))
    write_whole(settings.out / "report.html", html_of(report, ordered))
    _show(report, settings.out)
    if report["failed"] or any(row.get("lossless") == 0 for row in report["rows"]):
        raise click.exceptions.Exit(1)


def plan(here: Here, settings: AllSettings) -> list[Unit]:
    """All units, those of one part together."""
    given = {"quick": settings.quick, "seed": settings.seed}
    return [unit for part in PARTS.values() for unit in part.plan(here, **given)]


def _kept(planned: Sequence[Unit], folder: Path, code: str) -> dict[int, Result]:
    found = {number: units.kept(unit, folder, code) for number, unit in enumerate(planned)}
    return {number: result for number, result in found.items() if result is not None}


def _do(
    work: Callable[[Unit], Result],
    workers: Workers,
    folder: Path,
    planned: Sequence[Unit],
    results: dict[int, Result],
) -> None:
    """Do the units that have no result, and keep theirs: those on the wall clock one by one, after the others."""
    due = [number for number in range(len(planned)) if number not in results]
    # Long ones first, so that no process has nothing to do at the end.
    due.sort(key=lambda number: -planned[number].cost_s)
    with weighed_progress("units of work", [planned[number].cost_s for number in due]) as advance:
        for alone in (False, True):
            numbers = [number for number in due if planned[number].alone is alone]
            for place, result in as_done(work, [planned[number] for number in numbers], ALONE if alone else workers):
                units.keep(planned[numbers[place]], result, folder)
                results[numbers[place]] = result
                advance(planned[numbers[place]].cost_s)


def report_of(settings: AllSettings, results: Sequence[Result], missing: Sequence[Missing]) -> dict[str, Any]:
    """The whole report, as JSON data."""
    rows = [row for result in results for row in result.rows]
    of_part = {name: Rows((row for row in rows if row["part"] == name), settings.seed) for name in PARTS}
    figures: list[Figure] = [figure for name, part in PARTS.items() for figure in part.figures(of_part[name])]
    return {
        "config": config_of(settings),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "environments": {name: _summary(of_part[name].where(**part.HEADLINE)) for name, part in ENVIRONMENTS.items()},
        "left_out": [dataclasses.asdict(each) for each in missing],
        "failed": [result.error for result in results if result.error],
        "cpu_s": sum(result.cpu_s for result in results),
        "figures": figures,
        "rows": rows,
    }


def _summary(rows: Rows) -> dict[str, Any]:
    found = {name: interval([row.get(name) for row in rows.rows], rows.seed) for name in FIGURES}
    clocks = sorted({row["clock"] for row in rows.rows})
    return {"episodes": len(rows), "clock": " and ".join(clocks), **found}


def _opening(planned: Sequence[Unit], results: Mapping[int, Result], missing: Sequence[Missing]) -> str:
    lines = [f"{len(planned)} units of work" + (f", of which {len(results)} are kept" if results else "")]
    lines += [f"not here: {each.what}. Left out: {each.left_out}. To get it: {each.command}" for each in missing]
    return "\n".join(lines)


_COLUMNS = {
    "environment": "{name}",
    "episodes": "{episodes}",
    "plain": "{sequential_s[value]:,.1f}",
    "speculative": "{speculative_s[value]:,.1f}",
    "saved": "{saved[value]:.1%}",
    "95 %": "{saved[low]:.0%}-{saved[high]:.0%}",
    "hit rate": "{hit_rate[value]:.1%}",
    "tokens": "x{tokens_full[value]:.2f}",
    "lossless": "{lossless[value]:yes}",
}


def _show(report: Mapping[str, Any], out: Path) -> None:
    rows: list[Row] = [{"name": name, **found} for name, found in report["environments"].items() if found["episodes"]]
    screen = console()
    screen.print(
        table_of(
            "Seconds with speculation and without: means over episodes, and a 95 % interval of what is saved",
            _COLUMNS,
            rows,
        )
    )
    for error in report["failed"]:
        screen.print(f"\nA unit failed: {error}", markup=False, style="bold")
    screen.print(f"\nWritten: {out / 'report.html'} (opens from disk) and {out / 'results.json'}", soft_wrap=True)


_INTRO = (
    (
        "An agent spends most of its life waiting: for its own slow model, an opponent, a customer, a page, a "
        "measurement. While a call is in flight, a guesser predicts the response, and the next call is started ahead "
        "of time. A wrong guess costs work, and never changes what happens."
    ),
    (
        "Each episode was played twice: by the plain loop, and with speculation. Both runs were compared step by step. "
        "This page shows what was saved and what that cost, and redraws the figures of Speculative Actions "
        "(arXiv 2510.04371) beside the paper's own numbers, also where nothing was gained."
    ),
)


def html_of(report: Mapping[str, Any], results: Sequence[Result]) -> str:
    """The page.

    Args:
        report: The content of ``results.json``.
        results: The results of its units.
    """
    summary = [{"name": name, **_row(found)} for name, found in report["environments"].items() if found["episodes"]]
    notes = [
        f"Left out: {each['left_out']} ({each['what']} is not here). To get it: {each['command']}."
        for each in report["left_out"]
    ]
    if report["config"]["quick"]:
        notes.append("With --quick there are fewer episodes, none on the wall clock, and none of tau-bench.")
    if report["failed"]:
        notes.append(f"Parts that failed, and are left out: {len(report['failed'])}. results.json says why.")
    return page(
        "What speculation saves, and what it costs",
        _timelines(results),
        intro=_INTRO,
        summary=summary,
        notes=[*_NOTES, *notes],
        figures=report["figures"],
        facts=_facts(report),
    )


_NOTES = (
    (
        "Tokens are relative to the plain loop, cancelled calls charged in full. Lossless: whether actions, "
        "observations and rewards were equal in all episodes."
    ),
    (
        "On the virtual clock waiting takes no real time, and every run is the same. In retail, the time is what the "
        "customer waits; typing, which nothing can save, is left out. In tuning, the guesser knows half of the "
        "settings beforehand. An agent with tools has a model of 1 s and tools of 0.3 s, so 20 % is the most that can "
        'be saved there. Tokens are "–" where no call tells what it used, as in search and with tools. A scripted '
        "tuner or customer is charged as a language model in its place would be."
    ),
)


def _row(found: Mapping[str, Any]) -> dict[str, Any]:
    return {**found, "lossless": yes_or_no(found["lossless"]["value"])}


def _timelines(results: Sequence[Result]) -> list[Timeline]:
    return [
        timeline
        for result in results
        if result.events
        for timeline in timelines(result.events, result.key["name"], "From this run.")[:1]
    ]


def _facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    config, machine = report["config"], report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in config["versions"].items())
    options = ["--quick"] * config["quick"] + (["--data …"] if config["data"] != "None" and config["data"] else [])
    return [
        ("Command", " ".join(["spec-envs bench all --out …", *options, f"--seed {config['seed']}"])),
        ("Made", report["made"]),
        ("Versions", versions),
        ("Machine", f"{machine['cpus']} CPUs, {machine['system']}"),
        ("Episodes", f"{len(report['rows'])}, in {report['cpu_s']:.0f} s of computing"),
    ]
