"""``spec-envs bench served-chess``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spec_envs.benchmarks import options


@click.command("served-chess")
@click.option("--plies", type=click.IntRange(min=1), default=30, show_default=True, help="Half moves.")
@click.option(
    "--seconds", type=click.FloatRange(min=0.01), default=2.0, show_default=True, help="Median time of an answer."
)
@click.option(
    "--tokens-per-s", type=click.FloatRange(min=1), default=100.0, show_default=True, help="How fast the model writes."
)
@click.option(
    "--spread",
    type=click.FloatRange(min=0),
    default=0.3,
    show_default=True,
    help="Sigma of the lognormal distributions of both.",
)
@click.option(
    "--guesses",
    type=click.Choice(["stockfish", "builtin"]),
    default="stockfish",
    show_default=True,
    help="Who guesses.",
)
@options.k
@click.option(
    "--max-inflight", type=click.IntRange(min=0), default=2, show_default=True, help="Speculative calls at once."
)
@options.seed
@options.json_file
def served_chess(json_file: Path | None, **settings: Any) -> None:
    """Play chess against a model server over HTTP, plainly and with speculation, side by side (about a minute)."""
    from spec_envs.benchmarks.served_chess.run import run

    run(json_file, **settings)
