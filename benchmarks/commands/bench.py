"""``spec-envs bench NAME`` runs the experiment in the folder ``benchmarks/NAME``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from spec_envs.benchmarks import options
from spec_envs.benchmarks.chess.settings import ChessSettings
from spec_envs.benchmarks.crowd.settings import CrowdSettings
from spec_envs.benchmarks.guess.settings import GuessSettings
from spec_envs.benchmarks.options import options_of
from spec_envs.benchmarks.retail.settings import RetailSettings
from spec_envs.benchmarks.search.settings import SearchSettings
from spec_envs.benchmarks.search_web.settings import SearchWebSettings
from spec_envs.benchmarks.served_chess.settings import ServedChessSettings
from spec_envs.benchmarks.tools.settings import ToolsSettings
from spec_envs.benchmarks.tuning.settings import Mode, TuningSettings


@click.group()
def bench() -> None:
    """Measure what speculation saves, and what it costs."""


@bench.command(cls=options.ManyFiles)
@click.option("--games", type=options.FILE, multiple=True, required=True, metavar="FILE...", help="Recorded games.")
@options_of(ChessSettings)
@options.json_file
def chess(games: tuple[Path, ...], json_file: Path | None, **settings: Any) -> None:
    """Replay recorded games with speculation, and compare with the time that they took."""
    from spec_envs.benchmarks.chess.report import run

    run(ChessSettings(**settings), games, json_file)


@bench.command()
@options_of(CrowdSettings)
@options.json_file
def crowd(json_file: Path | None, **settings: Any) -> None:
    """Run many episodes at once on one event loop, without and with speculation (about two minutes)."""
    from spec_envs.benchmarks.crowd.run import run

    run(CrowdSettings(**settings), json_file)


@bench.command()
@options_of(GuessSettings)
@options.json_file
def guess(json_file: Path | None, **settings: Any) -> None:
    """Count how often the next tool call of recorded conversations is among the first guesses."""
    from spec_envs.benchmarks.guess.report import run

    run(GuessSettings(**settings), json_file)


@bench.command()
@options.json_file
def overhead(json_file: Path | None) -> None:
    """Measure what speculation itself costs: forks, steps, replays, and 200 wrappers at once (about a minute).

    If tau-bench is installed, its own environment is measured side by side.
    """
    from spec_envs.benchmarks.overhead.run import run

    run(json_file)


@bench.command()
@options_of(RetailSettings)
@options.json_file
def retail(json_file: Path | None, **settings: Any) -> None:
    """Serve customers with speculation: how much less they wait, and how much could be predicted."""
    from spec_envs.benchmarks.retail.report import run

    run(RetailSettings(**settings), json_file)


@bench.command()
@click.option(
    "--episodes",
    required=True,
    metavar="FILE",
    help="Recorded episodes, or 'embedded': the scripted agent on the questions of the embedded wiki.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "dev", "test"]),
    default="test",
    show_default=True,
    help="With --episodes embedded: split of the questions.",
)
@options_of(SearchSettings)
@options.json_file
def search(episodes: str, split: str, json_file: Path | None, **settings: Any) -> None:
    """Run episodes of web search with speculation, and compare with the time that they take without it."""
    from spec_envs.benchmarks.search.report import run

    run(SearchSettings(**settings), episodes, split, json_file)


@bench.command("search-web")
@options_of(SearchWebSettings)
@options.json_file
def search_web(json_file: Path | None, **settings: Any) -> None:
    """Answer questions from a local wiki with slow pages, with and without speculation, on the wall clock."""
    from spec_envs.benchmarks.search_web.run import run

    run(SearchWebSettings(**settings), json_file)


@bench.command("served-chess")
@options_of(ServedChessSettings)
@options.json_file
def served_chess(json_file: Path | None, **settings: Any) -> None:
    """Play chess against a model server over HTTP, with and without speculation side by side (about a minute)."""
    from spec_envs.benchmarks.served_chess.run import run

    run(ServedChessSettings(**settings), json_file)


@bench.command()
@options_of(ToolsSettings)
@options.json_file
def tools(json_file: Path | None, **settings: Any) -> None:
    """Let agents of the OpenAI Agents SDK call tools, with and without speculation (two and a half minutes)."""
    from spec_envs.benchmarks.tools.run import run

    run(ToolsSettings(**settings), json_file)


@bench.command()
@click.option("--seeds", type=click.IntRange(min=1), default=20, show_default=True, help="Episodes, one for each seed.")
@click.option(
    "--beside", type=click.Choice(get_args(Mode)), help="Another mode, whose episodes take turns with those of --mode."
)
@options_of(TuningSettings)
@options.json_file
@click.option("--plot", "plot_file", type=options.OutputFile(), help="Draw the curves with intervals into this file.")
def tuning(seeds: int, beside: Mode | None, json_file: Path | None, plot_file: Path | None, **settings: Any) -> None:
    """Tune a machine, or a model of one, with a slow tuner and a fast guesser."""
    from spec_envs.benchmarks.tuning.report import run

    run(TuningSettings(**settings), seeds=seeds, beside=beside, json_file=json_file, plot_file=plot_file)
