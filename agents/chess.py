"""Policies and guessers for ``SpecChess-v0``.

A policy is ``policy(observation, cancel) -> action``, for text observations. A guesser predicts the opponent's moves
and the agent's own alike; a query that holds no position (an observation of planes) gets no guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

import chess

from spec_envs.agents.calibration import RankCalibration, ScoreCalibration
from spec_envs.agents.guessers import Recent
from spec_envs.calls import Call, Effect
from spec_envs.chess.builtin import rank_moves
from spec_envs.chess.engine import EnginePool, Line
from spec_envs.chess.opponents import BuiltinOpponent, Opponent, RandomOpponent, StockfishOpponent
from spec_envs.chess.position import Position
from spec_envs.errors import InvalidConfiguration
from spec_envs.guesses import Guess
from spec_envs.handling import CancelToken
from spec_envs.values import key_of

if TYPE_CHECKING:
    from spec_envs.chess.games import RecordedGame

__all__ = [
    "ActionFormat",
    "BuiltinChessGuesser",
    "BuiltinChessPolicy",
    "RandomChessPolicy",
    "RecordedChessGuesser",
    "StockfishGuesser",
    "StockfishPolicy",
]

#: How the environment takes actions: as UCI text, or as an index in AlphaZero's encoding.
ActionFormat = Literal["uci", "index"]


class _Policy:
    """A player as a policy."""

    #: All of these are pure functions of the observation.
    effect: ClassVar[Effect] = Effect.READ

    def __init__(self, player: Opponent, action_format: ActionFormat) -> None:
        self._player = player
        self.action_format = _checked(action_format)

    def __call__(self, observation: Any, cancel: CancelToken) -> str | int:
        """The move to play.

        Args:
            observation: A text observation of ``SpecChess-v0``.
            cancel: Stops the search when it is cancelled.
        """
        position = Position.of(observation)
        move = self._player(position, cancel)
        return _encoded(move, position) if self.action_format == "index" else move


class BuiltinChessPolicy(_Policy):
    """Plays what the built-in engine plays; see ``BuiltinOpponent`` for ``depth``."""

    def __init__(self, depth: int = 1, *, action_format: ActionFormat = "uci") -> None:
        super().__init__(BuiltinOpponent(depth), action_format)


class RandomChessPolicy(_Policy):
    """Plays any legal move, drawn from ``seed`` and the observation: equal observations get equal moves."""

    def __init__(self, seed: int = 0, *, action_format: ActionFormat = "uci") -> None:
        super().__init__(RandomOpponent(seed), action_format)


class StockfishPolicy(_Policy):
    """Plays what Stockfish plays; see ``StockfishOpponent`` for the options."""

    def __init__(
        self,
        *,
        depth: int | None = None,
        nodes: int | None = None,
        skill: float | None = None,
        elo: int | None = None,
        pool: EnginePool | None = None,
        action_format: ActionFormat = "uci",
    ) -> None:
        self._stockfish = StockfishOpponent(depth=depth, nodes=nodes, skill=skill, elo=elo, pool=pool)
        super().__init__(self._stockfish, action_format)

    def close(self) -> None:
        """Stop the engines, if they are this policy's own. Idempotent."""
        self._stockfish.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _EngineGuesser:
    """Guesses what an engine ranks highest, with probabilities learned by rank and by score difference.

    A subclass gives ``_rank``. Rankings are remembered, so that a position that comes again costs nothing.
    """

    def __init__(self, width: int, action_format: ActionFormat, calibration: ScoreCalibration | None) -> None:
        if width < 1:
            raise InvalidConfiguration(f"the number of ranked moves must be at least 1, not {width!r}")
        self.action_format = _checked(action_format)
        self.calibration = calibration or ScoreCalibration()
        self._width = width
        self._rankings: Recent[tuple[list[Line], bool]] = Recent(4096)

    def guess(self, call: Call, k: int, cancel: CancelToken | None = None) -> list[Guess]:
        """At most ``k`` moves, most likely first; none where the query holds no position, or a finished game.

        Raises:
            CallCancelled: The token was cancelled.
        """
        position = _position(call)
        if position is None:
            return []
        lines, complete = self._ranking(position, CancelToken() if cancel is None else cancel)
        probabilities = self.calibration.probabilities([line.score for line in lines], complete=complete)
        ranked = sorted(zip(probabilities, lines, strict=True), key=lambda pair: -pair[0])[:k]
        return [Guess(_response(call, line.move, position, self.action_format), p) for p, line in ranked]

    def observe(self, call: Call, response: Any) -> None:
        """Learn how the move that was played had been ranked, if this position was ranked."""
        position = _position(call)
        known = None if position is None else self._rankings.get((position.start_fen, position.moves))
        if position is None or known is None:
            return
        lines, complete = known
        played = key_of(response)
        keys = [key_of(_response(call, line.move, position, self.action_format)) for line in lines]
        if not complete:  # where every legal move was ranked there was nothing to learn about misses
            self.calibration.observe(keys.index(played) if played in keys else None, [line.score for line in lines])

    def _ranking(self, position: Position, cancel: CancelToken) -> tuple[list[Line], bool]:
        key = (position.start_fen, position.moves)
        known = self._rankings.get(key)
        if known is None:
            lines = self._rank(position, cancel)
            complete = len(lines) < self._width or position.board().legal_moves.count() == len(lines)
            known = lines, complete
            self._rankings.put(key, known)
        return known

    def _rank(self, position: Position, cancel: CancelToken) -> list[Line]:
        raise NotImplementedError("a subclass ranks the moves")


