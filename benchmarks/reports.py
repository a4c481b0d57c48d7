"""What the command line prints: tables for people, JSON for programs, progress for the impatient."""

from __future__ import annotations

import dataclasses
import json
import platform
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from _typeshed import DataclassInstance
    from rich.console import JustifyMethod

#: Width of tables where there is no terminal to ask for its own.
_PLAIN_WIDTH = 120


def console(*, stderr: bool = False) -> Console:
    """Where to print. Without a terminal: plain text of a fixed width, so that what is piped does not depend on it."""
    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=_PLAIN_WIDTH)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, footer: Sequence[str] = ()) -> Group:
    """A table for ``console()``; the first column is text, the others are figures.

    Headings and cells are broken between words where it is narrow, and within a word only where nothing else helps.
    """
    lines = [columns, *rows, *([footer] if footer else [])]
    widest = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    least = [max(len(word) for cell in cells for word in cell.split() or [""]) for cells in zip(*lines, strict=True)]
    width = console().width
    between = 2 if sum(least) + 2 * (len(columns) - 1) <= width else 1
    widths = _widths(widest, least, width - between * (len(columns) - 1))
    result = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, between - 1, 0, 0),  # beside the one that parts the columns
    )
    for number, column in enumerate(columns):
        justify: JustifyMethod = "left" if number == 0 else "right"
        result.add_column(column, justify=justify, overflow="fold", vertical="bottom", width=widths[number])
    for row in rows:
        result.add_row(*row)
    if footer:
        result.add_section()
        result.add_row(*footer, style="bold")
    return Group(Text(title, style="bold"), result)


def _widths(widest: Sequence[int], least: Sequence[int], room: int) -> Sequence[int | None]:
    """Widths of columns, taken from where most can be spared; ``None`` if words have to be broken."""
    if sum(least) > room:
        return [None] * len(least)
    widths = list(widest)
    while sum(widths) > room:
        spare = [width - fewest for width, fewest in zip(widths, least, strict=True)]
        widths[spare.index(max(spare))] -= 1
    return widths


@contextmanager
def progress(what: str, total: int, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal's standard error, gone when done; yields what to tell how much is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    terminal = console(stderr=True)
    with Progress(*columns, console=terminal, transient=True, disable=not (shown and terminal.is_terminal)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def mean_of_rows(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean of every figure, of those in mappings too. One that is ``None`` in a row does not count there."""
    mean: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name, 0) for row in rows]  # an outcome that is not named did not occur
        known = [value for value in values if value is not None]
        if known and isinstance(known[0], dict):
            mean[name] = mean_of_rows(known)
        elif not known or not isinstance(known[0], str):
            mean[name] = statistics.fmean(known) if known else None
    return mean


def mean_of(entries: Sequence[DataclassInstance]) -> dict[str, Any]:
    """``mean_of_rows`` of dataclasses."""
    return mean_of_rows([dataclasses.asdict(entry) for entry in entries])


def versions() -> dict[str, str]:
    """What a figure may depend on besides the settings."""
    packages = {name: metadata.version(name) for name in ("spec-envs", "chess", "gymnasium")}
    return packages | {"python": platform.python_version(), "machine": platform.machine()}


def write_json(data: dict[str, Any], target: Path) -> None:
    """Write ``data`` to a file, or to standard output if that is ``-``."""
    text = json.dumps(data, indent=2, allow_nan=False)
    if str(target) == "-":
        click.echo(text)
    else:
        target.write_text(text + "\n", encoding="utf-8")
