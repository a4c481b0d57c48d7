"""``spec-envs bench chess``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spec_envs.benchmarks import options


@click.command(cls=options.ManyFiles)
@click.option("--games", type=options.FILE, multiple=True, required=True, metavar="FILE...", help="Recorded games.")
@click.option("--plies", type=click.IntRange(min=1), default=30, show_default=True, help="Half moves of each game.")
@click.option(
    "--guesses",
    type=click.Choice(["recorded", "stockfish", "builtin", "union"]),
    default="stockfish",
    show_default=True,
    help="Who guesses: the record, Stockfish, the built-in engine, or both engines in union. On the virtual clock a "
    "guess of Stockfish is charged 1 ms, one of the built-in engine 5 ms.",
)
@options.k
@options.max_inflight("4; with --rules paper: k")
@click.option("--max-depth", type=click.IntRange(min=0), help="Responses ahead.  [default: any number]")
@click.option(
    "--rules",
    type=click.Choice(["tree", "paper"]),
    default="tree",
    show_default=True,
    help="paper: depth 1, and a call that was started ahead is not guessed (arXiv 2510.04371, Algorithm 1).",
)
@options.clock
@options.speed(2000.0)
@options.seed
@click.option(
    "--min-probability",
    type=click.FloatRange(min=0, max=1),
    default=0.003,
    show_default=True,
    help="Branches less probable than this are not followed (tree). Smaller saves a little more time where "
    "--max-inflight is large, for many more calls.",
)
@options.json_file
def chess(games: tuple[Path, ...], json_file: Path | None, **settings: Any) -> None:
    """Replay recorded games through SpeculativeWrapper, and compare with the time that they took."""
    from spec_envs.benchmarks.chess.report import run

    run(games, settings, json_file)
