"""``spec-envs bench search-web``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spec_envs.benchmarks import options


@click.command("search-web")
@click.option(
    "--backend",
    type=click.Choice(["http", "browser"]),
    default="browser",
    show_default=True,
    help="browser needs Chromium and its driver.",
)
@click.option(
    "--episodes",
    type=click.IntRange(min=0),
    default=8,
    show_default=True,
    help="Questions to answer on the wall clock; 0: only certify.",
)
@click.option(
    "--agent-seconds", type=click.FloatRange(min=0), default=1.0, show_default=True, help="The agent's thinking time."
)
@click.option(
    "--page-seconds", type=click.FloatRange(min=0), default=0.3, show_default=True, help="The site's time for a page."
)
@options.k
@options.max_inflight("8")
@click.option("--browsers", type=click.IntRange(min=1), default=3, show_default=True, help="Browsers at once.")
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="Episodes for certify.")
@options.json_file
def search_web(json_file: Path | None, **settings: Any) -> None:
    """Answer questions from a local wiki with slow pages, with and without speculation, on the wall clock."""
    from spec_envs.benchmarks.search_web.run import run

    run(settings, json_file)
