"""The command ``spec-envs``, with all commands except those of servers (``serve.py``) and of the proxy (``proxy.py``).

An error of the library is shown as one line; the exit code is 2 for an input that cannot be used, and 1 for a run that
failed.

``spec-envs bench NAME`` runs the experiment in the folder ``benchmarks/NAME``. The ``__init__`` of the folder has the
settings: their docstring is the help of the command, and their fields are its options. The module ``run`` has two
functions: ``run(settings)`` returns the report, which is also what ``--json`` writes, and ``show(report, settings)``
yields what is printed of the report.
"""

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import click
from gymnasium.error import DependencyNotInstalled

from spec_envs.benchmarks import options
from spec_envs.benchmarks.all import AllSettings
from spec_envs.benchmarks.chess import ChessSettings
from spec_envs.benchmarks.guard import GuardSettings
from spec_envs.benchmarks.guess import GuessSettings
from spec_envs.benchmarks.listening import ListeningSettings
from spec_envs.benchmarks.mcp_proxy import McpProxySettings
from spec_envs.benchmarks.options import DialSettings, Settings, SpeculationSettings, options_of, setting
from spec_envs.benchmarks.overhead import OverheadSettings
from spec_envs.benchmarks.plan import PlanSettings
from spec_envs.benchmarks.proxy import mcp_proxy
from spec_envs.benchmarks.retail import RetailSettings
from spec_envs.benchmarks.scale import ScaleSettings
from spec_envs.benchmarks.search import SearchSettings
from spec_envs.benchmarks.search_web import SearchWebSettings
from spec_envs.benchmarks.serve import serve_model, shop, wiki
from spec_envs.benchmarks.served_chess import ServedChessSettings
from spec_envs.benchmarks.tools import ToolsSettings
from spec_envs.benchmarks.tuning import TuningSettings
from spec_envs.benchmarks.worlds import WorldsSettings
from spec_envs.errors import InvalidConfiguration, SpecEnvsError
from spec_envs.wrappers import Certificate


class _BadInput(click.ClickException):
    exit_code = 2


class Commands(options.Group):
    """A group that shows errors without a traceback, except those that are bugs of this package."""

    group_class = options.Group

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (InvalidConfiguration, DependencyNotInstalled) as error:
            raise _BadInput(str(error)) from error
        except SpecEnvsError as error:
            raise click.ClickException(f"{type(error).__name__}: {error}") from error
        except OSError as error:
            if error.filename is None:
                raise  # such as a BrokenPipeError, which click handles: the program that read our output has ended
            raise _BadInput(f"{error.filename}: {error.strerror}") from error


@click.group(cls=Commands)
@click.version_option(package_name="spec-envs")
def main() -> None:
    """Agents made faster by lossless speculation: a demonstration, and measurements."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Demo(SpeculationSettings):
    game: Path | None = setting(None, "File with a recorded game.", type=options.FILE, default_text="a made-up game")
    plies: int | None = setting(None, "Half moves.", ge=1, default_text="30, or the whole game if it is shorter")
    speed: float | None = setting(
        None, "Recorded seconds in one real second.", gt=0, default_text="so that the plain run takes 10 s"
    )
    max_inflight: int | None = options.max_inflight(8)
    out: Path = setting(Path("out"), "Folder for the report.", type=click.Path(file_okay=False, path_type=Path))
    open: bool = setting(False, "Open the report in a browser.", flag=True)


@main.command()
@options_of(_Demo)
def demo(**settings: Any) -> None:
    """Show what speculation saves: a few episodes of four environments, then a game of chess, live, side by side.

    Needs no key and no data. The players of chess are slow; Stockfish guesses their moves if it is installed,
    otherwise the built-in engine. Writes a report that opens from disk.
    """
    from spec_envs.benchmarks.demo import run

    run(**settings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Play(SpeculationSettings):
    agent_seconds: float = setting(3.0, "How long the agent thinks about an action.", ge=0)


@main.group()
def play() -> None:
    """Play yourself, at the terminal: the agent works ahead on what you are likely to type."""


@play.command()
@click.option("--plies", type=click.IntRange(min=1), help="End after this many half moves.  [default: play to the end]")
@options_of(_Play)
def chess(plies: int | None, **settings: Any) -> None:
    """Play black against an engine that takes its time."""
    from spec_envs.benchmarks.play import play_chess

    play_chess(plies, **settings)


@play.command("retail")
@click.option(
    "--task", default="test-3", show_default=True, help="A generated task: train-0 … 139, dev-0 … 19, test-0 … 59."
)
@options_of(_Play)
def play_shop(task: str, **settings: Any) -> None:
    """Play a customer of the shop; the agent is scripted, and takes its time."""
    from spec_envs.benchmarks.play import play_retail

    play_retail(task, **settings)


@main.group("chess")
def chess_group() -> None:
    """The chess environment: fit the model of the moves that players choose."""


@chess_group.command(
    "fit-moves",
    params=options.games(
        "Recorded games (JSON), or PGN files (.pgn) with any number of games. Every move of both sides is learned."
    ),
)
@click.option(
    "--stockfish/--no-stockfish", default=True, show_default=True, help="Whether Stockfish ranks the moves as well."
)
@click.option(
    "--l2",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Penalty on large weights: more for fewer games.",
)
@click.option("--out", type=options.OutputFile(), default="-", show_default=True, help="File to write (-: stdout).")
def fit_moves(games: tuple[Path, ...], more_games: tuple[Path, ...], stockfish: bool, l2: float, out: Path) -> None:
    """Fit the model of `MoveModelGuesser` to games of the players that are to be guessed."""
    from spec_envs.benchmarks import fit

    fit.fit_moves([*games, *more_games], out, stockfish=stockfish, l2=l2)


@main.group()
def search() -> None:
    """The search environment: fit the model of the actions that agents choose."""


@search.command("fit-actions")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the fit.")
@click.option("--out", type=options.OutputFile(), default="-", show_default=True, help="File to write (-: stdout).")
def fit_actions(seed: int, out: Path) -> None:
    """Fit the weights that `SearchGuesser` begins with to actions of the scripted agent."""
    from spec_envs.benchmarks import fit

    fit.fit_actions(out, seed)


@main.group()
def retail() -> None:
    """The retail environment: check it against tau-bench and τ³-bench, and that speculation changes nothing."""


_retail_data = click.option(
    "--data",
    default="embedded",
    show_default=True,
    help='"embedded", or a folder with the data of tau-bench or τ³-bench.',
)
_retail_tasks = click.option(
    "--tasks",
    help='"embedded", or a JSON file with tasks.  [default: embedded, or tasks.json or the only tasks*.json in --data]',
)


@retail.command()
@_retail_data
@_retail_tasks
@click.option(
    "--json",
    "json_file",
    type=options.OutputFile(),
    default="-",
    show_default=True,
    help="File to write (-: standard output).",
)
def replay(data: str, tasks: str | None, json_file: Path) -> None:
    """Replay gold actions of tasks; write the outputs of the tools, and the benchmark's hash of the data at the end."""
    from spec_envs.benchmarks import checks

    checks.write_replay(data, tasks, json_file)


