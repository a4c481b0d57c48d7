"""``spec-envs bench NAME`` runs the experiment in the folder ``benchmarks/NAME``.

Its ``__init__`` has the settings, whose docstring is the help of the command, and whose fields are the options. Its
module ``run`` has two functions: ``run(settings)`` returns the report, which is also what ``--json`` writes, and
``show(report, settings)`` yields what is printed of the report.
"""

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import click

from spec_envs.benchmarks import options
from spec_envs.benchmarks.all import AllSettings
from spec_envs.benchmarks.chess import ChessSettings
from spec_envs.benchmarks.crowd import CrowdSettings
from spec_envs.benchmarks.guard import GuardSettings
from spec_envs.benchmarks.guess import GuessSettings
from spec_envs.benchmarks.listening import ListeningSettings
from spec_envs.benchmarks.mcp_proxy import McpProxySettings
from spec_envs.benchmarks.options import DialSettings, Group, Settings, options_of
from spec_envs.benchmarks.overhead import OverheadSettings
from spec_envs.benchmarks.retail import RetailSettings
from spec_envs.benchmarks.scale import ScaleSettings
from spec_envs.benchmarks.search import SearchSettings
from spec_envs.benchmarks.search_web import SearchWebSettings
from spec_envs.benchmarks.served_chess import ServedChessSettings
from spec_envs.benchmarks.tools import ToolsSettings
from spec_envs.benchmarks.tuning import TuningSettings
from spec_envs.benchmarks.worlds import WorldsSettings


@click.group(cls=Group)
def bench() -> None:
    """Measure what speculation saves, and what it costs."""


def _add(settings: type[Settings], *more: click.Parameter) -> None:
    """Add the command of an experiment, with ``more`` parameters than its settings."""

    def command(json_file: Path | None, swept: bool = False, **given: Any) -> None:
        # Late, so that --help and completion are quick.
        from spec_envs.benchmarks import sweep
        from spec_envs.benchmarks.reports import publish

        module = importlib.import_module(f"{settings.__module__}.run")
        chosen = settings(**{field.name: given.pop(field.name) for field in dataclasses.fields(settings)})
        if swept and isinstance(chosen, DialSettings):
            dial = chosen
            publish(json_file, lambda: sweep.sweep(module.run, dial, **given), sweep.show)
        else:
            publish(json_file, lambda: module.run(chosen, **given), lambda report: module.show(report, chosen))

    name = settings.__module__.rpartition(".")[2].replace("_", "-")
    command = options.json_file(command)
    if issubclass(settings, DialSettings):
        command = options.with_sweep(command)
    command = options_of(settings)(command)
    bench.command(name, help=settings.__doc__, params=list(more))(command)


@bench.command("all", help=AllSettings.__doc__)
@options_of(AllSettings)
def run_all(**given: Any) -> None:
    """Run everything; the help is that of the settings."""
    from spec_envs.benchmarks.all.run import run

    run(AllSettings(**given))


@bench.command()
@click.argument("first", type=click.Path(exists=True, path_type=Path))
@click.argument("second", type=click.Path(exists=True, path_type=Path))
@click.option("--everything", is_flag=True, help="Show all figures, and not only those that changed.")
@options.json_file
def compare(first: Path, second: Path, everything: bool, json_file: Path | None) -> None:
    """Set two results of bench all side by side, and say what changed beyond the intervals.

    FIRST and SECOND are folders that bench all was given as --out, or results.json in them.
    """
    from spec_envs.benchmarks.all.compare import run, show
    from spec_envs.benchmarks.reports import publish

    publish(json_file, lambda: run(first, second), lambda report: show(report, everything=everything))


_add(ChessSettings, *options.games("Recorded games."))
for each in (
    CrowdSettings,
    GuardSettings,
    GuessSettings,
    ListeningSettings,
    McpProxySettings,
    OverheadSettings,
    RetailSettings,
    ScaleSettings,
    SearchSettings,
    SearchWebSettings,
    ServedChessSettings,
    ToolsSettings,
    TuningSettings,
    WorldsSettings,
):
    _add(each)