class StockfishGuesser(_EngineGuesser):
    """Guesses Stockfish's best moves: at depth 1, in about a millisecond.

    Deeper is not better: on three recorded games of a language model, depths 2 to 6 and up to 5,000 nodes all guessed
    fewer of its moves than depth 1.

    Args:
        depth: Plies to search. Default: 1, if ``nodes`` is not given.
        nodes: Nodes to search.
        multipv: How many moves to rank.
        action_format: How guesses of the agent's own move (calls to ``"policy"``) are written.
        pool: The engines to use; closed by whoever made it. Default: a pool of its own, closed with ``close``.
        calibration: What has been learned before. Default: nothing.
    """

    def __init__(
        self,
        *,
        depth: int | None = None,
        nodes: int | None = None,
        multipv: int = 5,
        action_format: ActionFormat = "uci",
        pool: EnginePool | None = None,
        calibration: ScoreCalibration | None = None,
    ) -> None:
        super().__init__(multipv, action_format, calibration)
        for name, value in (("depth", depth), ("nodes", nodes)):
            if value is not None and value < 1:
                raise InvalidConfiguration(f"{name} must be at least 1, not {value!r}")
        self._depth = 1 if depth is None and nodes is None else depth
        self._nodes = nodes
        self._pool = pool or EnginePool()
        self._owns_pool = pool is None

    def close(self) -> None:
        """Stop the engines, if they are this guesser's own. Idempotent."""
        if self._owns_pool:
            self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rank(self, position: Position, cancel: CancelToken) -> list[Line]:
        return self._pool.analyse(position, depth=self._depth, nodes=self._nodes, multipv=self._width, cancel=cancel)


class BuiltinChessGuesser(_EngineGuesser):
    """Guesses the built-in engine's best moves; needs no Stockfish.

    Args:
        depth: Plies searched before only captures count.
        width: How many moves to rank.
        action_format: How guesses of the agent's own move (calls to ``"policy"``) are written.
        calibration: What has been learned before. Default: nothing.
    """

    def __init__(
        self,
        *,
        depth: int = 1,
        width: int = 5,
        action_format: ActionFormat = "uci",
        calibration: ScoreCalibration | None = None,
    ) -> None:
        super().__init__(width, action_format, calibration)
        if depth < 1:
            raise InvalidConfiguration(f"depth must be at least 1, not {depth!r}")
        self._depth = depth

    def _rank(self, position: Position, cancel: CancelToken) -> list[Line]:
        cancel.raise_if_cancelled()
        return [Line(move.uci(), score) for move, score in rank_moves(position.board(), self._width, self._depth)]


class RecordedChessGuesser:
    """Makes the recorded guesses of a recorded game again, after the recorded seconds and for the recorded tokens.

    Off the record it makes none, at once. Probabilities are learned by rank.

    Args:
        game: The record.
        k_recorded: Which of the recorded guesses: those made when this many were asked for.
        speed: Recorded seconds that pass in one second.
        action_format: How guesses of the agent's own move (calls to ``"policy"``) are written.
        calibration: What has been learned before. Default: nothing.
    """

    def __init__(
        self,
        game: RecordedGame,
        k_recorded: int = 3,
        *,
        speed: float = 1.0,
        action_format: ActionFormat = "uci",
        calibration: RankCalibration | None = None,
    ) -> None:
        known = sorted({k for ply in game.plies for k in ply.guesses})
        if k_recorded not in known:
            raise InvalidConfiguration(f"k_recorded must be one of {known} for {game.name}, not {k_recorded!r}")
        if not speed > 0:
            raise InvalidConfiguration(f"speed must be above 0, not {speed!r}")
        self.game = game
        self.k_recorded = k_recorded
        self.speed = speed
        self.action_format = _checked(action_format)
        self.calibration = calibration or RankCalibration()

    def guess(self, call: Call, k: int, cancel: CancelToken | None = None) -> list[Guess]:
        """The first ``k`` recorded guesses.

        Raises:
            CallCancelled: The token was cancelled meanwhile.
        """
        position = _position(call)
        number = None if position is None else self.game.ply_of(position)
        recorded = None if number is None else self.game.plies[number].guesses.get(self.k_recorded)
        if position is None or recorded is None:
            return []
        (cancel or CancelToken()).sleep(recorded.seconds / self.speed, spending=recorded.usage)
        moves = _distinct(recorded.moves)
        probabilities = self.calibration.probabilities(len(moves))
        return [
            Guess(_response(call, move, position, self.action_format), p)
            for move, p in zip(moves[:k], probabilities, strict=False)
        ]

    def observe(self, call: Call, response: Any) -> None:
        """Learn which rank was right."""
        position = _position(call)
        number = None if position is None else self.game.ply_of(position)
        recorded = None if number is None else self.game.plies[number].guesses.get(self.k_recorded)
        if position is None or recorded is None:
            return
        played = key_of(response)
        keys = [key_of(_response(call, move, position, self.action_format)) for move in _distinct(recorded.moves)]
        self.calibration.observe(keys.index(played) if played in keys else None, len(keys))


def _checked(action_format: ActionFormat) -> ActionFormat:
    if action_format not in get_args(ActionFormat):
        raise InvalidConfiguration(f"action_format must be 'uci' or 'index', not {action_format!r}")
    return action_format


def _position(call: Call) -> Position | None:
    try:
        return Position.of(call.query)
    except TypeError:
        return None


def _response(call: Call, move: str, position: Position, action_format: ActionFormat) -> str | int:
    # An opponent always answers in UCI.
    return _encoded(move, position) if action_format == "index" and call.handler == "policy" else move


def _encoded(move: str, position: Position) -> int:
    from spec_envs.chess.encoding import encode_move  # only index environments need it

    return encode_move(chess.Move.from_uci(move), position.board().turn)


def _distinct(moves: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(moves))
