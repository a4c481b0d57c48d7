"""Recorded games played again through ``SpeculativeWrapper``.

Both players are replayed with their recorded thinking times. Each game is played by the plain loop first, in virtual
time. ``saved`` is the share of that run's time that the speculative run did not need, on its own clock: with the
virtual clock in recorded seconds, with the wall clock in real ones.
"""

import dataclasses
import functools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, assert_never

import chess
import gymnasium as gym
from rich.console import RenderableType

import spec_envs  # noqa: F401  (registers SpecChess-v0)
from spec_envs.agents import (
    BuiltinChessGuesser,
    MoveModelGuesser,
    RecordedChessGuesser,
    StockfishGuesser,
    UnionGuesser,
)
from spec_envs.agents.chess.move_model import Choice, MoveModel, choices_in, fit
from spec_envs.benchmarks.chess import ChessSettings
from spec_envs.benchmarks.episodes import (
    Episode,
    Speculated,
    Step,
    charged,
    figures_of,
    play,
    play_plainly,
    runtime_of,
)
from spec_envs.benchmarks.processes import in_order
from spec_envs.benchmarks.reports import collected, config_of, mean_of, progress, table_of, tokens_text
from spec_envs.chess.builtin import rank_moves
from spec_envs.chess.engine import EnginePool, stockfish_is_installed
from spec_envs.chess.games import RecordedGame, RecordedPlayer, RecordedPly
from spec_envs.closing import Closing
from spec_envs.errors import InvalidConfiguration
from spec_envs.guesses import Guesser
from spec_envs.usage import Usage
from spec_envs.wrappers import SimulationRuntime, SpeculativeWrapper
from spec_envs.wrappers.estimates import Estimates
from spec_envs.wrappers.runtimes.base import Runtime

#: What a guess of an engine costs on the virtual clock, where computing takes no time of its own: measured, rounded up.
STOCKFISH_S = 0.001
BUILTIN_S = 0.005
MOVE_MODEL_S = 0.02


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Replay(Speculated):
    """The figures of one game; without speculation it takes the recorded thinking times, one after the other."""

    game: str
    plies: int


class ChessBench(Closing):
    """Replays games with the same settings; each has a guesser of its own, which has learned from no other game.

    Use it in ``with``, or ``close`` it: it may own a chess engine.

    Raises:
        InvalidConfiguration: A game is too short, or has no guesses recorded for ``settings.k``.
        DependencyNotInstalled: Stockfish is to guess, and is not installed.
    """

    def __init__(self, games: Sequence[RecordedGame], settings: ChessSettings) -> None:
        for game in games:
            _check(game, settings)
        self.games = tuple(games)
        self.settings = settings
        self._estimates = settings.kept()
        self._pool: EnginePool | None = None
        self._choices: dict[str, list[Choice]] = {}
        if settings.fit == "leave-one-out" and len(games) < 2:
            raise InvalidConfiguration(
                "--fit leave-one-out fits the model to all other games, so --games must name at least two"
            )
        if settings.guesses in ("stockfish", "union") or (
            settings.guesses == "move-model" and stockfish_is_installed()
        ):
            # One engine, started now: its start takes long, which on a fast wall clock would count a thousandfold.
            self._pool = EnginePool(max_engines=1)
            self._pool.analyse(chess.Board(), depth=1)

    def replay(self, game: RecordedGame, on_step: Callable[[Step], None] | None = None) -> Replay:
        """Replay one game; ``on_step`` is called with each step.

        Raises:
            InvalidConfiguration: The game is over by the rules before the plies asked for.
        """
        seed, player = self.settings.seed, player_of(game, self.settings)
        plain = play_plainly(plain_env(game, self.settings), player.policy, SimulationRuntime(), seed=seed)
        runtime = runtime_of(self.settings.clock, priced=self.settings.money_per_s is not None)
        guesser = self.guesser(game)
        with speculative_env(game, self.settings, guesser, runtime, self._estimates) as env:
            episode = play(env, env.act, seed=seed, now=runtime.now, on_step=on_step)
        moves, recorded = moves_of(episode), game.moves[: self.settings.plies]
        if len(moves) < len(recorded) and moves == recorded[: len(moves)]:
            raise InvalidConfiguration(
                f"{game.name} is over by the rules after {len(moves)} half moves, and --plies is "
                f"{self.settings.plies}: give --plies {len(moves)} or less"
            )
        figures = figures_of(
            env.statistics,
            speculative_s=episode.seconds,
            sequential_s=plain.seconds,
            lossless=moves == recorded and episode.is_as(plain),
        )
        return Replay(game=game_name(game), plies=len(moves), **figures)

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
            case "move-model":
                return charged(MoveModelGuesser(self._model(game), pool=self._pool), MOVE_MODEL_S, self.settings.clock)
            case unknown:
                assert_never(unknown)

    def _stockfish(self) -> Guesser:
        return charged(StockfishGuesser(pool=self._pool), STOCKFISH_S, self.settings.clock)

    def _builtin(self) -> Guesser:
        return charged(BuiltinChessGuesser(), BUILTIN_S, self.settings.clock)

    def _model(self, game: RecordedGame) -> MoveModel:
        """The model to guess the moves of ``game`` with."""
        if self.settings.fit == "shipped":
            return MoveModel.shipped(stockfish=self._pool is not None)
        others = [each for each in self.games if each is not game]
        for each in others:
            if each.name not in self._choices:
                self._choices[each.name] = choices_in(each.start_fen, each.moves, self._pool)
        return fit(choice for each in others for choice in self._choices[each.name])

    def close(self) -> None:
        """Stop the engine. Idempotent."""
        if self._pool is not None:
            self._pool.close()


