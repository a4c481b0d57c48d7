"""``spec-envs play``."""

from __future__ import annotations

import click

from spec_envs.benchmarks import options

_agent_seconds = click.option(
    "--agent-seconds",
    type=click.FloatRange(min=0),
    default=3.0,
    show_default=True,
    help="How long the agent thinks about an action.",
)


@click.group()
def play() -> None:
    """Play yourself, at the terminal: the agent works ahead on what you are likely to type."""


@play.command("chess")
@click.option("--plies", type=click.IntRange(min=1), help="End after so many half moves.  [default: play to the end]")
@_agent_seconds
@options.k
@options.max_inflight("4")
def chess(plies: int | None, agent_seconds: float, k: int, max_inflight: int | None) -> None:
    """Play black against an engine that takes its time."""
    from spec_envs.benchmarks.play import play_chess

    play_chess(plies, agent_seconds, k, 4 if max_inflight is None else max_inflight)


@play.command("retail")
@click.option(
    "--task", default="test-3", show_default=True, help="A generated task: train-0 … 139, dev-0 … 19, test-0 … 59."
)
@_agent_seconds
@options.k
@options.max_inflight("4")
def retail(task: str, agent_seconds: float, k: int, max_inflight: int | None) -> None:
    """Be a customer of the shop; the agent is a scripted clerk that takes its time."""
    from spec_envs.benchmarks.play import play_retail

    play_retail(task, agent_seconds, k, 4 if max_inflight is None else max_inflight)
