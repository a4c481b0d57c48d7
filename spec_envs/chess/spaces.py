"""The spaces of ``SpecChess-v0``: observations as text or planes, and action spaces whose samples are legal moves."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Protocol

import chess
import numpy as np
from gymnasium import spaces

from spec_envs.chess.encoding import NUM_ACTIONS, PLANES_SHAPE, encode_move, possible_moves
from spec_envs.spaces import PlainText

if TYPE_CHECKING:
    from spec_envs.chess.game import Game

    _Discrete = spaces.Discrete[np.int64]
    _Space = spaces.Space[Any]
else:
    _Discrete = spaces.Discrete  # takes no type argument before Gymnasium 1.4
    _Space = object

_MOVE_CHARS = "12345678abcdefghnqr"
_FEN_CHARS = " -/0123456789BKNPQRabcdefghknpqrw"

# No game is longer than 17,697 half moves, because of the draw after 75 moves without progress; and no position has
# more than 218 legal moves.
_HISTORY_LENGTH = 6 * 17_700
_LEGAL_MOVES_LENGTH = 6 * 218


def observation_space(kind: str) -> spaces.Space[Any]:
    """The space of observations of the ``kind`` "text" or "planes"."""
    if kind == "planes":
        boolean: Any = np.bool_  # of which gymnasium's types know nothing
        return spaces.Box(0, 1, PLANES_SHAPE, boolean)
    return spaces.Dict(
        {
            "fen": PlainText(120, charset=_FEN_CHARS),
            "turn": PlainText(5, min_length=5, charset="abcehikltw"),
            "history": PlainText(_HISTORY_LENGTH, min_length=0, charset=" " + _MOVE_CHARS),
            "legal_moves": PlainText(_LEGAL_MOVES_LENGTH, min_length=0, charset=" " + _MOVE_CHARS),
            "start_fen": PlainText(120, charset=_FEN_CHARS),
        }
    )


class Playing(Protocol):
    """The parts of an environment that its action space uses.

    Attributes:
        game: The game so far; ``None`` before the first ``reset``.
        color: The agent's side.
    """

    game: Game | None
    color: chess.Color

    def first_moves(self) -> tuple[str, ...]:
        """The moves that are legal after ``reset()`` in any case."""
        ...


class _Moves(_Space):
    """A space of moves, whose samples are legal in the environment that the space belongs to.

    A caller who samples right after ``seed`` is about to reset: ``check_env`` calls ``seed``, ``sample``, ``reset`` and
    ``step`` in this order. So after ``seed``, and until the position changes, only moves are drawn that are legal after
    a reset as well.
    """

    def __init__(self, env: Playing | None, *size: Any, **limits: Any) -> None:
        # Weak, so that an unused fork is freed at once, and not only by the garbage collector.
        self._env = None if env is None else weakref.ref(env)
        self._seeded_at: Game | None = None
        super().__init__(*size, **limits)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_env": None, "_seeded_at": None}  # the copy of a space belongs to no environment

    def seed(self, seed: int | None = None) -> Any:
        """Seed this space's generator; see ``gymnasium.Space.seed``."""
        env = self._playing()
        if seed is not None:
            self._seeded_at = env.game if env else None
        return super().seed(seed)

    def _playing(self) -> Playing | None:
        return self._env() if self._env else None

    def _draw(self) -> str:
        moves = self._legal()
        return moves[int(self.np_random.integers(len(moves)))]

    def _legal(self) -> tuple[str, ...]:
        env = self._playing()
        if env is None:
            return possible_moves()
        now = () if env.game is None else env.game.legal_moves
        if now and env.game is not self._seeded_at:
            return now
        first = env.first_moves()
        return tuple(move for move in now if move in first) or now or first or possible_moves()


class MoveText(_Moves, spaces.Text):
    """Moves in UCI notation. ``sample()`` draws a legal move; a copy of the space draws any move a piece could make."""

    def __init__(self, env: Playing | None = None) -> None:
        super().__init__(env, 5, min_length=4, charset=_MOVE_CHARS)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A legal move; with ``mask`` or ``probability``, text as ``Text.sample`` draws it."""
        return self._draw() if mask is None and probability is None else super().sample(mask, probability)


class MoveIndex(_Moves, _Discrete):
    """Moves in AlphaZero's 8x8x73 encoding. ``sample()`` draws a legal move, as ``MoveText`` does."""

    def __init__(self, env: Playing | None = None) -> None:
        super().__init__(env, NUM_ACTIONS)

    def sample(self, mask: Any = None, probability: Any = None) -> np.int64:
        """A legal move; with ``mask`` or ``probability``, an index as ``Discrete.sample`` draws it."""
        if mask is not None or probability is not None:
            return super().sample(mask, probability)
        env = self._playing()
        color = chess.WHITE if env is None else env.color
        return np.int64(encode_move(chess.Move.from_uci(self._draw()), color))
