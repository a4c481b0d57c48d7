"""``spec-envs demo``: a game of chess between two slow players, first without speculation and then with it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import chess
import click
from rich.columns import Columns
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from spec_envs.benchmarks.chess import ChessSettings, Guesses
from spec_envs.benchmarks.chess.run import (
    ChessBench,
    game_name,
    made_up_game,
    moves_of,
    plain_env,
    player_of,
    sequential_seconds,
    speculative_env,
)
from spec_envs.benchmarks.episodes import Step, play, runtime_of
from spec_envs.benchmarks.reports import console, outcomes
from spec_envs.chess.engine import stockfish_is_installed
from spec_envs.chess.games import RecordedGame
from spec_envs.handling import CancelToken
from spec_envs.wrappers import Statistics

if TYPE_CHECKING:
    from rich.console import Console


_PLIES = 30
_PLAIN_S = 10.0
#: Moves that the table on a terminal shows.
_SHOWN = 18


def run(game: Path | None, plies: int | None, speed: float | None, k: int, max_inflight: int, out: Path) -> None:
    """Play, show and compare; the arguments are the options of ``spec-envs demo``.

    Raises:
        InvalidConfiguration: The file holds no game, or the game has fewer plies.
    """
    record = made_up_game(plies or _PLIES) if game is None else RecordedGame.load(game)
    plies = plies or min(_PLIES, len(record.plies))
    total_s = sum(ply.seconds for ply in record.plies[:plies])
    speed = speed or max(1.0, total_s / _PLAIN_S)
    settings = ChessSettings(
        plies=plies, k=k, max_inflight=max_inflight, clock="wall", speed=speed, guesses=_best_guesser()
    )
    out.mkdir(parents=True, exist_ok=True)
    screen = console()
    _introduce(screen, record, settings, made_up=game is None)
    board = Board(screen, record)
    with ChessBench([record], settings) as bench, board.live or contextlib.nullcontext():
        player = player_of(record, settings)
        with plain_env(record, settings) as env:
            plain = play(env, lambda seen: player.policy(seen, CancelToken()), on_step=board.start("plain"))
        with speculative_env(record, settings, bench.guesser(record), runtime_of("wall")) as wrapped:
            ahead = play(wrapped, wrapped.act, on_step=board.start("speculative"))
    wrapped.trace.to_html(out / "demo.html", "A game of chess, played ahead")
    wrapped.trace.to_jsonl(out / "demo.jsonl")
    same = moves_of(plain) == moves_of(ahead) == record.moves[:plies]
    _conclude(screen, board.elapsed, sequential_seconds(record, settings), wrapped.statistics, same)
    screen.print(
        f"\nWritten: {out / 'demo.html'}: the timeline of the game; open it in a browser"
        f"\n         {out / 'demo.jsonl'}: the same events, one per line",
        soft_wrap=True,
    )
    if not same:
        raise click.exceptions.Exit(1)


def _best_guesser() -> Guesses:
    return "stockfish" if stockfish_is_installed() else "builtin"


class Board:
    """Shows both runs while they go on: on a terminal the chess board and a table, otherwise a line for each move."""

    def __init__(self, screen: Console, record: RecordedGame) -> None:
        self._screen = screen
        self._record = record
        self.live = Live(console=screen, auto_refresh=False) if screen.is_terminal else None
        self._times: dict[str, list[float]] = {}
        self._run = ""

    @property
    def elapsed(self) -> dict[str, float]:
        """Seconds that each run took so far."""
        return {name: times[-1] for name, times in self._times.items()}

    def start(self, name: str) -> Callable[[Step], None]:
        """Begin to show a run; returns the function to call with each of its steps."""
        self._run, times = name, self._times.setdefault(name, [])
        begin = time.perf_counter()
        if self.live is None:
            self._screen.print(f"\n{name}:")

        def on_step(step: Step) -> None:
            now, moves = time.perf_counter() - begin, tuple(step.observation["history"].split())
            if not moves:
                return
            new = range(len(times), len(moves))
            times.extend(now for _ in new)
            if self.live is not None:
                self.live.update(self._picture(moves), refresh=True)
            else:
                text = "  ".join(_numbered(self._record, number) for number in new)
                self._screen.print(f"{now:6.1f} s  {text}")

        return on_step

    def _picture(self, moves: Sequence[str]) -> Columns:
        position = chess.Board(self._record.start_fen)
        for move in moves:
            position.push_uci(move)
        picture = Panel(Text(position.unicode(invert_color=True, empty_square="·")), title=self._run, expand=False)
        table = Table("move", "plain", "speculative", box=None)
        last = min(max(map(len, self._times.values())), max(len(moves), _SHOWN))
        for number in range(max(0, last - _SHOWN), last):
            cells = [times[number : number + 1] for times in (self._times.get(n, []) for n in ("plain", "speculative"))]
            table.add_row(_numbered(self._record, number), *(f"{cell[0]:.1f} s" if cell else "" for cell in cells))
        return Columns([picture, table])


def _numbered(record: RecordedGame, number: int) -> str:
    return f"{number // 2 + 1}{'.' if number % 2 == 0 else '...'} {record.plies[number].move}"


def _introduce(screen: Console, record: RecordedGame, settings: ChessSettings, *, made_up: bool) -> None:
    who = (
        "Two made-up players that stand in for slow language models (moves drawn from the best ones of the built-in\n"
        "engine, thinking times lognormal around 12 s)"
        if made_up
        else f"The recorded game {game_name(record)}, with its recorded thinking times"
    )
    guesser = {"stockfish": "Stockfish", "builtin": "the built-in engine"}[settings.guesses]
    screen.print(
        f"{who}: {settings.plies} plies, replayed {settings.speed:.4g}x faster than they were played.\n"
        f"While a player thinks, {guesser} guesses {settings.k} moves, and the call after each of them is started "
        f"ahead of time:\nup to {settings.limits.max_inflight} calls at once.",
        soft_wrap=True,
    )


def _conclude(
    screen: Console, elapsed: dict[str, float], sequential_s: float, statistics: Statistics, same: bool
) -> None:
    plain, ahead = elapsed["plain"], elapsed["speculative"]
    screen.print(
        f"\nplain        {plain:6.2f} s  (the players' thinking alone: {sequential_s:.2f} s)"
        f"\nspeculative  {ahead:6.2f} s"
        f"\nsaved        {1 - ahead / plain:6.1%}"
        f"\nhits         {statistics.hits} of {statistics.windows} moves were among the guesses"
        f"\ncalls        {outcomes(statistics.calls)}"
        f"\ntokens       x{statistics.tokens_partial:.2f} of the plain run's"
        f" (x{statistics.tokens_full:.2f} if cancelled calls are charged in full)"
        f"\nlossless: same game: {'yes' if same else 'NO'}",
        soft_wrap=True,
    )
