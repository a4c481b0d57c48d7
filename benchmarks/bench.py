"""``spec-envs bench NAME`` runs the experiment in the folder ``benchmarks/NAME``: ``run`` in its module ``run``.

A command has the options of the experiment's settings, those that are given here, and ``--json``.
"""

import dataclasses
import importlib
from typing import Any, get_args

import click

from spec_envs.benchmarks import options
from spec_envs.benchmarks.chess import ChessSettings
from spec_envs.benchmarks.crowd import CrowdSettings
from spec_envs.benchmarks.guess import GuessSettings
from spec_envs.benchmarks.options import Settings, options_of
from spec_envs.benchmarks.retail import RetailSettings
from spec_envs.benchmarks.search import SearchSettings
from spec_envs.benchmarks.search_web import SearchWebSettings
from spec_envs.benchmarks.served_chess import ServedChessSettings
from spec_envs.benchmarks.tools import ToolsSettings
from spec_envs.benchmarks.tuning import Mode, TuningSettings


@click.group()
def bench() -> None:
    """Measure what speculation saves, and what it costs."""


def _add(
    name: str, help: str, settings: type[Settings] | None, *more: click.Option, cls: type[click.Command] = click.Command
) -> None:
    """Add the command of an experiment."""

    def command(**given: Any) -> None:
        # Late, so that --help and completion are quick.
        module = importlib.import_module(f"spec_envs.benchmarks.{name.replace('-', '_')}.run")
        if settings is not None:
            names = [field.name for field in dataclasses.fields(settings)]
            given["settings"] = settings(**{each: given.pop(each) for each in names})
        module.run(**given)

    command = options.json_file(command)
    if settings is not None:
        command = options_of(settings)(command)
    bench.command(name, cls=cls, help=help, params=list(more))(command)


_add(
    "chess",
    "Replay recorded games with speculation, and compare with the time that they took.",
    ChessSettings,
    click.Option(
        ["--games"], type=options.FILE, multiple=True, required=True, metavar="FILE...", help="Recorded games."
    ),
    cls=options.ManyFiles,
)
_add(
    "crowd",
    "Run many episodes at once on one event loop, without and with speculation (about two minutes).",
    CrowdSettings,
)
_add(
    "guess",
    "Count how often the next tool call of recorded conversations is among the first guesses.",
    GuessSettings,
)
_add(
    "overhead",
    "Measure what speculation itself costs: forks, steps, replays, and 200 wrappers at once (about a minute).\n\n"
    "If tau-bench is installed, its own environment is measured side by side.",
    None,
)
_add(
    "retail",
    "Serve customers with speculation: how much less they wait, and how much could be predicted.",
    RetailSettings,
)
_add(
    "search",
    "Run episodes of web search with speculation, and compare with the time that they take without it.",
    SearchSettings,
    click.Option(
        ["--episodes"],
        required=True,
        metavar="FILE",
        help="Recorded episodes, or 'embedded': the scripted agent on the questions of the embedded wiki.",
    ),
    click.Option(
        ["--split"],
        type=click.Choice(["train", "dev", "test"]),
        default="test",
        show_default=True,
        help="With --episodes embedded: split of the questions.",
    ),
)
_add(
    "search-web",
    "Answer questions from a local wiki with slow pages, with and without speculation, on the wall clock.",
    SearchWebSettings,
)
_add(
    "served-chess",
    "Play chess against a model server over HTTP, with and without speculation side by side (about a minute).",
    ServedChessSettings,
)
_add(
    "tools",
    "Let agents of the OpenAI Agents SDK call tools, with and without speculation (two and a half minutes).",
    ToolsSettings,
)
_add(
    "tuning",
    "Tune a machine, or a model of one, with a slow tuner and a fast guesser.",
    TuningSettings,
    click.Option(
        ["--seeds"], type=click.IntRange(min=1), default=20, show_default=True, help="Episodes, one for each seed."
    ),
    click.Option(
        ["--beside"],
        type=click.Choice(get_args(Mode)),
        help="Another mode, whose episodes take turns with those of --mode.",
    ),
    click.Option(
        ["--plot", "plot_file"], type=options.OutputFile(), help="Draw the curves with intervals into this file."
    ),
)
