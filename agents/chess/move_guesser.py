"""``MoveModelGuesser``: guesses the moves of players that are language models."""

from spec_envs import Call, CancelToken, Guess
from spec_envs.agents.calibration import capped
from spec_envs.agents.chess.move_features import move_features
from spec_envs.agents.chess.move_model import MoveModel
from spec_envs.agents.chess.policies import ActionFormat, as_response, checked_format, position_of
from spec_envs.agents.recent import Recent
from spec_envs.chess.engine import EnginePool, stockfish_is_installed
from spec_envs.chess.position import Position
from spec_envs.closing import Closing


class MoveModelGuesser(Closing):
    """Guesses the moves that language models play: sound moves, but also natural and tempting ones.

    A model gives a probability to every legal move. The model uses the rankings of two quick engines, and what a move
    does: whether it captures, checks, castles, attacks, leaves a piece hanging, and so on. To fit a model of other
    players, run ``spec-envs chess fit-moves``. A guess takes 10 to 20 ms, since both engines rank all moves. Positions
    are remembered, so that a repeated position costs nothing.

    Args:
        model: The model. Default: the one that comes with the package, fitted to three games of gpt-5 against itself;
            without the features from Stockfish if it is not installed.
        action_format: The form of guesses of the agent's own move (calls to ``"policy"``).
        pool: The engines of Stockfish to use, which the caller closes. Default: a new pool, which ``close`` closes.
    """

    def __init__(
        self, model: MoveModel | None = None, *, action_format: ActionFormat = "uci", pool: EnginePool | None = None
    ) -> None:
        self.model = model or MoveModel.shipped(stockfish=pool is not None or stockfish_is_installed())
        self.action_format: ActionFormat = checked_format(action_format)
        self._own_pool = EnginePool() if pool is None and self.model.uses_stockfish else None
        self._pool = (pool or self._own_pool) if self.model.uses_stockfish else None
        self._known: Recent[dict[str, float]] = Recent(4096)

    def guess(self, call: Call, k: int, cancel: CancelToken | None = None) -> list[Guess]:
        """Return the ``k`` most likely moves; none if the query holds no position, or a finished game.

        Raises:
            CallCancelled: The token was cancelled.
        """
        position = position_of(call)
        if position is None:
            return []
        moves = self._probabilities(position, cancel)
        likely = zip(moves, capped(list(moves.values())), strict=True)
        return [Guess(as_response(call, move, position, self.action_format), p) for move, p in list(likely)[:k]]

    def close(self) -> None:
        """Stop the engines, unless they belong to a ``pool`` that was given. Idempotent."""
        if self._own_pool is not None:
            self._own_pool.close()

    def _probabilities(self, position: Position, cancel: CancelToken | None) -> dict[str, float]:
        key = (position.start_fen, position.moves)
        known = self._known.get(key)
        if known is None:
            known = self.model.probabilities(move_features(position.board(), self._pool, cancel))
            self._known.put(key, known)
        return known
