"""``spec-envs bench tools``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spec_envs.benchmarks import options


@click.command("tools")
@click.option("--tasks", type=click.IntRange(min=1), default=20, show_default=True, help="Tasks, one after the other.")
@click.option(
    "--learning", type=click.IntRange(min=0), default=10, show_default=True, help="The first tasks, not counted."
)
@click.option(
    "--model-s", type=click.FloatRange(min=0), default=1.0, show_default=True, help="Seconds of the model's answer."
)
@click.option("--tool-s", type=click.FloatRange(min=0), default=0.3, show_default=True, help="Seconds of a tool.")
@click.option(
    "--max-inflight", type=click.IntRange(min=0), default=4, show_default=True, help="Speculative calls at once."
)
@options.seed
@options.json_file
def bench_tools(json_file: Path | None, **settings: Any) -> None:
    """Work with tools of an MCP server on the OpenAI Agents SDK, plainly and speculatively (two and a half minutes)."""
    from spec_envs.benchmarks.tools.run import run

    if settings["learning"] >= settings["tasks"]:
        raise click.BadParameter("must be below --tasks.", param_hint="--learning")
    run(json_file, **settings)
