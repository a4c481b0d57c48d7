"""The command ``spec-envs``.

What a command needs is imported when it runs, so that ``--help`` is quick. An error of the library is shown as one
line; the exit code is 2 for an input that cannot be used, and 1 for a run that failed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


class _Failed(click.ClickException):
    exit_code = 1


class _BadInput(click.ClickException):
    exit_code = 2


class Commands(click.Group):
    """A group that shows what went wrong without a traceback, unless it is our own fault."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            failure = _failure(error)
            if failure is None:
                raise
            raise failure from error


def _failure(error: Exception) -> click.ClickException | None:
    from gymnasium.error import DependencyNotInstalled

    from spec_envs.errors import InvalidConfiguration, SpecEnvsError

    if isinstance(error, InvalidConfiguration | DependencyNotInstalled):
        return _BadInput(str(error))
    if isinstance(error, BrokenPipeError):
        return None  # click's business: whoever read our output has stopped
    if isinstance(error, OSError) and error.filename is not None:
        return _BadInput(f"{error.filename}: {error.strerror}")
    return _Failed(f"{type(error).__name__}: {error}") if isinstance(error, SpecEnvsError) else None


class OutputFile(click.Path):
    """A file to write, or ``-``; refused before the work is done if it could not be written after it."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, allow_dash=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if str(path) != "-" and not path.parent.is_dir():
            self.fail(f"there is no folder {str(path.parent)!r}.", param, ctx)
        return path


class ManyFiles(click.Command):
    """A command whose option ``--games`` takes all the arguments up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse ``--games a b`` as ``--games a --games b``, which click understands."""
        return super().parse_args(ctx, _repeated(args, "--games"))


def _repeated(args: Sequence[str], option: str) -> list[str]:
    result: list[str] = []
    taking = given = False
    for arg in args:
        if arg.startswith("-") and arg != "-":
            taking = arg == option or arg.startswith(f"{option}=")
            given = not taking or arg != option
        elif taking and given:
            result.append(option)
        else:
            given = True
        result.append(arg)
    return result


@click.group(cls=Commands)
@click.version_option(package_name="spec-envs")
def main() -> None:
    """Agents made faster by lossless speculation: a demonstration, and measurements."""


@main.group()
def bench() -> None:
    """Measure what speculation saves, and what it costs."""


@bench.command(cls=ManyFiles)
@click.option("--games", type=_FILE, multiple=True, required=True, metavar="FILE...", help="Recorded games.")
@click.option("--plies", type=click.IntRange(min=1), default=30, show_default=True, help="Half moves of each game.")
@click.option(
    "--guesses",
    type=click.Choice(["recorded", "stockfish", "builtin", "union"]),
    default="stockfish",
    show_default=True,
    help="Who guesses: the record, Stockfish, the built-in engine, or both engines in union. On the virtual clock a "
    "guess of Stockfish is charged 1 ms, one of the built-in engine 5 ms.",
)
@click.option("--k", type=click.IntRange(min=1), default=3, show_default=True, help="Guesses for one call.")
@click.option(
    "--max-inflight",
    type=click.IntRange(min=0),
    help="Speculative calls at once.  [default: 4; with --rules paper: k]",
)
@click.option("--max-depth", type=click.IntRange(min=0), help="Responses ahead.  [default: any number]")
@click.option(
    "--rules",
    type=click.Choice(["tree", "paper"]),
    default="tree",
    show_default=True,
    help="paper: depth 1, and a call that was started ahead is not guessed (arXiv 2510.04371, Algorithm 1).",
)
@click.option(
    "--clock",
    type=click.Choice(["virtual", "wall"]),
    default="virtual",
    show_default=True,
    help="virtual: recorded seconds pass in no time. wall: threads wait for them, at --speed.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=2000.0,
    show_default=True,
    help="With --clock wall: recorded seconds in one second.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything that draws.")
@click.option(
    "--min-probability",
    type=click.FloatRange(min=0, max=1),
    default=0.003,
    show_default=True,
    help="Branches less probable than this are not followed (tree). Smaller saves a little more time where "
    "--max-inflight is large, for many more calls.",
)
@click.option("--json", "json_file", type=OutputFile(), help="Write JSON here (-: standard output), and no table.")
def chess(games: tuple[Path, ...], json_file: Path | None, **settings: Any) -> None:
    """Replay recorded games through SpeculativeWrapper, and compare with the time that they took."""
    from spec_envs.benchmarks.chess_report import run

    run(games, settings, json_file)


@bench.command()
@click.option("--json", "json_file", type=OutputFile(), help="Write JSON here (-: standard output), and no table.")
def overhead(json_file: Path | None) -> None:
    """Measure what the machinery itself costs: forks, steps, replays, and 200 wrappers at once (about a minute)."""
    from spec_envs.benchmarks.overhead import run

    run(json_file)


@bench.command()
@click.option("--trajectories", type=_FILE, required=True, help="Recorded conversations: tau-bench's JSON, or ours.")
@click.option("--train", type=_FILE, help="Learn from this file.  [default: from the other tasks of --trajectories]")
@click.option("--guesser", type=click.Choice(["pattern"]), default="pattern", show_default=True, help="Who guesses.")
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True, help="Without --train: parts.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the guesser.")
@click.option("--json", "json_file", type=OutputFile(), help="Write JSON here (-: standard output), and no table.")
def guess(trajectories: Path, json_file: Path | None, **options: Any) -> None:
    """Count how often the next tool call of recorded conversations is among the first guesses."""
    from spec_envs.benchmarks.guess import run

    run(trajectories, json_file=json_file, **options)


@main.command()
@click.option("--game", type=_FILE, help="A recorded game.  [default: one made up for the occasion]")
@click.option("--plies", type=click.IntRange(min=1), help="Half moves.  [default: 30, or the whole game if shorter]")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    help="Recorded seconds in one second.  [default: so that the plain run takes 10 s]",
)
@click.option("--k", type=click.IntRange(min=1), default=3, show_default=True, help="Guesses for one call.")
@click.option(
    "--max-inflight", type=click.IntRange(min=0), default=8, show_default=True, help="Speculative calls at once."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="out",
    show_default=True,
    help="Folder for the trace.",
)
def demo(**options: Any) -> None:
    """Replay a game of chess between two slow players: plainly, and then with speculation.

    Needs no key, data or Stockfish (which guesses if it is there; else the built-in engine does).
    """
    from spec_envs.benchmarks.demo import run

    run(**options)


@main.group()
def retail() -> None:
    """The retail environment: check it against tau-bench."""


@retail.command("replay")
@click.option("--data", default="embedded", show_default=True, help='"embedded", or a folder with tau-bench\'s data.')
@click.option("--tasks", default="embedded", show_default=True, help='"embedded", or a JSON file with tasks.')
@click.option(
    "--json",
    "json_file",
    type=OutputFile(),
    default="-",
    show_default=True,
    help="Where to write (-: standard output).",
)
def retail_replay(data: str, tasks: str, json_file: Path) -> None:
    """Replay the gold actions of tasks: what the tools answer, and tau-bench's hash of the data in the end."""
    from spec_envs.benchmarks.retail_replay import run

    run(data, tasks, json_file)


if __name__ == "__main__":
    main()
