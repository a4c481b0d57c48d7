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
    """What an action space needs of the environment that it belongs to.

    Attributes:
        game: The game so far; ``None`` before the first ``reset``.
        color: The agent's side.
    """

    game: Game | None
    color: chess.Color

    def first_moves(self) -> tuple[str, ...]:
        """The moves that are sure to be legal after ``reset()``."""
        ...


class _Legal:
    """The moves that a space samples from: those that are legal in the environment to which the space belongs.

    A caller who samples right after ``seed`` is about to reset: ``check_env`` calls ``seed``, ``sample``, ``reset`` and
    ``step`` in this order. So until the position changes, the moves drawn are those that are legal after a reset, too.
    """

    def __init__(self, env: Playing | None) -> None:
        # Weak, so that a dropped fork goes at once instead of with the next garbage collection.
        self._env = None if env is None else weakref.ref(env)
        self._seeded_at: Game | None = None

    def __reduce__(self) -> tuple[type[_Legal], tuple[None]]:
        return _Legal, (None,)  # the copy of a space belongs to no environment

    def seeded(self) -> None:
        env = self._env() if self._env else None
        self._seeded_at = env.game if env else None

    def moves(self) -> tuple[str, ...]:
        env = self._env() if self._env else None
        if env is None:
            return possible_moves()
        now = () if env.game is None else env.game.legal_moves
        if now and env.game is not self._seeded_at:
            return now
        first = env.first_moves()
        return tuple(move for move in now if move in first) or now or first or possible_moves()

    def color(self) -> chess.Color:
        env = self._env() if self._env else None
        return chess.WHITE if env is None else env.color

    def draw(self, rng: np.random.Generator) -> str:
        moves = self.moves()
        return moves[int(rng.integers(len(moves)))]


class _Moves(_Space):
    """What the two spaces of moves share: each has a ``_Legal``, which is told of the seed."""

    _legal: _Legal

    def seed(self, seed: int | None = None) -> Any:
        """Seed this space's generator; see ``gymnasium.Space.seed``."""
        if seed is not None:
            self._legal.seeded()
        return super().seed(seed)


class MoveText(_Moves, spaces.Text):
    """Moves in UCI notation. ``sample()`` draws a legal move; a copy of the space draws any move a piece could make."""

    def __init__(self, env: Playing | None = None) -> None:
        self._legal = _Legal(env)
        super().__init__(5, min_length=4, charset=_MOVE_CHARS)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A legal move; with ``mask`` or ``probability``, text as ``Text.sample`` draws it."""
        if mask is not None or probability is not None:
            return super().sample(mask, probability)
        return self._legal.draw(self.np_random)


class MoveIndex(_Moves, _Discrete):
    """Moves in AlphaZero's 8x8x73 encoding. ``sample()`` draws a legal move, as ``MoveText`` does."""

    def __init__(self, env: Playing | None = None) -> None:
        self._legal = _Legal(env)
        super().__init__(NUM_ACTIONS)

    def sample(self, mask: Any = None, probability: Any = None) -> np.int64:
        """A legal move; with ``mask`` or ``probability``, an index as ``Discrete.sample`` draws it."""
        if mask is not None or probability is not None:
            return super().sample(mask, probability)
        move = chess.Move.from_uci(self._legal.draw(self.np_random))
        return np.int64(encode_move(move, self._legal.color()))