@retail.command("certify")
@click.option("--seeds", type=click.IntRange(min=1), default=200, show_default=True, help="Episodes to compare.")
@click.option(
    "--learn",
    type=click.IntRange(min=1),
    default=40,
    show_default=True,
    help="Tasks that the guessers learn from beforehand.",
)
@_retail_data
@_retail_tasks
def certify_retail(seeds: int, learn: int, data: str, tasks: str | None) -> None:
    """Compare episodes with and without speculation; exit code 1 if they differ.

    In the embedded shop the agent is scripted; in the tasks of a benchmark, the agent takes the gold actions.
    """
    from spec_envs.benchmarks import checks

    _tell(checks.certify_retail(range(seeds), learn, data, tasks))


def _tell(certificate: Certificate, what: str = "") -> None:
    click.echo(f"{what}{certificate}")
    if not certificate:
        raise click.exceptions.Exit(1)


@main.group()
def tuning() -> None:
    """The tuning environment: put back what it changed on this machine, and check that speculation changes nothing."""


@tuning.command()
@click.option("--journal", type=options.FOLDER, help="Folder of the journal.  [default: that of the user]")
def restore(journal: Path | None) -> None:
    """Put back every setting that a killed run has left changed."""
    from spec_envs.tuning.journal import Journal

    with Journal(journal) as opened:
        for path, value in opened.restored.items():
            click.echo(f"{path} is {value!r} again")
        if not opened.restored:
            click.echo("nothing was left changed")


@tuning.command("certify")
@click.option("--seeds", type=click.IntRange(min=1), default=100, show_default=True, help="Episodes to compare.")
def certify_tuning(seeds: int) -> None:
    """Compare simulated episodes with and without speculation, step by step; exit code 1 if they differ."""
    from spec_envs.benchmarks import checks
    from spec_envs.tuning.models import Surface
    from spec_envs.tuning.round_robin import RoundRobin

    for workload in (RoundRobin(), Surface(6)):
        _tell(checks.certify_tuning(workload, range(seeds)), f"{workload.name}: ")


@main.command(help=PlanSettings.__doc__)
@click.argument("traces", nargs=-1, type=options.FILE, metavar="[FILE...]")
@options_of(PlanSettings)
@options.json_file
def plan(traces: tuple[Path, ...], json_file: Path | None, **settings: Any) -> None:
    """Predict; the help is that of the settings."""
    from spec_envs.benchmarks.plan.run import run, show
    from spec_envs.benchmarks.reports import publish

    chosen = PlanSettings(**settings)
    publish(json_file, lambda: run(chosen, traces), lambda report: show(report, chosen))


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE...")
@click.option("--out", type=options.OutputFile(), help="Page to write (-: stdout).  [default: trace.html]")
@click.option("--follow", is_flag=True, help="Show a running program live; FILE is written by its `Trace.stream`.")
def trace(files: tuple[Path, ...], out: Path | None, follow: bool) -> None:
    """Make a page of traces that opens from disk: timelines that show each call, its reason and its outcome.

    Each FILE was written by `Trace.to_jsonl`.
    """
    from spec_envs.benchmarks import trace as traces

    if not follow:
        if missing := [str(file) for file in files if not file.is_file()]:
            raise InvalidConfiguration(f"there is no file {', '.join(missing)}")
        traces.run(files, out or Path("trace.html"))
        return
    if out is not None:
        raise InvalidConfiguration(
            "--follow shows the trace in the terminal and writes no page: leave out --out, or make the page of the "
            "finished trace without --follow"
        )
    first, *others = files
    if others:
        raise InvalidConfiguration(f"--follow takes one file, not {len(files)}")
    traces.follow(first)


# -- bench: the experiments --------------------------------------------------------------------------------------------


@main.group()
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
    """Compare two results of bench all, and show the figures that changed by more than their intervals.

    FIRST and SECOND are output folders of bench all (--out), or the files results.json in these folders.
    """
    from spec_envs.benchmarks.all.compare import run, show
    from spec_envs.benchmarks.reports import publish

    publish(json_file, lambda: run(first, second), lambda report: show(report, everything=everything))


_add(ChessSettings, *options.games("Recorded games."))
for each in (
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


for command in (mcp_proxy, serve_model, shop, wiki):
    main.add_command(command)


if __name__ == "__main__":
    main()
