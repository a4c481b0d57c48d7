"""``spec-envs demo`` and ``spec-envs play``: see speculation at work, and feel it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import Settings, options_of, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Demo(Settings):
    game: Path | None = setting(None, "File with a recorded game.", type=options.FILE, default_text="a made-up game")
    plies: int | None = setting(None, "Half moves.", ge=1, default_text="30, or the whole game if it is shorter")
    speed: float | None = setting(
        None, "Recorded seconds in one real second.", gt=0, default_text="so that the plain run takes 10 s"
    )
    k: int = options.k()
    max_inflight: int = options.max_inflight(8)
    out: Path = setting(Path("out"), "Folder for the trace.", type=click.Path(file_okay=False, path_type=Path))


@click.command()
@options_of(_Demo)
def demo(**settings: Any) -> None:
    """Replay a game of chess between two slow players: first without speculation, and then with it.

    Needs no key and no data. Stockfish guesses if it is installed, otherwise the built-in engine.
    """
    from spec_envs.benchmarks.demo import run

    run(**settings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Play(Settings):
    agent_seconds: float = setting(3.0, "How long the agent thinks about an action.", ge=0)
    k: int = options.k()
    max_inflight: int = options.max_inflight(4)


@click.group()
def play() -> None:
    """Play yourself, at the terminal: the agent works ahead on what you are likely to type."""


@play.command()
@click.option("--plies", type=click.IntRange(min=1), help="End after this many half moves.  [default: play to the end]")
@options_of(_Play)
def chess(plies: int | None, **settings: Any) -> None:
    """Play black against an engine that takes its time."""
    from spec_envs.benchmarks.play import play_chess

    play_chess(plies, **settings)


@play.command()
@click.option(
    "--task", default="test-3", show_default=True, help="A generated task: train-0 … 139, dev-0 … 19, test-0 … 59."
)
@options_of(_Play)
def retail(task: str, **settings: Any) -> None:
    """Be a customer of the shop; the agent is a scripted clerk that takes its time."""
    from spec_envs.benchmarks.play import play_retail

    play_retail(task, **settings)
