"""``report.html``: the page of everything that ``bench all`` has found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spec_envs.benchmarks.all.units import Result
from spec_envs.pages import Timeline, page, timelines

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
        "be saved there; guesses of tool calls cost no tokens."
    ),
)


def _row(found: Mapping[str, Any]) -> dict[str, Any]:
    share = found["lossless"]["value"]
    words = "not compared" if share is None else "yes" if share == 1 else f"NO: only {share:.1%}"
    return {**found, "lossless": words}


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
