"""``spec-envs bench search``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spec_envs.benchmarks import options


@click.command()
@click.option(
    "--episodes",
    required=True,
    metavar="FILE",
    help="Recorded episodes, or 'embedded': the scripted agent on the questions of the embedded wiki.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "dev", "test"]),
    default="test",
    show_default=True,
    help="Of the embedded questions.",
)
@click.option(
    "--guesses",
    type=click.Choice(["recorded", "free", "union"]),
    default="free",
    show_default=True,
    help="Who guesses: the record, the free guessers, or both in union. On the virtual clock a free guess is charged "
    "5 ms.",
)
@options.k
@options.max_inflight("8")
@click.option(
    "--agent-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=8.0,
    show_default=True,
    help="Median of the agent's thinking time, which is lognormal: it is not recorded.",
)
@options.clock
@options.speed(100.0)
@options.seed
@options.json_file
def search(episodes: str, split: str, json_file: Path | None, **settings: Any) -> None:
    """Run episodes of web search through SpeculativeWrapper, and compare with the time that they take without."""
    from spec_envs.benchmarks.search.report import run

    run(episodes, split, settings, json_file)
