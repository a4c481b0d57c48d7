"""Guessers of chess moves, of the opponent and of the agent: an engine's best moves, or recorded guesses.

A query that holds no position, such as an observation of planes, gets no guess.
"""

import abc
from typing import Any

from spec_envs import Call, CancelToken, Guess
from spec_envs.agents.calibration import RankCalibration, ScoreCalibration
from spec_envs.agents.chess.policies import ActionFormat, as_response, checked_format, position_of
from spec_envs.agents.recent import Recent
from spec_envs.checks import integer, integer_or_none, positive
from spec_envs.chess.builtin import rank_moves
from spec_envs.chess.engine import EnginePool
from spec_envs.chess.games import RecordedGame, RecordedGuesses
from spec_envs.chess.position import Position
from spec_envs.chess.uci import Line
from spec_envs.closing import Closing
from spec_envs.errors import InvalidConfiguration
from spec_envs.values import key_of


class _EngineGuesser(abc.ABC):
    """Guesses the moves that an engine ranks highest, with probabilities learned by rank and by score difference.

    A subclass implements ``_rank``. Rankings are remembered, so that a repeated position costs nothing.
    """

    def __init__(self, width: int, action_format: ActionFormat, calibration: ScoreCalibration | None) -> None:
        self.action_format: ActionFormat = checked_format(action_format)
        self.calibration = calibration or ScoreCalibration()
        self._width = integer("the number of ranked moves", width, least=1)
        self._rankings: Recent[tuple[list[Line], bool]] = Recent(4096)

    def guess(self, call: Call, k: int, cancel: CancelToken | None = None) -> list[Guess]:
        """Return at most ``k`` moves, most likely first; none if the query holds no position, or a finished game.

        Raises:
            CallCancelled: The token was cancelled.
        """
        position = position_of(call)
        if position is None:
            return []
        lines, complete = self._ranking(position, CancelToken() if cancel is None else cancel)
        probabilities = self.calibration.probabilities([line.score for line in lines], complete=complete)
        ranked = sorted(zip(probabilities, lines, strict=True), key=lambda pair: -pair[0])[:k]
        return [Guess(as_response(call, line.move, position, self.action_format), p) for p, line in ranked]

    def observe(self, call: Call, response: Any) -> None:
        """Learn the rank of the move that was played, if this position was ranked before."""
        position = position_of(call)
        known = None if position is None else self._rankings.get((position.start_fen, position.moves))
        if position is None or known is None:
            return
        lines, complete = known
        played = key_of(response)
        keys = [key_of(as_response(call, line.move, position, self.action_format)) for line in lines]
        if not complete:  # a ranking of all legal moves cannot miss, so it teaches nothing about misses
            self.calibration.observe(keys.index(played) if played in keys else None, [line.score for line in lines])

    def _ranking(self, position: Position, cancel: CancelToken) -> tuple[list[Line], bool]:
        key = (position.start_fen, position.moves)
        known = self._rankings.get(key)
        if known is None:
            lines = self._rank(position, cancel)
            complete = len(lines) < self._width or position.board(stack=False).legal_moves.count() == len(lines)
            known = lines, complete
            self._rankings.put(key, known)
        return known

    @abc.abstractmethod
    def _rank(self, position: Position, cancel: CancelToken) -> list[Line]:
        """Return the best moves with their scores, best first."""


class StockfishGuesser(_EngineGuesser, Closing):
    """Guesses the best moves according to Stockfish. At depth 1 this takes about a millisecond.

    A deeper search is not better: on three recorded games of a language model, depths 2 to 6, and up to 5,000 nodes,
    all guessed fewer of the model's moves than depth 1.

    Args:
        depth: The number of plies to search. Default: 1, if ``nodes`` is not given.
        nodes: The number of nodes to search.
        multipv: The number of moves to rank.
        action_format: The form of guesses of the agent's own move (calls to ``"policy"``).
        pool: The engines to use, which the caller closes. Default: a new pool, which ``close`` closes.
        calibration: Probabilities learned before. Default: new ones.
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
        self._depth = integer_or_none("depth", 1 if depth is None and nodes is None else depth, least=1)
        self._nodes = integer_or_none("nodes", nodes, least=1)
        self._pool = pool or EnginePool()
        self._owns_pool = pool is None

    def close(self) -> None:
        """Stop the engines, unless they belong to a ``pool`` that was given. Idempotent."""
        if self._owns_pool:
            self._pool.close()

    def _rank(self, position: Position, cancel: CancelToken) -> list[Line]:
        return self._pool.analyse(position, depth=self._depth, nodes=self._nodes, multipv=self._width, cancel=cancel)


class BuiltinChessGuesser(_EngineGuesser):
    """Guesses the best moves according to the built-in engine; needs no Stockfish.

    Args:
        depth: The number of plies to search before only captures are followed.
        width: The number of moves to rank.
        action_format: The form of guesses of the agent's own move (calls to ``"policy"``).
        calibration: Probabilities learned before. Default: new ones.
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
        self._depth = integer("depth", depth, least=1)

    def _rank(self, position: Position, cancel: CancelToken) -> list[Line]:
        cancel.raise_if_cancelled()
        return [Line(move.uci(), score) for move, score in rank_moves(position.board(), self._width, self._depth)]


class RecordedChessGuesser:
    """Repeats the guesses of a recorded game, after the recorded seconds and for the recorded tokens.

    A position that is not in the record gets no guess, without delay. Probabilities are learned by rank.

    Args:
        game: The record.
        k_recorded: Repeat the guesses that were recorded when this number of guesses was requested.
        speed: The number of recorded seconds that pass in one second (> 0).
        action_format: The form of guesses of the agent's own move (calls to ``"policy"``).
        calibration: Probabilities learned before. Default: new ones.

    Raises:
        InvalidConfiguration: The record has no guesses for ``k_recorded``, or ``speed`` is not above 0.
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
        self.game = game
        self.k_recorded = k_recorded
        self.speed = positive("speed", speed)
        self.action_format: ActionFormat = checked_format(action_format)
        self.calibration = calibration or RankCalibration()

    def guess(self, call: Call, k: int, cancel: CancelToken | None = None) -> list[Guess]:
        """Return the first ``k`` recorded guesses.

        Raises:
            CallCancelled: The token was cancelled meanwhile.
        """
        recorded = self._recorded(call)
        if recorded is None:
            return []
        (cancel or CancelToken()).sleep(recorded.seconds / self.speed, spending=recorded.usage)
        responses = self._responses(call, recorded)
        probabilities = self.calibration.probabilities(len(responses))
        return [Guess(response, p) for response, p in zip(responses[:k], probabilities, strict=False)]

    def observe(self, call: Call, response: Any) -> None:
        """Learn which rank was right, if the record holds guesses for this call."""
        recorded = self._recorded(call)
        if recorded is None:
            return
        played = key_of(response)
        keys = [key_of(each) for each in self._responses(call, recorded)]
        self.calibration.observe(keys.index(played) if played in keys else None, len(keys))

    def _recorded(self, call: Call) -> RecordedGuesses | None:
        position = position_of(call)
        number = None if position is None else self.game.ply_of(position)
        return None if number is None else self.game.plies[number].guesses.get(self.k_recorded)

    def _responses(self, call: Call, recorded: RecordedGuesses) -> list[str | int]:
        """Return the recorded moves, each once, as responses to ``call``."""
        position = Position.of(call.query)
        return [as_response(call, move, position, self.action_format) for move in dict.fromkeys(recorded.moves)]
