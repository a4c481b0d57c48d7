"""What the command line prints: tables for people, JSON for programs, and progress while people wait."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
import statistics
import string
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich import box
from rich.console import Console, Group
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from rich.console import JustifyMethod, RenderableType


T = TypeVar("T")

#: The width of tables where there is no terminal.
_PLAIN_WIDTH = 80
#: How often a line says how far a command is, where there is no terminal.
_LINE_S = 10.0


def console(*, stderr: bool = False) -> Console:
    """Where to print. Without a terminal: plain text of a fixed width, so that piped output is always the same."""
    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=_PLAIN_WIDTH)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, footer: Sequence[str] = ()) -> Group:
    """A table for ``console()``; the first column is text, the others are figures.

    On a narrow terminal, headings and cells are broken between words, and within a word only if nothing else helps.
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
        padding=(0, between - 1, 0, 0),  # besides the space between columns
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


class _MissingError(Exception):
    """A figure does not exist."""


class _Cell(string.Formatter):
    """Formats figures as ``str.format`` does: 0 for one that is not named, and "-" in all if one is ``None``."""

    def cell(self, text: str, figures: Mapping[str, Any]) -> str:
        """The text of a cell, such as ``"x{tokens:.2f}"``."""
        try:
            return self.vformat(text, (), figures)
        except _MissingError:
            return "-"

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The figure, such as ``calls[wasted]``."""
        try:
            return super().get_field(field_name, args, kwargs)
        except KeyError:
            return 0, field_name

    def format_field(self, value: Any, format_spec: str) -> Any:
        """The figure as text; the format ``yes`` is that of ``yes_or_no``."""
        if value is None:
            raise _MissingError
        if isinstance(value, str):
            return value
        return yes_or_no(value) if format_spec == "yes" else super().format_field(value, format_spec)


def table_of(
    title: str, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]], footer: Mapping[str, Any] | None = None
) -> Group:
    """A table of figures.

    Args:
        title: The title.
        columns: The format of the cells of each column, by its heading, such as ``"{saved:.1%}"``.
        rows: The figures of each row, by the names in the formats.
        footer: The figures of the last row.
    """

    def cells(figures: Mapping[str, Any]) -> list[str]:
        return [_Cell().cell(cell, figures) for cell in columns.values()]

    return table(title, tuple(columns), list(map(cells, rows)), footer=cells(footer) if footer else ())


def _widths(widest: Sequence[int], least: Sequence[int], room: int) -> Sequence[int | None]:
    """Widths of columns, each narrowed as far as its words allow; ``None`` if words have to be broken."""
    if sum(least) > room:
        return [None] * len(least)
    widths = list(widest)
    while sum(widths) > room:
        spare = [width - fewest for width, fewest in zip(widths, least, strict=True)]
        widths[spare.index(max(spare))] -= 1
    return widths


#: As long as something is in here, ``progress`` shows nothing.
_hidden: list[None] = []


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[..., None]]:
    """Show on standard error how far the block is; yields the function that advances it by one.

    On a terminal this is a bar, elsewhere a line every ten seconds. Inside of another such block nothing is shown. The
    function ignores its arguments, so that it can be a callback.
    """
    with weighed_progress(what, [1.0] * total) as advance:
        yield lambda *_: advance(1.0)


@contextlib.contextmanager
def weighed_progress(what: str, weights: Sequence[float]) -> Iterator[Callable[[float], None]]:
    """As ``progress``, for parts of work that take differently long; the function is told the weight of a part."""
    if _hidden:
        yield lambda weight: None
        return
    terminal = console(stderr=True)
    shown = _bar if terminal.is_terminal else _lines
    with without_progress(), shown(what, weights, terminal) as advance:
        yield advance


@contextlib.contextmanager
def without_progress() -> Iterator[None]:
    """Have ``progress`` show nothing in the ``with``."""
    _hidden.append(None)
    try:
        yield
    finally:
        _hidden.pop()


@contextlib.contextmanager
def _bar(what: str, weights: Sequence[float], terminal: Console) -> Iterator[Callable[[float], None]]:
    parts = TextColumn(f"{{task.fields[parts]}}/{len(weights)}")
    columns = (TextColumn("{task.description}"), BarColumn(), parts, TimeElapsedColumn(), TextColumn("left"))
    with Progress(*columns, TimeRemainingColumn(), console=terminal, transient=True) as bar:
        task = bar.add_task(what, total=sum(weights), parts=0)
        yield lambda weight: bar.update(task, advance=weight, parts=bar.tasks[0].fields["parts"] + 1)


@contextlib.contextmanager
def _lines(what: str, weights: Sequence[float], terminal: Console) -> Iterator[Callable[[float], None]]:
    """Print every ten seconds how far the block is, from a thread, so that one long step is reported as well."""
    done: list[float] = []  # appended to by several threads, perhaps
    over, began = threading.Event(), time.monotonic()

    def report() -> None:
        while not over.wait(_LINE_S):
            so_far = time.monotonic() - began
            # By one part of many, nobody can tell: the other parts may be much shorter or longer.
            is_known = len(done) > 1 or len(done) == len(weights) - 1
            left = f", about {so_far * (sum(weights) / sum(done) - 1):.0f} s left" if sum(done) and is_known else ""
            parts = f": {len(done)} of {len(weights)}" if len(weights) > 1 else ""
            click.echo(f"{what}{parts} after {so_far:.0f} s{left}", err=True)

    thread = threading.Thread(target=report, name="progress of spec-envs", daemon=True)
    thread.start()
    try:
        yield done.append
    finally:
        over.set()
        thread.join()


def watched(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """The ``items`` one by one, with ``progress`` while they are worked on."""
    with progress(what, total) as advance:
        for item in items:
            yield item
            advance()


def collected(results: Iterable[T], what: str, total: int) -> list[T]:
    """All ``results``, with ``progress`` while they come."""
    return list(watched(results, what, total))


def percent(share: float | None, digits: int = 1) -> str:
    """A share between 0 and 1 in percent, and "-" for a figure that does not exist."""
    return "-" if share is None else f"{share:.{digits}%}"


def yes_or_no(share: float | None) -> str:
    """Whether something holds in all episodes, such as that they were lossless; "-" where nobody has looked.

    Args:
        share: The share of the episodes in which it holds, between 0 and 1.
    """
    if share is None:
        return "-"
    return "yes" if share == 1 else "no" if share == 0 else f"no: only {share:.1%}"


def outcomes(counts: Mapping[str, float]) -> str:
    """How often each outcome occurred, without those that did not."""
    shown = {
        name: f"{count:,}" if isinstance(count, int) else f"{count:.3g}" for name, count in counts.items() if count
    }
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in shown.items()) or "none"


def mean_of_rows(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean of every figure, also of figures in mappings. Rows in which a figure is ``None`` do not count for it.

    Where the rows say what tokens they have spent, ``tokens_pooled`` is the ratio of all tokens together.
    """
    mean: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name, 0) for row in rows]  # an outcome that is not named did not occur
        known = [value for value in values if value is not None]
        if known and isinstance(known[0], dict):
            mean[name] = mean_of_rows(known)
        elif not known or not isinstance(known[0], str):
            mean[name] = statistics.fmean(known) if known else None
    if mean.get("tokens"):
        mean["tokens_pooled"] = mean["tokens_spent"] / mean["tokens"]
    return mean


