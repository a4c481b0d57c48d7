"""``spec-envs demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spec_envs.benchmarks import options


@click.command()
@click.option("--game", type=options.FILE, help="A recorded game.  [default: one made up for the occasion]")
@click.option("--plies", type=click.IntRange(min=1), help="Half moves.  [default: 30, or the whole game if shorter]")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    help="Recorded seconds in one second.  [default: so that the plain run takes 10 s]",
)
@options.k
@click.option(
    "--max-inflight", type=click.IntRange(min=0), default=8, show_default=True, help="Speculative calls at once."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="out",
    show_default=True,
    help="Folder for the trace.",
)
def demo(**settings: Any) -> None:
    """Replay a game of chess between two slow players: plainly, and then with speculation.

    Needs no key, data or Stockfish (which guesses if it is there; else the built-in engine does).
    """
    from spec_envs.benchmarks.demo import run

    run(**settings)