def plain_env(game: RecordedGame, settings: ChessSettings) -> gym.Env[Any, Any]:
    """The environment of a replay: the agent plays the side that moves first, the record plays the other."""
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
    game: RecordedGame,
    settings: ChessSettings,
    guesser: Guesser,
    runtime: Runtime,
    estimates: Estimates | None = None,
) -> SpeculativeWrapper[Any, Any]:
    """The environment of a replay with speculation; the record plays both sides."""
    return SpeculativeWrapper(
        plain_env(game, settings),
        policy=player_of(game, settings).policy,
        guessers={"opponent": guesser, "policy": guesser},
        k=settings.k,
        limits=settings.limits,
        runtime=runtime,
        estimates=estimates,
        guard=False,
    )


def player_of(game: RecordedGame, settings: ChessSettings) -> RecordedPlayer:
    """The record, which plays both sides."""
    return RecordedPlayer(game, settings.time_scale, settings.seed)


def moves_of(episode: Episode) -> tuple[str, ...]:
    """All moves of an episode of ``SpecChess-v0``."""
    return tuple(episode.steps[-1].observation["history"].split())


def game_name(game: RecordedGame) -> str:
    """A short name: that of the file, without folders and ending."""
    return Path(game.name).stem


def _check(game: RecordedGame, settings: ChessSettings) -> None:
    if settings.plies > len(game.plies):
        raise InvalidConfiguration(
            f"{game.name} has {len(game.plies)} half moves, and --plies is {settings.plies}: give --plies "
            f"{len(game.plies)} or less"
        )
    if settings.guesses == "recorded":
        known = sorted({k for ply in game.plies for k in ply.guesses})
        if settings.k not in known:
            way_out = f"give --k {' or '.join(map(str, known))}, or other guesses" if known else "give other guesses"
            raise InvalidConfiguration(
                f"{game.name} holds no recorded guesses for --k {settings.k}: {way_out} (--guesses stockfish or "
                f"builtin)"
            )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MadeUpPlayers:
    """Players that stand in for language models. Tokens are proportional to the thinking time, which is lognormal."""

    #: How often they choose the best move of the built-in engine, its second best, and so on.
    taste: tuple[float, ...] = (55, 20, 12, 8, 5)
    median_s: float = 12.0  # median thinking time in seconds
    spread: float = 0.6  # standard deviation of the logarithm of the thinking time
    tokens_per_s: float = 60.0  # tokens written in a second


#: As gpt-5 was recorded: three games of 50 plies, of whose moves the built-in engine ranks 65 % among its first three.
LIKE_GPT5 = MadeUpPlayers(taste=(40, 15, 10, 18, 17), median_s=172.0, spread=1.0, tokens_per_s=51.0)


def made_up_game(plies: int = 30, seed: int = 0, players: MadeUpPlayers = MadeUpPlayers()) -> RecordedGame:
    """A game as two slow language models might have played it; equal arguments give equal games."""
    rng = random.Random(seed)
    board = chess.Board()
    record: list[RecordedPly] = []
    while len(record) < plies and not board.is_game_over():
        ranked = rank_moves(board, len(players.taste))
        ((move, _),) = rng.choices(ranked, players.taste[: len(ranked)])
        seconds = players.median_s * math.exp(rng.gauss(0.0, players.spread))
        usage = Usage(tokens_in=200, tokens_out=round(seconds * players.tokens_per_s))
        record.append(RecordedPly(move.uci(), seconds, usage))
        board.push(move)
    return RecordedGame("made up", tuple(record))


_COLUMNS = {
    "game": "{game}",
    "saved": "{saved:.1%}",
    "hit rate": "{hit_rate:.1%}",
    "tokens partial": "x{tokens_partial:.2f}",
    "tokens full": "x{tokens_full:.2f}",
    **{outcome: f"{{calls[{outcome}]:.4g}}" for outcome in ("committed", "wasted", "cancelled", "failed")},
    "lossless": "{lossless:yes}",
}


def run(settings: ChessSettings, games: Sequence[Path], more_games: Sequence[Path]) -> dict[str, Any]:
    """The report of replays of the recorded games in the files.

    Raises:
        InvalidConfiguration: A file holds no game, or a setting makes no sense for it.
    """
    settings.check_jobs()
    files = [*games, *more_games]
    records = [RecordedGame.load(file) for file in files]
    if not settings.workers.is_one:
        replay = functools.partial(_replay_alone, records, settings)
        replays = collected(in_order(replay, range(len(records)), settings.workers), "replaying", len(records))
    else:
        steps = len(records) * (settings.plies + 1)  # with the reset of each game
        with ChessBench(records, settings) as bench, progress("replaying", steps) as advance:
            replays = [bench.replay(game, advance) for game in records]
    return {
        "config": config_of(settings, files=[str(file) for file in files]),
        "games": [dataclasses.asdict(replay) for replay in replays],
        "mean": mean_of(replays),
    }


def _replay_alone(records: Sequence[RecordedGame], settings: ChessSettings, number: int) -> Replay:
    """Replay one of the games, in a process that may replay no other."""
    with ChessBench(records, settings) as bench:
        return bench.replay(records[number])


def show(report: dict[str, Any], settings: ChessSettings) -> Iterator[RenderableType]:
    """The table of games, and what they cost."""
    title = (
        f"{settings.plies} plies, guesses: {settings.guesses}, {settings.title}, rules: {settings.rules}, "
        f"clock: {settings.clock}"
    )
    mean = report["mean"]
    yield table_of(title, _COLUMNS, report["games"], {"game": "mean", **mean})
    yield (
        f"Mean time of a game: {mean['speculative_s']:,.1f} s, instead of {mean['sequential_s']:,.1f} s without "
        f'speculation. The columns from "committed" on count calls by outcome.\n{tokens_text(mean)}'
    )
