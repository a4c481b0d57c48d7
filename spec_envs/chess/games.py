"""Recorded games: the moves with the time of each, and a player that plays both sides of a recorded game again.

A record is a JSON object with a list ``plies``. Each ply has ``move`` (UCI), ``actor_seconds`` and ``actor_tokens``
(``in`` and ``out``) of the call that chose the move, and ``guesses``: for each number of guesses wanted, the ``moves``
predicted, most likely first, with the ``seconds`` and ``tokens`` of that prediction.
"""

import dataclasses
import functools
import math
import os
import random
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn, Self

import chess

from spec_envs.calls import Effect
from spec_envs.checks import positive
from spec_envs.chess.builtin import best_move
from spec_envs.chess.position import Position
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.json_files import naming, number_of, read_json, text_of
from spec_envs.usage import Usage

#: Spread of the logarithm of a thinking time around the recorded one, on positions that the record does not have.
_SPREAD = 0.4


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedGuesses:
    """A prediction of a ply: moves, most likely first, and the time and tokens of the prediction.

    A record may hold the guesser's own scores of its moves; then the scores decide the order.
    """

    moves: tuple[str, ...]
    seconds: float
    usage: Usage


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedPly:
    """A move, the time and tokens of the call that chose it, and the guesses for each number of guesses wanted."""

    move: str
    seconds: float
    usage: Usage
    guesses: Mapping[int, RecordedGuesses] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class RecordedGame:
    """A game that was played once, checked for legality when it is made.

    Start and moves are kept as ``SpecChess-v0`` writes them. A record may write castling as ``e1h1``, and its FEN may
    name a square en passant where no pawn can be taken.

    Args:
        name: The name of the game in tables and errors.
        plies: The moves in order, white's and black's.
        start_fen: FEN of the position that the game started from.

    Raises:
        InvalidConfiguration: There are no plies, or a ply has an illegal move or an impossible figure.
    """

    name: str
    plies: tuple[RecordedPly, ...]
    start_fen: str = chess.STARTING_FEN

    def __post_init__(self) -> None:
        if not self.plies:
            _refuse(self.name, None, "the record has no plies")
        try:
            board = chess.Board(self.start_fen)
        except ValueError as error:
            _refuse(self.name, None, f"start_fen cannot be read: {error}")
        object.__setattr__(self, "start_fen", board.fen())
        plies = []
        for number, ply in enumerate(self.plies):
            try:
                move = board.push_uci(ply.move)
                if not move:
                    _refuse(self.name, number, "the null move is no move")
                plies.append(dataclasses.replace(ply, move=move.uci()))
            except chess.InvalidMoveError as error:
                _refuse(self.name, number, f"the move cannot be read: {error}")
            except chess.IllegalMoveError as error:
                _refuse(self.name, number, f"the move is illegal: {error}")
        object.__setattr__(self, "plies", tuple(plies))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a record from a JSON file.

        Raises:
            InvalidConfiguration: The file is not a record; the message names the file, the ply and what is wrong.
            FileNotFoundError: There is no such file.
        """
        return cls.of(read_json(path), source=os.fspath(path))

    @classmethod
    def of(cls, data: Any, *, source: str = "record") -> Self:
        """The game in ``data``, the content of a record file; ``source`` names the record in errors.

        Raises:
            InvalidConfiguration: ``data`` is not a record; the message names the source, the ply and what is wrong.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("plies"), list):
            _refuse(source, None, "expected an object with a list 'plies'")
        plies = []
        for number, ply in enumerate(data["plies"]):
            with naming(f"{source}, ply {number}"):
                plies.append(_ply(ply))
        return cls(source, tuple(plies), str(data.get("start_fen", chess.STARTING_FEN)))

    @functools.cached_property
    def moves(self) -> tuple[str, ...]:
        """The game's moves in UCI notation."""
        return tuple(ply.move for ply in self.plies)

    def ply_of(self, position: Position) -> int | None:
        """The number (from 0) of the ply that was played on ``position``; ``None`` if the position never occurred."""
        number = len(position.moves)
        if number >= len(self.plies) or position.start_fen != self.start_fen:
            return None
        # The last moves differ most often.
        same = all(self.plies[at].move == position.moves[at] for at in range(number - 1, -1, -1))
        return number if same else None


