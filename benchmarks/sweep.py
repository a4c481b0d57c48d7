"""``spec-envs bench … --sweep``: what is saved at which cost, at one selectivity after the other.

A point is on the *front* if no other point saves as much for fewer tokens, or more for as many.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import RenderableType

from spec_envs.benchmarks.options import ClockSettings, DialSettings
from spec_envs.benchmarks.processes import ALONE, in_order
from spec_envs.benchmarks.reports import collected, table_of, without_progress
from spec_envs.errors import InvalidConfiguration

#: From starting everything to starting what is nearly certain.
SELECTIVITIES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
_WIDTH, _HEIGHT = 60, 16
_COLUMNS = {
    "selectivity": "{selectivity:g}",
    "saved": "{saved:.1%}",
    "tokens partial": "x{tokens_partial:.2f}",
    "tokens full": "x{tokens_full:.2f}",
    "all together": "x{tokens_pooled:.2f}",
    "front": "{front}",
}
#: Where no call tells its tokens.
_CALLS_COLUMNS = {
    "selectivity": "{selectivity:g}",
    "saved": "{saved:.1%}",
    "calls": "x{calls_full:.2f}",
    "front": "{front}",
}


def sweep(run: Callable[..., dict[str, Any]], settings: DialSettings, **more: Any) -> dict[str, Any]:
    """Run an experiment at many selectivities.

    Args:
        run: The experiment.
        settings: Its settings; their selectivity is one of those tried.
        **more: What else ``run`` is given.

    Returns:
        The report of the run at the selectivity of ``settings``, with the figures of all runs as ``sweep``.

    Raises:
        InvalidConfiguration: The settings have another dial.
    """
    if settings.money_per_s is not None or settings.token_ratio is not None:
        raise InvalidConfiguration("--sweep tries selectivities: leave out --money-per-s and --token-ratio")
    tried = sorted({*SELECTIVITIES, settings.selectivity})
    # Whole runs go side by side, so that the episodes of each may learn from one another.
    workers, alone = ALONE, settings
    if isinstance(settings, ClockSettings):
        workers, alone = settings.workers, dataclasses.replace(settings, jobs=None, ray=None)
    points = [dataclasses.replace(alone, selectivity=each) for each in tried]
    runs = in_order(functools.partial(_quietly, run, more), points, workers)
    reports = dict(zip(tried, collected(runs, "sweeping", len(tried)), strict=True))
    figures = [
        {"selectivity": each, "mean": report.get("mean", {"saved": report.get("saved")})}
        for each, report in reports.items()
    ]
    return reports[settings.selectivity] | {"sweep": figures}


def _quietly(run: Callable[..., dict[str, Any]], more: dict[str, Any], settings: DialSettings) -> dict[str, Any]:
    """One run, perhaps in another process, whose own progress nobody is to see."""
    with without_progress():
        return run(settings, **more)


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each point, a cost and what is saved, is on the Pareto front."""
    return [
        not any(
            cost <= own_cost and saved >= own_saved and (cost, saved) != (own_cost, own_saved) for cost, saved in points
        )
        for own_cost, own_saved in points
    ]


def show(report: dict[str, Any]) -> Iterator[RenderableType]:
    """The table and the plot of the figures of all runs."""
    # In bench retail, what counts is the customer's wait.
    rows = [
        {"selectivity": point["selectivity"], "tokens_full": None, "tokens_partial": None, "tokens_pooled": None}
        | point["mean"]
        | {"saved": _saved(point["mean"]), "calls_full": _calls(point["mean"])}
        for point in report["sweep"]
    ]
    cost_in = "calls" if all(row["tokens_full"] is None for row in rows) else "tokens"
    pairs = [(row[f"{cost_in}_full"] or 1.0, row["saved"]) for row in rows]
    for row, best in zip(rows, front(pairs), strict=True):
        row["front"] = "*" if best else ""
    yield table_of("What is saved at which cost", _CALLS_COLUMNS if cost_in == "calls" else _COLUMNS, rows)
    yield plot(pairs, cost_in)
    if cost_in == "calls":
        yield "The cost in tokens is unknown, as no call tells what it used: it is counted in calls made instead."


def _saved(mean: dict[str, Any]) -> float:
    saved: float = mean.get("wait_saved", mean["saved"])
    return saved


def _calls(mean: dict[str, Any]) -> float | None:
    """The calls made, relative to those that the episodes used; ``None`` where the experiment does not count them."""
    calls: dict[str, float] = mean.get("calls") or {}
    return sum(calls.values()) / calls["committed"] if calls.get("committed") else None


def plot(points: Sequence[tuple[float, float]], cost_in: str) -> str:
    """The points as text: the cost to the right, what is saved upwards; ``*`` on the front, ``o`` elsewhere."""
    costs, gains = zip(*points, strict=True)
    most_cost, most_gain = max(*costs, 1.01), max(*gains, 0.01)
    least_gain = min(*gains, 0.0)
    cells = [[" "] * _WIDTH for _ in range(_HEIGHT)]
    for (cost, gain), best in sorted(zip(points, front(points), strict=True), key=lambda each: each[1]):
        column = round((cost - 1) / (most_cost - 1) * (_WIDTH - 1))
        row = round((gain - least_gain) / (most_gain - least_gain) * (_HEIGHT - 1))
        cells[_HEIGHT - 1 - row][max(0, column)] = "*" if best else "o"
    labels = [f"{most_gain:.0%}", *[""] * (_HEIGHT - 2), f"{least_gain:.0%}"]
    lines = [f"{label:>6} |{''.join(line)}" for label, line in zip(labels, cells, strict=True)]
    return "\n".join([*lines, f"{'':6} +{'-' * _WIDTH}", f"{'':8}x1{f'x{most_cost:.1f} {cost_in}':>{_WIDTH - 2}}"])
