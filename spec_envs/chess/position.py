"""A chess position as an immutable value: the query of calls to an opponent, a policy or a guesser."""

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Self

import chess

from spec_envs.brief import own_form
from spec_envs.chess.game import Game


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """A start position and the moves since then, so that repetitions and claims are known as well.

    Args:
        start_fen: FEN of the position that the game started from.
        moves: Moves in UCI notation.
        seed: For players that draw at random: a seed that differs from ply to ply. Positions that are equal, seeds
            included, have equal replies.
    """

    start_fen: str = chess.STARTING_FEN
    moves: tuple[str, ...] = ()
    seed: int = 0
    #: The game that has led to the position, if the position was made from a game.
    _game: Game | None = dataclasses.field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def in_game(cls, game: Game, seed: int = 0) -> Self:
        """The present position of ``game``."""
        position = cls(game.start_fen, game.moves, seed)
        object.__setattr__(position, "_game", game)
        return position

    @classmethod
    def of(cls, query: Any) -> Self:
        """The position that ``query`` holds: a ``Position``, or a text observation of ``SpecChess-v0``.

        Raises:
            TypeError: ``query`` is neither, but for example an observation of planes, which lacks the moves.
        """
        if isinstance(query, cls):
            return query
        # The class is asked first, because to ask whether something is a Mapping takes longer than all else here.
        if (type(query) is dict or isinstance(query, Mapping)) and "start_fen" in query and "history" in query:
            return cls(query["start_fen"], tuple(query["history"].split()))
        raise TypeError(f"{type(query).__name__} holds no chess position: expected a Position or a text observation")

    def board(self, *, stack: bool = True) -> chess.Board:
        """The position on a new board, which takes a few microseconds, also late in a long game.

        Args:
            stack: Whether the board has the moves since the start, as repetitions and claims need them.
        """
        if not stack and self._game is not None:
            return self._game.board.copy(stack=False)
        board = _replay(self.start_fen, self.moves)
        return _copy_of(board) if stack else board.copy(stack=False)

    @property
    def legal_moves(self) -> tuple[str, ...]:
        """The legal moves in UCI notation, sorted, also where a draw could be claimed."""
        if self._game is not None and self._game.outcome is None:
            return self._game.legal_moves
        return tuple(sorted(move.uci() for move in self.board(stack=False).legal_moves))

    def __reduce__(self) -> tuple[type[Self], tuple[str, tuple[str, ...], int]]:
        return type(self), (self.start_fen, self.moves, self.seed)

    def __deepcopy__(self, memo: object) -> Self:
        return self  # nothing in it can change


@own_form.register
def _(position: Position) -> str:
    return brief_position(position.start_fen, position.moves)


def brief_position(start_fen: str, moves: Sequence[str]) -> str:
    """The position after ``moves`` as one short text."""
    return f"after {moves[-1]}, ply {len(moves)}" if moves else start_fen


_MAX_BOARDS = 1024
_MAX_STEPS_BACK = 4

# Boards by start and moves, the least recently used first. Nobody plays on them, so they need no lock of their own.
_boards: OrderedDict[tuple[str, tuple[str, ...]], chess.Board] = OrderedDict()
_lock = threading.Lock()


def _replay(start_fen: str, moves: tuple[str, ...]) -> chess.Board:
    """The board after ``moves``, which must not be changed.

    A position usually follows one or two moves after a position that is already known; if not, the game is replayed
    from its start.
    """
    board, rest = _nearest(start_fen, moves)
    if rest:
        board = _copy_of(board)
        for uci in rest:
            board.push_uci(uci)
    with _lock:
        _boards[start_fen, moves] = board
        _boards.move_to_end((start_fen, moves))
        while len(_boards) > _MAX_BOARDS:
            _boards.popitem(last=False)
    return board


def _copy_of(board: chess.Board) -> chess.Board:
    """A copy of ``board`` that shares its moves and states, which never change; ``board.copy()`` copies each."""
    twin = board.copy(stack=False)
    twin.move_stack = board.move_stack.copy()
    twin._stack = board._stack.copy()
    return twin


def _nearest(start_fen: str, moves: tuple[str, ...]) -> tuple[chess.Board, tuple[str, ...]]:
    """A known board on the way to the position, and the moves from that board to the position."""
    for back in range(min(len(moves), _MAX_STEPS_BACK) + 1):
        known = len(moves) - back
        board = _boards.get((start_fen, moves[:known]))
        if board is not None:
            return board, moves[known:]
    return chess.Board(start_fen), moves