def tokens_text(mean: Mapping[str, Any]) -> str:
    """What runs cost in tokens, in a sentence; ``mean`` is their mean, by ``mean_of_rows``."""
    if mean.get("tokens_full") is None:
        return "Tokens: unknown, as no call tells what it used."
    return (
        f"Tokens, relative to no speculation: x{mean['tokens_partial']:.2f}, or x{mean['tokens_full']:.2f} with "
        f"cancelled calls charged in full, in the mean of the runs; x{mean['tokens_pooled']:.2f} of all runs "
        f"together, in full."
    )


def mean_of(entries: Sequence[DataclassInstance]) -> dict[str, Any]:
    """``mean_of_rows`` of dataclasses."""
    return mean_of_rows([dataclasses.asdict(entry) for entry in entries])


def config_of(settings: DataclassInstance, **more: Any) -> dict[str, Any]:
    """What produced the figures of a report: the settings, ``more``, and the versions of the packages used."""
    versions = {name: metadata.version(name) for name in ("spec-envs", "chess", "gymnasium")}
    versions |= {"python": platform.python_version(), "machine": platform.machine()}
    config = {**dataclasses.asdict(settings), **more, "versions": versions}
    return {name: str(value) if isinstance(value, Path) else value for name, value in config.items()}


def publish(
    json_file: Path | None,
    run: Callable[[], dict[str, Any]],
    show: Callable[[dict[str, Any]], Iterable[RenderableType]],
) -> None:
    """Write a report to a file as JSON (``-``: to standard output), or print it for a person if there is no file.

    Args:
        json_file: The file; ``None``: print, and show progress before. What libraries print while the report is made
            goes to standard error, so that standard output is the report alone.
        run: Makes the report.
        show: What is printed of it: tables, and texts, which are wrapped between words on a terminal only.
    """
    if json_file is not None:
        with without_progress(), contextlib.redirect_stdout(sys.stderr):
            report = run()
        write_text(json.dumps(report, indent=2, allow_nan=False), json_file)
        return
    out = console()
    for each in show(run()):
        out.print(each, markup=False, soft_wrap=isinstance(each, str) and not out.is_terminal)


def write_text(text: str, target: Path) -> None:
    """Write ``text`` to a file, or to standard output if ``target`` is ``-``."""
    if str(target) == "-":
        click.echo(text)
    else:
        target.write_text(text + "\n", encoding="utf-8")
