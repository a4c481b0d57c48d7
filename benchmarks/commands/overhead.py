"""``spec-envs bench overhead``."""

from __future__ import annotations

from pathlib import Path

import click

from spec_envs.benchmarks import options


@click.command()
@options.json_file
def overhead(json_file: Path | None) -> None:
    """Measure what the machinery itself costs: forks, steps, replays, and 200 wrappers at once (about a minute).

    Where tau-bench is installed, its own environment is measured side by side.
    """
    from spec_envs.benchmarks.overhead.run import run

    run(json_file)
