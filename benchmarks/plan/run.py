"""The grid of settings, what each is predicted to do, and which of them to choose."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType

from spec_envs.benchmarks.plan import PlanSettings
from spec_envs.benchmarks.plan.closed_form import closed_form
from spec_envs.benchmarks.plan.simulation import Interval, measured, simulate
from spec_envs.benchmarks.plan.traces import read
from spec_envs.benchmarks.plan.workload import Workload, completed, drawn
from spec_envs.benchmarks.reports import config_of, progress, table_of
from spec_envs.benchmarks.sweep import front, plot
from spec_envs.wrappers import Limits

_KS = (1, 2, 3, 5, 8)
_SELECTIVITIES = (0.0, 0.05, 0.1, 0.2, 0.3, 1.0)
#: A prediction from fewer episodes comes with a warning.
_FEW_EPISODES = 20
Point = dict[str, Any]

_COLUMNS = {
    "k": "{k}",
    "selectivity": "{selectivity:g}",
    "saved": "{saved:.1%}",
    "±": "{saved_half:.1%}",
    "saved, depth 1": "{saved_at_depth_1:.1%}",
    "no limit": "{saved_without_limits:.1%}",
    "cost": "x{cost:.2f}",
    "± ": "{cost_half:.2f}",
    "cost, depth 1": "x{cost_at_depth_1:.2f}",
    "front": "{front}",
}


def run(settings: PlanSettings, traces: Sequence[Path]) -> dict[str, Any]:
    """The report of what each setting is predicted to do.

    Raises:
        InvalidConfiguration: The settings and the files do not say enough, or a file cannot be read.
    """
    workload = completed(read(traces, settings.calls) if traces else drawn(settings), settings)
    grid = [(k, selectivity) for k in _ks(workload) for selectivity in _SELECTIVITIES]
    machinery = {k: measured(k, settings.max_inflight) for k in _ks(workload)}
    with progress("planning", len(grid)) as advance:
        points = list(_points(workload, settings, grid, machinery, advance))
    return {
        "config": config_of(settings, files=[str(file) for file in traces]),
        "workload": _summary(workload),
        "cost_in": "money" if workload.costs_money else "tokens" if workload.has_tokens else "calls",
        "machinery_s": machinery,
        "plan": points,
        "choices": _choices(points, settings),
        "warnings": _warnings(workload),
    }


def _ks(workload: Workload) -> list[int]:
    most = workload.most_guesses
    return [k for k in _KS if k <= most]


def _points(
    workload: Workload,
    settings: PlanSettings,
    grid: Sequence[tuple[int, float]],
    machinery: dict[int, float],
    advance: Callable[[], None],
) -> Iterator[Point]:
    for k, selectivity in grid:
        limits = Limits(max_inflight=settings.max_inflight, selectivity=selectivity)
        found = simulate(workload, k, limits, episodes=settings.episodes, seed=settings.seed, machinery_s=machinery[k])
        cost = found.money or found.tokens_full or found.calls
        closed = closed_form(workload, k, selectivity)
        yield {
            "k": k,
            "selectivity": selectivity,
            "saved": round(found.saved.mean, 3) + 0.0,  # no "-0.0"
            "saved_half": found.saved.half,
            "cost": cost.mean,
            "cost_half": cost.half,
            "cost_at_depth_1": closed.calls_at_depth_1
            if closed.tokens_at_depth_1 is None
            else closed.tokens_at_depth_1,
            "tokens_partial": _mean(found.tokens_partial),
            "tokens_full": _mean(found.tokens_full),
            "money": _mean(found.money),
            "calls": found.calls.mean,
            "hit_rate": found.hit_rate,
            **dataclasses.asdict(closed),
        }
        advance()


def _mean(interval: Interval | None) -> float | None:
    return None if interval is None else interval.mean


def _choices(points: Sequence[Point], settings: PlanSettings) -> dict[str, Point | None]:
    """The settings to choose, by what the user wants; ``None`` if no setting satisfies the wish."""
    choices: dict[str, Point | None] = {}
    if settings.wanted_saving is not None:
        enough = [point for point in points if point["saved"] >= settings.wanted_saving]
        choices["cheapest for the wanted saving"] = min(enough, key=lambda point: point["cost"], default=None)
    if settings.wanted_cost is not None:
        cheap = [point for point in points if point["cost"] <= settings.wanted_cost]
        choices["best saving for the wanted cost"] = max(cheap, key=lambda point: point["saved"], default=None)
    return choices


def _summary(workload: Workload) -> dict[str, Any]:
    calls = workload.calls
    return {
        "episodes": None if math.isinf(workload.num_known) else workload.num_known,
        "calls": len(calls) / len(workload.episodes),
        "seconds": sum(call.seconds for call in calls) / len(workload.episodes),
        "tokens": sum(call.usage.tokens for call in calls) / len(workload.episodes) if workload.has_tokens else None,
        "money": sum(call.usage.money for call in calls) / len(workload.episodes),
        "guess_rates": {name: list(guessing.rates) for name, guessing in workload.guessing.items()},
        "guess_s": {name: guessing.seconds for name, guessing in workload.guessing.items()},
    }


def _warnings(workload: Workload) -> list[str]:
    warnings = [workload.note] if workload.note else []
    if workload.num_known < _FEW_EPISODES:
        warnings.append(
            f"the workload was learned from {workload.num_known:.3g} episodes: fewer than {_FEW_EPISODES} may be far "
            "from the usual ones, and then the intervals are too narrow"
        )
    return warnings


def show(report: dict[str, Any], settings: PlanSettings) -> Iterator[RenderableType]:
    """The table of settings, the plot of what they save and cost, and the chosen ones."""
    points, known, cost_in = report["plan"], report["workload"], report["cost_in"]
    pairs = [(point["cost"], point["saved"]) for point in points]
    rows = [point | {"front": "*" if best else ""} for point, best in zip(points, front(pairs), strict=True)]
    title = (
        f"Predicted for episodes of {known['calls']:.3g} calls that take {known['seconds']:,.3g} s and "
        f"{_tokens(known['tokens'])}, with up to {settings.max_inflight} speculative calls in flight"
    )
    columns = {(cost_in if name == "cost" and cost_in == "calls" else name): cell for name, cell in _COLUMNS.items()}
    yield table_of(title, columns, rows)
    yield plot(pairs, cost_in)
    yield _legend(cost_in)
    machinery = ", ".join(f"{seconds * 1e3:.2g} ms at k={k}" for k, seconds in report["machinery_s"].items())
    yield f"Taken off what is saved, as measured here and now: machinery of {machinery} a call."
    for wanted, point in report["choices"].items():
        yield f"The {wanted}: {_named(point, cost_in)}."
    for warning in report["warnings"]:
        click.echo(f"Warning: {warning}.", err=True)


def _tokens(tokens: float | None) -> str:
    return "an unknown number of tokens" if tokens is None else f"{tokens:,.0f} tokens"


def _legend(cost_in: str) -> str:
    name = "calls" if cost_in == "calls" else "cost"
    cost = (
        "the cost in tokens is unknown: give --tokens. The cost is counted in calls made instead, relative to the "
        "plain loop, and those of guessers are left out."
        if cost_in == "calls"
        else f"the cost in {cost_in} is relative to the plain loop, with cancelled calls charged in full."
    )
    return (
        f'"saved", "{name}" and their 95 % intervals (±) are simulated; {cost} "depth 1" and "no limit" are closed '
        'forms. "front": no other setting saves as much for less.'
    )


def _named(point: Point | None, cost_in: str) -> str:
    if point is None:
        return "no such setting"
    return (
        f"k={point['k']}, Limits(selectivity={point['selectivity']:g}), which saves {point['saved']:.1%} "
        f"at x{point['cost']:.2f} the {cost_in}"
    )
