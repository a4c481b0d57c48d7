"""A game of chess as an immutable value: each move makes a new one, so forks share games instead of copying them.

python-chess finds repetitions by taking moves back on the board and playing them again. That is a change in place, even
if a short one, and forks of an environment run on other threads; it also takes a millisecond in a long endgame. So a
game remembers which positions it has seen, and its board carries no moves to take back.
"""

import dataclasses
import functools
import weakref
from typing import Any, Self

import chess

#: Boards in one observation of planes.
MAX_FRAMES = 8

#: What repetitions of a position have in common: pieces, side to move, castling rights, a legal capture en passant.
_Key = tuple[int | bool | None, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Game:
    """A start position, the moves since, and what they led to."""

    start_fen: str  # FEN of the start position, with all six fields
    moves: tuple[str, ...]  # moves since the start in UCI notation
    board: chess.Board  # the position, without a move stack. Read it, or copy it; never play on it
    outcome: chess.Outcome | None  # how the game ended; with ``claim_draw``, a draw that can be claimed is one
    claim_draw: bool  # whether the player to move always claims the draw that there is to claim
    #: The positions since the last irreversible move, this one last. None before that can come again.
    seen: tuple[_Key, ...]
    #: The last positions (at most ``MAX_FRAMES``, newest first), each with whether it is a repetition.
    frames: tuple[tuple[chess.Board, bool], ...]
    #: The games one move on that somebody still holds: branches and the real episode make the same moves.
    _after: weakref.WeakValueDictionary[str, Self] = dataclasses.field(
        default_factory=weakref.WeakValueDictionary, init=False, repr=False
    )
    #: The last of them, held: a step that is run again with one more response makes its first move again.
    _latest: list[Self] = dataclasses.field(default_factory=list, init=False, repr=False)

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        return type(self), tuple(getattr(self, field.name) for field in dataclasses.fields(self) if field.init)

    @classmethod
    def at(cls, board: chess.Board, *, claim_draw: bool = True) -> Self:
        """The game that starts in the position of ``board`` (its move stack is left out)."""
        start_fen = board.fen()
        board = chess.Board(start_fen)
        # PettingZoo shows no position before the first move. In the usual start position nothing is lost by that; any
        # other one has to be seen.
        frames = () if start_fen == chess.STARTING_FEN else ((board, False),)
        seen = (_key(board),)
        return cls(start_fen, (), board, _outcome(board, seen, claim_draw), claim_draw, seen, frames)

    def after(self, uci: str) -> Self:
        """The game after one more move, which must be legal (see ``read``)."""
        game = self._after.get(uci)
        if game is None:
            game = self._after[uci] = self._move(uci)
        self._latest[:] = [game]
        return game

    def _move(self, uci: str) -> Self:
        board = self.board.copy(stack=False)
        move = chess.Move.from_uci(uci)
        irreversible = board.is_irreversible(move)
        board.push(move)
        board.clear_stack()
        key = _key(board)
        seen = (key,) if irreversible else (*self.seen, key)
        outcome = _outcome(board, seen, self.claim_draw)
        frames = ((board, seen.count(key) > 1), *self.frames[: MAX_FRAMES - 1])
        moves = (*self.moves, uci)
        return type(self)(self.start_fen, moves, board, outcome, self.claim_draw, seen, frames)

    def read(self, uci: object) -> str:
        """``uci`` as a legal move in UCI notation; ``ValueError`` says what is wrong with it, and where."""
        if not isinstance(uci, str):
            raise ValueError(f"a move is a string in UCI notation, such as 'e2e4', not {repr(uci)[:200]}")
        try:
            move = self.board.parse_uci(uci)
        except chess.IllegalMoveError:
            raise ValueError(f"{uci!r} is not a legal move in {self.fen}{self._hint(uci)}") from None
        except chess.InvalidMoveError:
            raise ValueError(
                f"{repr(uci)[:200]} is not a move in UCI notation, such as 'e2e4', in {self.fen}{self._hint(uci)}"
            ) from None
        if not move:
            raise ValueError(f"{uci!r} is the null move, which is not a legal move in {self.fen}")
        return move.uci()

    def _hint(self, text: str) -> str:
        if text + "q" in self.legal_moves:
            return f"; a promotion names the piece: {text + 'q'!r}"
        try:
            return f"; in UCI notation that is {self.board.parse_san(text.strip()).uci()!r}"
        except ValueError:
            return ""

    @functools.cached_property
    def fen(self) -> str:
        """The position as FEN, with all six fields."""
        return self.board.fen()

    @functools.cached_property
    def legal(self) -> tuple[chess.Move, ...]:
        """The legal moves; none once the game has ended."""
        return () if self.outcome else tuple(self.board.generate_legal_moves())

    @functools.cached_property
    def legal_moves(self) -> tuple[str, ...]:
        """The legal moves in UCI notation, sorted."""
        return tuple(sorted(move.uci() for move in self.legal))


def _key(board: chess.Board) -> _Key:
    return (
        *(board.pieces_mask(piece, side) for side in chess.COLORS for piece in chess.PIECE_TYPES),
        board.turn,
        board.clean_castling_rights(),
        board.ep_square if board.has_legal_en_passant() else None,
    )


def _outcome(board: chess.Board, seen: tuple[_Key, ...], claim_draw: bool) -> chess.Outcome | None:
    """What ``chess.Board.outcome`` says with all moves on the stack; ``board`` is not shared yet."""
    outcome = board.outcome()
    if outcome is not None:
        return outcome
    times = seen.count(seen[-1])
    if times >= 5:
        return chess.Outcome(chess.Termination.FIVEFOLD_REPETITION, None)
    if claim_draw and board.can_claim_fifty_moves():
        return chess.Outcome(chess.Termination.FIFTY_MOVES, None)
    if claim_draw and (times >= 3 or _can_complete_threefold(board, seen)):
        return chess.Outcome(chess.Termination.THREEFOLD_REPETITION, None)
    return None


def _can_complete_threefold(board: chess.Board, seen: tuple[_Key, ...]) -> bool:
    if len(set(seen)) == len(seen):
        return False  # nothing has been here twice
    for move in board.generate_legal_moves():
        board.push(move)
        times = seen.count(_key(board))
        board.pop()
        if times >= 2:
            return True
    return False
