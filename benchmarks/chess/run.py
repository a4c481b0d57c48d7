"""``spec-envs bench chess``: recorded games played again through ``SpeculativeWrapper``.

Both players are replayed with their recorded thinking times, so a run without speculation would take exactly the sum of
them. ``saved`` is the share of that sum that the run did not need, on its own clock: with a virtual clock in recorded
seconds, with the wall clock in real ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

import chess
import gymnasium as gym

import spec_envs  # noqa: F401  (registers SpecChess-v0)
from spec_envs.agents import BuiltinChessGuesser, RecordedChessGuesser, StockfishGuesser, UnionGuesser
from spec_envs.benchmarks.speculated import Speculated, figures_of
from spec_envs.benchmarks.timed import TimedGuesser
from spec_envs.chess.engine import EnginePool
from spec_envs.chess.games import RecordedGame, RecordedPlayer
from spec_envs.closing import Closing
from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers import SimulationRuntime, SpeculativeWrapper, Statistics, ThreadRuntime

if TYPE_CHECKING:
    from spec_envs.benchmarks.chess.settings import ReplaySettings
    from spec_envs.guesses import Guesser
    from spec_envs.wrappers.runtimes.base import Runtime

#: Told all the moves so far, after each step.
OnMoves = Callable[[tuple[str, ...]], None]

#: What a guess of an engine costs on the virtual clock, where computing takes no time of its own: measured, rounded up.
STOCKFISH_S = 0.001
BUILTIN_S = 0.005


def _ignore(moves: tuple[str, ...]) -> None:
    """Nobody is told."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Replay(Speculated):
    """What became of one game; without speculation it takes the recorded thinking times, one after the other.

    Args:
        game: Name of the game.
        plies: Half moves played.
    """

    game: str
    plies: int


class ChessBench(Closing):
    """Replays games with the same settings; each with a guesser of its own, so that no game learns from another.

    Use it in ``with``, or ``close`` it: it may own a chess engine.

    Args:
        games: What to replay.
        settings: How.

    Raises:
        InvalidConfiguration: A game does not have what the settings ask for.
        DependencyNotInstalled: Stockfish is to guess, and is not there.
    """

    def __init__(self, games: Sequence[RecordedGame], settings: ReplaySettings) -> None:
        for game in games:
            _check(game, settings)
        self.games = tuple(games)
        self.settings = settings
        self._pool: EnginePool | None = None
        if settings.guesses in ("stockfish", "union"):
            # One engine, and that one awake: to start it takes long, measured in seconds of a thousandfold speed.
            self._pool = EnginePool(max_engines=1)
            self._pool.analyse(chess.Board(), depth=1)

    def replay(self, game: RecordedGame, on_moves: OnMoves = _ignore) -> Replay:
        """Replay one game.

        Raises:
            InvalidConfiguration: The game is over by the rules before the plies asked for.
        """
        runtime: Runtime = SimulationRuntime() if self.settings.clock == "virtual" else ThreadRuntime()
        with speculative_env(game, self.settings, self.guesser(game), runtime) as env:
            start = runtime.now()
            played = play(env, env.act, self.settings.seed, on_moves)
            seconds = runtime.now() - start
        # The statistics come after close: only then has every cancelled call ended, and is charged.
        return _replay(game, self.settings, played, seconds, env.statistics)

    def guesser(self, game: RecordedGame) -> Guesser:
        """A new guesser that has learned nothing."""
        match self.settings.guesses:
            case "recorded":
                return RecordedChessGuesser(game, self.settings.k, speed=self.settings.time_scale)
            case "stockfish":
                return self._stockfish()
            case "builtin":
                return self._builtin()
            case "union":
                return UnionGuesser([self._stockfish(), self._builtin()])
            case unknown:
                assert_never(unknown)

    def _stockfish(self) -> Guesser:
        return self._charged(StockfishGuesser(pool=self._pool), STOCKFISH_S)

    def _builtin(self) -> Guesser:
        return self._charged(BuiltinChessGuesser(), BUILTIN_S)

    def _charged(self, guesser: Guesser, seconds: float) -> Guesser:
        return TimedGuesser(guesser, seconds) if self.settings.clock == "virtual" else guesser

    def close(self) -> None:
        """Stop the engine. Idempotent."""
        if self._pool is not None:
            self._pool.close()


def plain_env(game: RecordedGame, settings: ReplaySettings) -> gym.Env[Any, Any]:
    """The environment of a replay: the agent has the side that moves first, the record plays the other."""
    first = "white" if chess.Board(game.start_fen).turn else "black"
    return gym.make(
        "SpecChess-v0",
        opponent=player_of(game, settings).opponent,
        max_plies=settings.plies,
        fen=game.start_fen,
        color=first,
        claim_draw=False,  # the players went on, so they did not claim
    )


def speculative_env(
    game: RecordedGame, settings: ReplaySettings, guesser: Guesser, runtime: Runtime
) -> SpeculativeWrapper[Any, Any]:
    """The same with speculation; the record plays both sides."""
    return SpeculativeWrapper(
        plain_env(game, settings),
        policy=player_of(game, settings).policy,
        guessers={"opponent": guesser, "policy": guesser},
        k=settings.k,
        limits=settings.limits,
        runtime=runtime,
    )


def player_of(game: RecordedGame, settings: ReplaySettings) -> RecordedPlayer:
    """The player of both sides."""
    return RecordedPlayer(game, settings.time_scale, settings.seed)


def play(env: gym.Env[Any, Any], act: Callable[[Any], str], seed: int, on_moves: OnMoves = _ignore) -> tuple[str, ...]:
    """Play an episode to its end; ``on_moves`` is told all moves so far after each step. Returns the moves."""
    observation, _ = env.reset(seed=seed)
    moves: tuple[str, ...] = ()
    done = False
    while not done:
        observation, _, terminated, truncated, _ = env.step(act(observation))
        done = terminated or truncated
        moves = tuple(observation["history"].split())
        on_moves(moves)
    return moves


def sequential_seconds(game: RecordedGame, settings: ReplaySettings) -> float:
    """How long the replay takes without speculation, on the clock of the settings."""
    return sum(ply.seconds for ply in game.plies[: settings.plies]) / settings.time_scale


def _replay(
    game: RecordedGame, settings: ReplaySettings, moves: tuple[str, ...], seconds: float, statistics: Statistics
) -> Replay:
    recorded = game.moves[: settings.plies]
    if len(moves) < len(recorded) and moves == recorded[: len(moves)]:
        raise InvalidConfiguration(
            f"{game.name} is over by the rules after {len(moves)} plies, so plies cannot be {settings.plies}"
        )
    figures = figures_of(
        statistics,
        seconds=seconds,
        sequential_seconds=sequential_seconds(game, settings),
        lossless=moves == recorded,
    )
    return Replay(game=game_name(game), plies=len(moves), **figures)


def game_name(game: RecordedGame) -> str:
    """A short name: that of the file, without folders and ending."""
    return Path(game.name).stem


def _check(game: RecordedGame, settings: ReplaySettings) -> None:
    if settings.plies > len(game.plies):
        raise InvalidConfiguration(f"{game.name} has {len(game.plies)} plies, so plies cannot be {settings.plies}")
    if settings.guesses == "recorded":
        known = sorted({k for ply in game.plies for k in ply.guesses})
        if settings.k not in known:
            among = f"those made for k = {', '.join(map(str, known))}" if known else "none"
            raise InvalidConfiguration(f"{game.name} holds no recorded guesses for k = {settings.k}, but {among}")
