"""``spec-envs bench compare A B``: two results of ``bench all`` side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from spec_envs.benchmarks.all.figures import Interval, Rows, interval
from spec_envs.benchmarks.all.run import FIGURES
from spec_envs.benchmarks.reports import table_of
from spec_envs.errors import InvalidConfiguration

#: Figures of which more is worse, and those of which neither more nor less is better.
_LESS_IS_BETTER = ("tokens_full", "speculative_s", "p95_20s")
_NEUTRAL = ("sequential_s",)
_COMPARED = (*FIGURES, "p95_20s")
_COLUMNS = {
    "run": "{part}: {run}",
    "figure": "{figure}",
    "first": "{first}",
    "second": "{second}",
    "changed": "{verdict}",
}


def run(first: Path, second: Path) -> dict[str, Any]:
    """Compare.

    Args:
        first: Folder of a run of ``bench all``, or its ``results.json``.
        second: The other one.

    Returns:
        The report.

    Raises:
        InvalidConfiguration: A file holds no results.
    """
    reports = [load(first), load(second)]
    compared = list(comparison(*reports))
    configs = _differences(*(each["config"] for each in reports))
    return {"first": str(first), "second": str(second), "config": configs, "figures": compared}


def load(path: Path) -> dict[str, Any]:
    """The content of ``results.json``; ``InvalidConfiguration`` if there is none, or it is something else."""
    file = path / "results.json" if path.is_dir() else path
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidConfiguration(f"{file} cannot be read as results of bench all: {error}") from error
    if not isinstance(found, dict) or not {"config", "rows", "environments"} <= found.keys():
        raise InvalidConfiguration(f"{file} holds no results of bench all (environments, rows and config are missing)")
    return found


def comparison(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each figure of each run of episodes, in both results.

    A figure has changed beyond the intervals if its two intervals have nothing in common. Where one of the results has
    a single episode, and so no interval, any difference is one.
    """
    sides = [_runs(each) for each in (first, second)]
    for key in dict.fromkeys((*sides[0], *sides[1])):
        groups = [side.get(key, Rows([])) for side in sides]
        for name in _COMPARED:
            one, other = (interval([row.get(name) for row in group.rows], group.seed) for group in groups)
            if one["value"] is not None or other["value"] is not None:
                part, tags = key
                yield {
                    "part": part,
                    "run": tags,
                    "figure": name,
                    "first": one,
                    "second": other,
                    "verdict": _verdict(name, one, other),
                }


def _runs(report: Mapping[str, Any]) -> dict[tuple[str, str], Rows]:
    """The rows of each run, by its part and its tags."""
    runs: dict[tuple[str, str], Rows] = {}
    for row in report["rows"]:
        tags = ", ".join(str(value) for value in row["tags"].values())
        runs.setdefault((row["part"], tags), Rows([], report["config"].get("seed", 0))).rows.append(row)
    return runs


def _verdict(name: str, one: Interval, other: Interval) -> str:
    if one["value"] is None or other["value"] is None:
        return "second only" if one["value"] is None else "first only"
    (low, high), (other_low, other_high) = (_bounds(each) for each in (one, other))
    if other_low <= high and low <= other_high:
        return ""
    is_more = other_low > high
    if name in _NEUTRAL:
        return "more" if is_more else "less"
    return "better" if is_more is not (name in _LESS_IS_BETTER) else "WORSE"


def _bounds(found: Interval) -> tuple[float, float]:
    value = found["value"]
    assert value is not None
    low, high = found["low"], found["high"]
    return (value if low is None else low, value if high is None else high)


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Settings and versions that differ; the folders always do."""
    flat = [
        {**{k: v for k, v in each.items() if k not in ("versions", "out")}, **each["versions"]} for each in (one, other)
    ]
    names = dict.fromkeys((*flat[0], *flat[1]))
    return {name: [each.get(name) for each in flat] for name in names if flat[0].get(name) != flat[1].get(name)}


def show(report: Mapping[str, Any], *, everything: bool) -> Iterator[RenderableType]:
    """What is printed of the report; ``everything``: also what did not change."""
    for name, (one, other) in report["config"].items():
        yield f"{name}: {one} in the first, {other} in the second"
    changed = [each for each in report["figures"] if each["verdict"]]
    shown = report["figures"] if everything else changed
    if shown:
        rows = [each | {side: _text(each["figure"], each[side]) for side in ("first", "second")} for each in shown]
        yield table_of("Means with 95 % intervals over episodes", _COLUMNS, rows)
    count = len(report["figures"])
    yield f"{len(changed)} of {count} figures changed beyond their intervals."


def _text(name: str, found: Interval) -> str:
    form = "{:.1f} s" if name.endswith("_s") else "x{:.2f}" if name == "tokens_full" else "{:.1%}"
    form = "{:.1f} ms" if name == "p95_20s" else form
    if found["value"] is None:
        return "-"
    middle = form.format(found["value"])
    if found["low"] is None:
        return middle
    low, high = (form.format(found[name]).strip("%xms ") for name in ("low", "high"))
    return f"{middle} ({low}..{high})"
