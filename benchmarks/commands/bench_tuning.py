"""``spec-envs bench tuning``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spec_envs.benchmarks import options

_MODES = click.Choice(["actor", "speculator", "lossless", "last-write-wins"])
_SECONDS = click.FloatRange(min=0, min_open=True)


@click.command()
@click.option(
    "--backend",
    type=click.Choice(["simulated", "eevdf", "sysbench", "sqlite", "sysctl"]),
    default="simulated",
    show_default=True,
    help="Where the workload runs.",
)
@click.option(
    "--mode",
    type=_MODES,
    default="last-write-wins",
    show_default=True,
    help="actor: the slow tuner alone. speculator: the guesser alone. lossless: the tuner's settings are foreseen and "
    "measured ahead. last-write-wins: lossy, both set the live system.",
)
@click.option("--beside", type=_MODES, help="Another mode, whose episodes take turns with those of the first.")
@click.option("--seeds", type=click.IntRange(min=1), default=20, show_default=True, help="Episodes, one a seed.")
@click.option(
    "--actor",
    type=click.Choice(["best", "gp", "climb", "random"]),
    default="best",
    show_default=True,
    help="The tuner: knows the optimum, searches with a Gaussian process, by hill climbing, or at random.",
)
@click.option("--actor-seconds", type=_SECONDS, default=10.0, show_default=True, help="How long it thinks.")
@click.option(
    "--guesser",
    type=click.Choice(["gp", "climb", "same", "random", "half"]),
    default="gp",
    show_default=True,
    help="Who guesses. half: says what the actor will, half of the times.",
)
@options.k
@options.max_inflight("8")
@click.option(
    "--windows", type=click.IntRange(min=2), default=20, show_default=True, help="Of an episode, the first included."
)
@click.option("--window-s", type=_SECONDS, default=1.0, show_default=True, help="Seconds of a window.")
@click.option("--service-ms", type=_SECONDS, default=9.5, show_default=True, help="CPU time of an event.")
@click.option("--tasks", type=click.IntRange(min=1), default=4, show_default=True, help="Tasks on a core.")
@click.option("--start", type=_SECONDS, default=32.0, show_default=True, help="Slice at the start, in ms.")
@click.option(
    "--knobs",
    type=click.IntRange(min=1, max=6),
    default=1,
    show_default=True,
    help="Of the simulated backend: with 2 to 6, a made-up machine with so many, another one for each seed.",
)
@options.clock
@options.json_file
@click.option("--plot", "plot_file", type=options.OutputFile(), help="Draw the curves with intervals into this file.")
def tuning(seeds: int, beside: str | None, json_file: Path | None, plot_file: Path | None, **settings: Any) -> None:
    """Tune a machine, or a model of one, with a tuner that thinks for seconds and a guesser that does not."""
    from spec_envs.benchmarks.tuning.report import run

    run(settings, seeds, beside, json_file, plot_file)