class RecordedPlayer:
    """Plays both sides of a recorded game again, at the speed of the record.

    On a position of the record, the player makes the recorded move, after the recorded seconds and for the recorded
    tokens. Only a wrong branch has other positions. There the player makes the move of the built-in engine. The time is
    that of the recorded ply with the same number, multiplied by ``exp(N(0, 0.4²))``; the tokens are those of this ply.
    Past the end of the record, the last ply counts.

    Move and time depend only on the position (with its history) and ``seed``, not on the seed in the query. Still, the
    effect is ``SAMPLE``, because the player stands for a language model: equal calls must not share an execution.

    Args:
        game: The record.
        speed: Recorded seconds that pass in one second.
        seed: Seed of the thinking times on positions that are not in the record.
    """

    effect: ClassVar[Effect] = Effect.SAMPLE

    def __init__(self, game: RecordedGame, speed: float = 1.0, seed: int = 0) -> None:
        self.game = game
        self.speed = positive("speed", speed)
        self.seed = seed

    def __call__(self, query: Any, cancel: CancelToken | None = None) -> str:
        """The move in UCI notation, as a handler or as a policy.

        Args:
            query: A position, or a text observation of ``SpecChess-v0``.
            cancel: Its ``sleep`` lets the thinking time pass, and is charged with the tokens.

        Raises:
            CallCancelled: The call was cancelled meanwhile.
            InvalidConfiguration: The game is over in the position.
        """
        position = Position.of(query)
        number = self.game.ply_of(position)
        ply = self.game.plies[min(len(position.moves), len(self.game.plies) - 1) if number is None else number]
        seconds = ply.seconds if number is not None else ply.seconds * self._factor(position)
        (cancel or CancelToken()).sleep(seconds / self.speed, spending=ply.usage)
        # Only now: a cancelled call does no work.
        return ply.move if number is not None else best_move(position.board()).uci()

    def opponent(self, position: Position, cancel: CancelToken | None = None) -> str:
        """The move for the opponent's side."""
        return self(position, cancel)

    def policy(self, observation: Mapping[str, Any], cancel: CancelToken | None = None) -> str:
        """The move for the agent's side."""
        return self(observation, cancel)

    def _factor(self, position: Position) -> float:
        rng = random.Random(f"{self.seed}|{position.start_fen}|{' '.join(position.moves)}")
        return math.exp(rng.gauss(0.0, _SPREAD))


def _refuse(source: str, number: int | None, what: str) -> NoReturn:
    where = "" if number is None else f", ply {number}"
    raise InvalidConfiguration(f"{source}{where}: {what}")


def _ply(data: Any) -> RecordedPly:
    if not isinstance(data, Mapping):
        raise TypeError(f"expected an object, not {data!r}")
    guesses = data.get("guesses", {})
    if not isinstance(guesses, Mapping):
        raise TypeError(f"'guesses' must be an object, not {guesses!r}")
    return RecordedPly(
        text_of(data["move"], "move"),
        number_of(data["actor_seconds"], "actor_seconds"),
        _usage(data["actor_tokens"], "actor_tokens"),
        {_count(k): _guesses(entry, k, _scores(data)) for k, entry in guesses.items()},
    )


def _scores(data: Mapping[str, Any]) -> Mapping[str, float]:
    """The guesser's own scores of its moves, where the record has them."""
    confidence = data.get("confidence", {"moves": [], "scores": []})
    if not isinstance(confidence, Mapping):
        raise TypeError(f"'confidence' must be an object with 'moves' and 'scores', not {confidence!r}")
    return dict(zip(confidence["moves"], confidence["scores"], strict=True))


def _guesses(data: Any, k: str, scores: Mapping[str, float]) -> RecordedGuesses:
    if not isinstance(data, Mapping) or not isinstance(data.get("moves"), list):
        raise TypeError(f"guesses[{k!r}] must be an object with a list 'moves', not {data!r}")
    moves = tuple(text_of(move, f"guesses[{k!r}].moves") for move in data["moves"])
    if set(moves) == set(scores):  # the scores belong to these guesses, and not to those of another call
        moves = tuple(sorted(moves, key=lambda move: -scores[move]))
    seconds = number_of(data["seconds"], f"guesses[{k!r}].seconds")
    return RecordedGuesses(moves, seconds, _usage(data["tokens"], f"guesses[{k!r}].tokens"))


def _usage(data: Any, name: str) -> Usage:
    if not isinstance(data, Mapping):
        raise TypeError(f"'{name}' must be an object with 'in' and 'out', not {data!r}")
    return Usage(number_of(data["in"], f"{name}.in"), number_of(data["out"], f"{name}.out"))


def _count(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"the keys of 'guesses' are numbers of guesses, such as '3', not {value!r}")
    return int(value)
