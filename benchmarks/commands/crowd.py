"""``spec-envs bench crowd``."""

from __future__ import annotations

from pathlib import Path

import click

from spec_envs.benchmarks import options


@click.command()
@click.option("--episodes", type=click.IntRange(min=1), default=1000, show_default=True, help="Episodes at once.")
@click.option("--steps", type=click.IntRange(min=1), default=3, show_default=True, help="Steps of an episode.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=8.0,
    show_default=True,
    help="Mean time of a call.",
)
@options.max_inflight("4")
@options.json_file
def crowd(episodes: int, steps: int, seconds: float, max_inflight: int | None, json_file: Path | None) -> None:
    """Run many episodes at once on one event loop, plain and with a tree of four guesses a call (about two minutes)."""
    from spec_envs.benchmarks.crowd.run import CrowdSettings, run

    run(CrowdSettings(episodes, steps, seconds, 4 if max_inflight is None else max_inflight), json_file)
