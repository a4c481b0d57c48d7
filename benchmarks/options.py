"""Options that several commands have: files to read and to write, and what every experiment can be told."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

#: What adds an option to a command.
Option = Callable[[Callable[..., Any]], Callable[..., Any]]

#: A file that must be there.
FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


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
    """A command whose repeatable options take all the arguments up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse ``--games a b`` as ``--games a --games b``, which click understands."""
        for param in self.params:
            if isinstance(param, click.Option) and param.multiple:
                args = _repeated(args, param.opts[0])
        return super().parse_args(ctx, args)


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


# The options of every experiment, so that they are spelled and explained alike.
k = click.option("--k", type=click.IntRange(min=1), default=3, show_default=True, help="Guesses for one call.")
clock = click.option(
    "--clock",
    type=click.Choice(["virtual", "wall"]),
    default="virtual",
    show_default=True,
    help="virtual: seconds of waiting pass in no time. wall: threads wait for them.",
)
seed = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything that draws."
)
json_file = click.option(
    "--json", "json_file", type=OutputFile(), help="Write JSON here (-: standard output), and no table."
)


def max_inflight(default: str) -> Option:
    """``--max-inflight``, with what stands for it when it is not given."""
    help_text = f"Speculative calls at once.  [default: {default}]"
    return click.option("--max-inflight", type=click.IntRange(min=0), help=help_text)


def speed(default: float) -> Option:
    """``--speed``."""
    return click.option(
        "--speed",
        type=click.FloatRange(min=0, min_open=True),
        default=default,
        show_default=True,
        help="With --clock wall: seconds of the experiment in one second.",
    )
