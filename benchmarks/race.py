"""Two runs of one game of chess, shown while they go on: side by side on a terminal, otherwise a line for each move."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import chess
from rich.columns import Columns
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from spec_envs.benchmarks.episodes import Step
from spec_envs.chess.games import RecordedGame

if TYPE_CHECKING:
    from rich.console import Console

#: The runs, from left to right.
RUNS = ("plain", "speculative")
#: How many of the last moves a terminal shows.
_SHOWN = 6


class Race:
    """Shows both runs of ``record``; it is used in a ``with`` while they go on, from any thread."""

    def __init__(self, screen: Console, record: RecordedGame) -> None:
        self._screen = screen
        self._record = record
        self._lock = threading.Lock()
        self._times: dict[str, list[float]] = {name: [] for name in RUNS}
        self._live = Live(console=screen, auto_refresh=False) if screen.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def start(self, name: str) -> Callable[[Step], None]:
        """Begin to show a run; returns the function to call with each of its steps."""
        begin, times = time.perf_counter(), self._times[name]

        def on_step(step: Step) -> None:
            now = time.perf_counter() - begin
            with self._lock:
                new = range(len(times), len(step.observation["history"].split()))
                times.extend(now for _ in new)
                if self._live is not None:
                    self._live.update(Columns([self._panel(each) for each in RUNS]), refresh=True)
                elif new:
                    moves = "  ".join(numbered(self._record, number) for number in new)
                    self._screen.print(f"{name:11} {now:6.1f} s  {moves}")

        return on_step

    def _panel(self, name: str) -> Panel:
        times = self._times[name]
        position = chess.Board(self._record.start_fen)
        for ply in self._record.plies[: len(times)]:
            position.push_uci(ply.move)
        board = position.unicode(invert_color=True, empty_square="·")
        first = max(0, len(times) - _SHOWN)
        lines = [f"{times[number]:5.1f} s  {numbered(self._record, number)}" for number in range(first, len(times))]
        head = f"{len(times)} moves" + (f" in {times[-1]:.1f} s" if times else "")
        text = "\n".join([board, "", head, *lines, *[""] * (_SHOWN - len(lines))])
        return Panel(Text(text), title=name, width=30)


def numbered(record: RecordedGame, number: int) -> str:
    """A move with its number, as chess players write it."""
    return f"{number // 2 + 1}{'.' if number % 2 == 0 else '...'} {record.plies[number].move}"
