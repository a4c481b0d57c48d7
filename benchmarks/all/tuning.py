"""Tuning: convergence, the reaction within 20 s, and what is saved where settings are predicted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from spec_envs.benchmarks.all.figures import Figure, Rows, figure, said, series
from spec_envs.benchmarks.all.here import Here
from spec_envs.benchmarks.all.units import Row, Unit
from spec_envs.benchmarks.tuning import Guesses, TuningSettings
from spec_envs.benchmarks.tuning.episodes import TuningBench, backend_of

HEADLINE = {"figure": "lossless", "guesser": "half"}
#: arXiv 2510.04371v2: p95 in ms over the first 20 s, on its machine.
PAPER_P95 = {"untuned": 102.97, "tuner alone": 54.00, "tuner and guesser": 37.93}
_SEEDS, _QUICK_SEEDS = 20, 6
_GUESSERS: tuple[Guesses, ...] = ("same", "climb", "gp", "random")


def plan(here: Here, *, quick: bool, seed: int) -> Iterator[Unit]:
    """The units: one seed by one mode."""
    guesser: Guesses = "gp" if here.regression else "climb"
    live = {
        # A guesser that repeats the setting changes nothing.
        "untuned": TuningSettings(mode="speculator", guesser="same"),
        "tuner alone": TuningSettings(mode="actor"),
        "guesser alone": TuningSettings(mode="speculator", guesser=guesser),
        "tuner and guesser": TuningSettings(mode="last-write-wins", guesser=guesser),
    }
    for number in range(seed, seed + (_QUICK_SEEDS if quick else _SEEDS)):
        half = TuningSettings(mode="lossless", actor="random", guesser="half")
        yield _unit(HEADLINE, half, number, 0.4, named=number == seed)
        for who, settings in live.items():
            yield _unit({"figure": "live", "who": who}, settings, number, 2.5 if settings.guesser == "gp" else 0.2)
        for guesses in _GUESSERS:
            if guesses != "gp" or here.regression:
                tried = TuningSettings(mode="lossless", actor="climb", guesser=guesses)
                yield _unit({"figure": "lossless", "guesser": guesses}, tried, number, 0.5)


def _unit(
    tags: Mapping[str, Any], settings: TuningSettings, number: int, cost_s: float, *, named: bool = False
) -> Unit:
    name = "tuning: half of the settings foreseen" if named else ""
    return Unit(part="tuning", tags=tags, settings=settings, items=[number], cost_s=cost_s, name=name)


def work(unit: Unit) -> list[Row]:
    """Run the episodes."""
    settings: TuningSettings = unit.settings
    backend = backend_of(settings)
    try:
        runs = [TuningBench(settings, backend).run(seed) for seed in unit.items]
    finally:
        backend.close()
    return [_row(dataclasses.asdict(each), settings) for each in runs]


def _row(found: dict[str, Any], settings: TuningSettings) -> Row:
    found["speculative_s"] = found.pop("seconds")
    return {"episode": f"seed {found.pop('seed')}", "clock": settings.clock, **found}


def figures(rows: Rows) -> list[Figure]:
    """The figures of this part."""
    live, lossless = rows.where(figure="live"), rows.where(figure="lossless")
    command = "spec-envs bench tuning --beside actor"
    curves = [series(who, _curve(live.where(who=who))) for who in live.tags("who")]
    about = (
        "Mean p95 of the service, window by window (1 s each), on the simulated scheduler. The tuner knows the best "
        "setting and takes 10 s; the guesser searches by itself. Tuner and guesser together are lossy: both set the "
        "live system."
    )
    axes = ("window", "p95 in ms")
    found = figure("Tuning: convergence", about, axes, curves, command=command, percent=False)
    reaction = series("simulated", [live.where(who=who).point(who, "p95_20s") for who in live.tags("who")], "bars")
    about = (
        "Mean p95 over the first 20 s, beside the paper's figures for its own machine and language models. A guesser "
        "that nothing slows down needs no tuner here."
    )
    shown = [reaction, said(PAPER_P95)]
    axes = ("who tunes", "p95 in ms")
    found += figure("Tuning: reaction within 20 s", about, axes, shown, command=command, percent=False, categories=True)
    names = {"half": "knows half", **{each: each for each in _GUESSERS}}
    shown = [
        series(title, [lossless.where(guesser=each).point(name, figure_of) for each, name in names.items()], "bars")
        for figure_of, title in (("saved", "time saved"), ("hit_rate", "settings guessed"))
    ]
    about = (
        "Nothing is lost, and settings are predicted, by guesser. The first knows half of the settings of a random "
        "tuner. The others guess those of a hill climber: one climbs as the tuner does; the rest guess that nothing "
        "changes, or guess by a Gaussian process, or at random."
    )
    return found + figure(
        "Tuning: lossless, by guesser",
        about,
        ("guesser", "share"),
        shown,
        command="spec-envs bench tuning --mode lossless --actor climb --guesser gp",
        categories=True,
    )


def _curve(rows: Rows) -> list[Any]:
    length = min((len(row["curve"]) for row in rows.rows), default=0)
    spread = Rows([{**row, **{f"w{at}": row["curve"][at] for at in range(length)}} for row in rows.rows], rows.seed)
    return [spread.point(at, f"w{at}") for at in range(length)]
