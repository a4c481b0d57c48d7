"""``spec-envs trace``: a page with the timelines of traces, or a running program's trace in the terminal."""

from __future__ import annotations

import collections
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from spec_envs.benchmarks.reports import console
from spec_envs.errors import InvalidConfiguration
from spec_envs.pages import Timeline, page, timelines

Event = dict[str, Any]


def run(files: Sequence[Path], out: Path) -> None:
    """Write the page of the traces in ``files`` to ``out``.

    Raises:
        InvalidConfiguration: A file is not a trace, or no episode is in them.
    """
    episodes = [episode for file in files for episode in timelines(_events(file), file.stem, f"From {file.name}.")]
    if not episodes:
        raise InvalidConfiguration(f"{', '.join(map(str, files))}: no call was started in these traces")
    title = f"Episodes in {files[0].name}" if len(files) == 1 else f"{len(files)} traces"
    text = page(title, episodes)
    if str(out) == "-":
        click.echo(text)
        return
    out.write_text(text, encoding="utf-8")
    console().print(f"{out}: {len(episodes)} {'episode' if len(episodes) == 1 else 'episodes'}", soft_wrap=True)


def _events(file: Path) -> Iterator[Event]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _event(file, number, line)


def _event(file: Path, number: int, line: str) -> Event:
    try:
        event = json.loads(line)
    except ValueError as error:
        raise InvalidConfiguration(
            f"{file}, line {number} is not JSON ({error}); give a file of Trace.to_jsonl"
        ) from None
    if not isinstance(event, dict) or not {"kind", "time_s"} <= event.keys():
        raise InvalidConfiguration(f"{file}, line {number} is not an event of a trace; give a file of Trace.to_jsonl")
    return event


# -- a running program -----------------------------------------------------------------------------------------------

_SHOWN = 12
_POLL_S = 0.2


def follow(file: Path) -> None:
    """Show what a running program writes to ``file`` (``Trace.stream``), until Ctrl-C; first wait for the file."""
    screen = console()
    watched = Watched()
    live = Live(console=screen, refresh_per_second=8) if screen.is_terminal else None
    try:
        if live is None:
            screen.print(f"following {file}; end with Ctrl-C", soft_wrap=True)
        if not file.exists():
            screen.print(f"waiting for {file}, which a program is to write by Trace.stream", soft_wrap=True)
        while not file.exists():
            time.sleep(_POLL_S)
        with file.open(encoding="utf-8") as lines:
            if live is not None:
                live.start()
            _follow(file, lines, watched, live)
    except KeyboardInterrupt:
        pass
    finally:
        if live is not None:
            live.stop()


def _follow(file: Path, lines: Any, watched: Watched, live: Live | None) -> None:
    number, rest = 0, ""
    while True:
        rest += lines.readline()
        if not rest.endswith("\n"):  # the program is still writing the line
            if live is not None:
                live.update(watched.picture())
            time.sleep(_POLL_S)
            continue
        number += 1
        said = watched.see(_event(file, number, rest))
        rest = ""
        if live is None and said:
            click.echo(said)


class Watched:
    """A running program's calls in flight and last commits, by the events so far."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._open: dict[int, Event] = {}
        self._commits: collections.deque[str] = collections.deque(maxlen=_SHOWN)
        self._zero = self._now = 0.0

    def see(self, event: Event) -> str | None:
        """Take in one event; returns a line about it if the episode has moved on."""
        if event["kind"] == "reset":
            self._events, self._zero = [], event["time_s"]
            self._open.clear()
            self._commits.clear()
        self._events.append(event)
        self._now = event["time_s"]
        if event["kind"] == "start":
            self._open[event["call"]] = event
        elif event["kind"] == "end":
            self._open.pop(event["call"], None)
        elif event["kind"] == "commit":
            return self._say()
        return None

    @property
    def timeline(self) -> Timeline | None:
        """The episode under way."""
        found = timelines(self._events)
        return found[-1] if found else None

    def _say(self) -> str:
        episode = self.timeline
        assert episode is not None
        last = episode.commits[-1]
        how = {"hit": "guessed", "miss": "not guessed", "unguessed": "no guess"}[last.outcome]
        saved = 1 - episode.seconds / episode.plain_seconds if episode.plain_seconds else 0.0
        line = f"{last.time:8.2f} s  {last.handler:10} {how:11} saved {saved:6.1%}  {last.response or ''}"
        self._commits.append(line[:160])
        return line[:160]

    def picture(self) -> Group:
        """The calls in flight and the last commits."""
        flight = Table("call in flight", "since", "made ahead", "likely", "query", box=None)
        for event in [*self._open.values()][-_SHOWN:]:
            likely = event.get("probability")
            flight.add_row(
                event["handler"],
                f"{self._now - event['time_s']:.1f} s",
                "yes" if event.get("speculative") else "no",
                "" if likely is None else f"{likely:.0%}",
                str(event.get("query") or "")[:50],
            )
        head = Text(f"{self._now - self._zero:.1f} s, {len(self._open)} calls in flight", style="bold")
        return Group(head, flight, *(Text(line, no_wrap=True) for line in self._commits))
