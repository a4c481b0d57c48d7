"""``spec-envs retail``: what belongs to the retail environment."""

from __future__ import annotations

from pathlib import Path

import click

from spec_envs.benchmarks import options


@click.group()
def retail() -> None:
    """The retail environment: check it against tau-bench."""


@retail.command("replay")
@click.option("--data", default="embedded", show_default=True, help='"embedded", or a folder with tau-bench\'s data.')
@click.option("--tasks", default="embedded", show_default=True, help='"embedded", or a JSON file with tasks.')
@click.option(
    "--json",
    "json_file",
    type=options.OutputFile(),
    default="-",
    show_default=True,
    help="Where to write (-: standard output).",
)
def retail_replay(data: str, tasks: str, json_file: Path) -> None:
    """Replay the gold actions of tasks: what the tools answer, and tau-bench's hash of the data in the end."""
    from spec_envs.benchmarks.retail.replay import run

    run(data, tasks, json_file)
