"""``spec-envs bench guess``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spec_envs.benchmarks import options


@click.command()
@click.option("--trajectories", type=options.FILE, required=True, help="Recorded conversations (tau-bench's or ours).")
@click.option("--train", type=options.FILE, help="Learn from this file.  [default: the other tasks]")
@click.option("--guesser", type=click.Choice(["pattern"]), default="pattern", show_default=True, help="Who guesses.")
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True, help="Without --train: parts.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the guesser.")
@options.json_file
def guess(trajectories: Path, json_file: Path | None, **options: Any) -> None:
    """Count how often the next tool call of recorded conversations is among the first guesses."""
    from spec_envs.benchmarks.guess.run import run

    run(trajectories, json_file=json_file, **options)
