"""``spec-envs demo``: a table of four environments, and a game of chess played twice, side by side."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spec_envs.benchmarks.all.figures import Rows, interval
from spec_envs.benchmarks.all.units import Row, Unit, rows_of
from spec_envs.benchmarks.chess import ChessSettings, Guesses
from spec_envs.benchmarks.chess.run import (
    LIKE_GPT5,
    ChessBench,
    game_name,
    made_up_game,
    moves_of,
    plain_env,
    player_of,
    speculative_env,
)
from spec_envs.benchmarks.episodes import Episode, play, play_plainly, runtime_of, tokens_of
from spec_envs.benchmarks.processes import Workers, in_order
from spec_envs.benchmarks.reports import collected, console, table_of, yes_or_no
from spec_envs.benchmarks.retail import RetailSettings
from spec_envs.benchmarks.search import SearchSettings
from spec_envs.benchmarks.tuning import TuningSettings
from spec_envs.chess.engine import stockfish_is_installed
from spec_envs.chess.games import RecordedGame
from spec_envs.pages import page, timelines

if TYPE_CHECKING:
    from rich.console import Console

    from spec_envs.wrappers import SpeculativeWrapper, Statistics
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

if TYPE_CHECKING:
    from rich.console import Console


_PLIES = 30
#: Of the made-up game.
_SEED = 4
#: How long the game takes without speculation.
_PLAIN_S = 10.0
_FIGURES = ("sequential_s", "speculative_s", "saved", "hit_rate", "tokens_full", "lossless")


def run(
    game: Path | None, plies: int | None, speed: float | None, k: int, max_inflight: int, out: Path, open: bool
) -> None:
    """Play, show and compare; the arguments are the options of ``spec-envs demo``.

    Raises:
        InvalidConfiguration: The file holds no game, or the game has fewer plies.
        Exit: With code 1 if something was not the same with speculation as without.
    """
    record = made_up_game(plies or _PLIES, _SEED, LIKE_GPT5) if game is None else RecordedGame.load(game)
    plies = plies or min(_PLIES, len(record.plies))
    speed = speed or max(1.0, sum(ply.seconds for ply in record.plies[:plies]) / _PLAIN_S)
    settings = ChessSettings(
        plies=plies, k=k, max_inflight=max_inflight, clock="wall", speed=speed, guesses=_guesser(game)
    )
    out.mkdir(parents=True, exist_ok=True)
    screen = console()
    summary = _environments(screen, game)
    _introduce(screen, record, settings, made_up=game is None)
    race = Race(screen, record)
    plain, ahead, wrapped = _race(record, settings, race)
    statistics, events = wrapped.statistics, [event.as_dict() for event in wrapped.trace]
    same = moves_of(plain) == moves_of(ahead) == record.moves[:plies] and ahead.is_as(plain)
    _conclude(screen, plain.seconds, ahead.seconds, statistics, same)
    lived = {"sequential_s": plain.seconds, "speculative_s": ahead.seconds, "saved": 1 - ahead.seconds / plain.seconds}
    counted = {
        "hit_rate": statistics.hit_rate,
        "tokens_full": tokens_of(statistics)["tokens_full"],
        "lossless": int(same),
    }
    summary.append(_summary("chess, live", [{**lived, **counted, "clock": "wall"}]))
    title = "A game of chess, played ahead"
    report = out / "report.html"
    report.write_text(page(title, timelines(events, "the game"), summary=summary), encoding="utf-8")
    wrapped.trace.to_jsonl(out / "demo.jsonl")
    screen.print(
        f"\nThe timeline of the game, and everything above: {report} (opens from disk)"
        f"\nThe events of the game, one a line: {out / 'demo.jsonl'}",
        soft_wrap=True,
    )
    if open:
        webbrowser.open(report.resolve().as_uri())
    if not same or any(row["lossless"] != "yes" for row in summary):
        raise click.exceptions.Exit(1)


def _guesser(game: Path | None) -> Guesses:
    """Stockfish, but for made-up players: their moves are drawn so that the built-in engine knows the usual share."""
    return "stockfish" if game is not None and stockfish_is_installed() else "builtin"


# -- four environments, a row each -----------------------------------------------------------------------------------


def _environments(screen: Console, game: Path | None) -> list[dict[str, Any]]:
    """Run some episodes of each environment in virtual time, print a row of each, and return the rows."""
    player = f"made up {_SEED}" if game is None else str(game)
    plies = 20 if game is None else min(20, len(RecordedGame.load(game).plies))
    half = TuningSettings(mode="lossless", actor="random", guesser="half")
    planned = [
        Unit(part="chess", tags={}, settings=ChessSettings(guesses=_guesser(game), plies=plies), items=[player]),
        Unit(part="retail", tags={}, settings=RetailSettings(learn=10), items=(0, 4)),
        Unit(part="search", tags={}, settings=SearchSettings(), items=[6]),
        Unit(part="tuning", tags={}, settings=half, items=[0, 1, 2]),
    ]
    found = collected(in_order(rows_of, planned, Workers(2)), "four environments", len(planned))
    summary = [_summary(unit.part, rows) for unit, rows in zip(planned, found, strict=True)]
    columns = {
        "environment": "{name}",
        "episodes": "{episodes}",
        "plain": "{sequential_s[value]:,.0f} s",
        "speculative": "{speculative_s[value]:,.0f} s",
        "saved": "{saved[value]:.0%}",
        "hit rate": "{hit_rate[value]:.0%}",
        "tokens": "x{tokens_full[value]:.2f}",
        "lossless": "{lossless}",
    }
    screen.print(table_of("Agents that wait, in virtual time (means of a few episodes)", columns, summary))
    screen.print(
        "Tokens: relative to the plain loop, cancelled calls charged in full; - where no call tells what it used. "
        "A scripted tuner or customer is charged as a language model in its place would be.",
        soft_wrap=not screen.is_terminal,
    )
    return summary


def _summary(name: str, rows: list[Row]) -> dict[str, Any]:
    """The row of the summary of a page, and of the table."""
    found: Mapping[str, Any] = {each: interval([row.get(each) for row in rows]) for each in _FIGURES}
    lossless = yes_or_no(found["lossless"]["value"])
    return {**found, "name": name, "episodes": len(Rows(rows)), "clock": rows[0]["clock"], "lossless": lossless}


# -- one game, live --------------------------------------------------------------------------------------------------


def _race(
    record: RecordedGame, settings: ChessSettings, race: Race
) -> tuple[Episode, Episode, SpeculativeWrapper[Any, Any]]:
    """Play the game by the plain loop and with speculation at the same time; both wait nearly all of the time."""
    plain: list[Episode] = []
    policy = player_of(record, settings).policy

    def play_beside() -> None:
        env = plain_env(record, settings)
        plain.append(play_plainly(env, policy, runtime_of("wall"), on_step=race.start("plain")))

    with ChessBench([record], settings) as bench, race:
        beside = threading.Thread(target=play_beside, name="the plain loop", daemon=True)
        beside.start()
        with speculative_env(record, settings, bench.guesser(record), runtime_of("wall")) as wrapped:
            ahead = play(wrapped, wrapped.act, on_step=race.start("speculative"))
        beside.join()
    return plain[0], ahead, wrapped


def _introduce(screen: Console, record: RecordedGame, settings: ChessSettings, *, made_up: bool) -> None:
    players = (
        f"Two made-up players that think as long as gpt-5 was recorded to think (lognormal, median "
        f"{LIKE_GPT5.median_s:.0f} s). Their moves are drawn so that the built-in engine has about as many of them "
        f"among its first three as of gpt-5's"
        if made_up
        else f"The recorded game {game_name(record)}, with its recorded thinking times"
    )
    guesser = {"stockfish": "Stockfish", "builtin": "the built-in engine"}[settings.guesses]
    screen.print(
        f"\nNow live: chess. {players}. {settings.plies} plies, {settings.speed:.4g}x faster than they were played. "
        f"While a player thinks, {guesser} guesses {settings.k} moves, and the call after each is started ahead of "
        f"time: up to {settings.limits.max_inflight} calls at once.\n",
        soft_wrap=not screen.is_terminal,
    )


def _conclude(screen: Console, plain_s: float, ahead_s: float, statistics: Statistics, same: bool) -> None:
    ratio = ahead_s / plain_s
    change = f"{1 - ratio:.0%} saved" if ratio <= 1 else f"{ratio:.3g} times as long"
    screen.print(
        f"\nSpeculation took {ahead_s:.1f} s instead of {plain_s:.1f} s ({change}): {statistics.hits} of "
        f"{statistics.windows} responses were guessed (hit rate {statistics.hit_rate:.0%}). It cost "
        f"{_tokens(statistics)}, and the game is {'the same, move by move' if same else 'NOT THE SAME'}.",
        soft_wrap=not screen.is_terminal,
    )


def _tokens(statistics: Statistics) -> str:
    if not statistics.committed.tokens:
        return "an unknown number of tokens (the game does not tell them)"
    return (
        f"x{statistics.tokens_partial:.1f} the tokens (x{statistics.tokens_full:.1f} if cancelled calls are charged in "
        "full)"
    )


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
