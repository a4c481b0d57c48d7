"""Figures for the page, as ``frontend/src/data.ts`` describes them, made from rows."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from spec_envs.benchmarks.all.units import Row

_RESAMPLES = 2000
_WITHIN = (2.5, 97.5)

#: ``value``, ``low`` and ``high``; the last two are ``None`` where one episode says nothing about others.
Interval = dict[str, float | None]
NOTHING: Interval = {"value": None, "low": None, "high": None}


def interval(values: Sequence[Any], seed: int = 0) -> Interval:
    """The mean, and the interval in which 95 % of the means of resampled episodes lie.

    The draws depend on ``seed`` and on the number of values alone: equal values give equal intervals.

    Args:
        values: A figure of each episode; those without it (``None``) do not count.
        seed: Seed of the resampling.
    """
    known = np.array([float(value) for value in values if value is not None])
    if not len(known):
        return NOTHING
    if len(known) == 1:
        return {"value": float(known[0]), "low": None, "high": None}
    rng = np.random.default_rng([seed, zlib.crc32(b"bootstrap"), len(known)])
    means = known[rng.integers(len(known), size=(_RESAMPLES, len(known)))].mean(axis=1)
    low, high = np.percentile(means, _WITHIN)
    return {"value": float(known.mean()), "low": float(low), "high": float(high)}


Figure = dict[str, Any]
Point = dict[str, Any]
PAPER = "the paper"


class Rows:
    """The rows of one part."""

    def __init__(self, rows: Iterable[Row], seed: int = 0) -> None:
        self.rows = list(rows)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, **tags: Any) -> Rows:
        """The rows that have these tags."""
        found = [row for row in self.rows if all(row["tags"].get(name) == value for name, value in tags.items())]
        return Rows(found, self.seed)

    def tags(self, name: str) -> list[Any]:
        """The values of a tag, in the order in which they occur."""
        return list(dict.fromkeys(row["tags"][name] for row in self.rows if name in row["tags"]))

    def by(self, name: str) -> dict[Any, Rows]:
        """The rows for each value of a figure, such as the agent, in order."""
        values = sorted({row[name] for row in self.rows if row.get(name) is not None}, key=str)
        return {each: Rows([row for row in self.rows if row.get(name) == each], self.seed) for each in values}

    def mean(self, name: str) -> float | None:
        """The mean of a figure."""
        return interval([row.get(name) for row in self.rows], self.seed)["value"]

    def point(self, x: Any, name: str, label: str | None = None) -> Point | None:
        """A point with the mean of a figure and its interval; ``None`` where no row has the figure."""
        found = interval([row.get(name) for row in self.rows], self.seed)
        if found["value"] is None:
            return None
        bounds = {} if found["low"] is None else {"low": found["low"], "high": found["high"]}
        return {"x": x, "y": found["value"], **bounds, **({} if label is None else {"label": label})}


def series(name: str, points: Iterable[Point | None], kind: Literal["line", "points", "bars"] = "line") -> Figure:
    """A series of points; those that do not exist are left out."""
    return {"name": name, "points": [point for point in points if point is not None], "kind": kind}


def said(points: Mapping[Any, float], name: str = PAPER) -> Figure:
    """A series of points that others have published, by x."""
    return {"name": name, "kind": "points", "points": [{"x": x, "y": y} for x, y in points.items()], "said": True}


def figure(
    title: str,
    about: str,
    axes: tuple[str, str],
    shown: Sequence[Figure],
    *,
    command: str = "spec-envs bench all",
    percent: bool = True,
    categories: bool = False,
) -> list[Figure]:
    """A figure in a list, which is empty if there is nothing to show.

    Args:
        title: The heading.
        about: What the figure shows, and what it means.
        axes: The names of the x axis and of the y axis.
        shown: The series; empty ones are left out.
        command: The command that prints the same figures.
        percent: Whether the values on the y axis are shares.
        categories: Whether the values on the x axis are names.
    """
    kept = [each for each in shown if each["points"]]
    if not any("said" not in each for each in kept):
        return []
    x, y = axes
    return [
        {
            "title": title,
            "about": about,
            "command": command,
            "x": x,
            "y": y,
            "percent_y": percent,
            "categories": categories,
            "series": kept,
        }
    ]
