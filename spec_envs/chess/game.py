"""A game of chess as an immutable value: each move makes a new one, so forks share games instead of copying them.

python-chess finds repetitions by taking moves back on the board and playing them again. This changes the board for a
moment, while forks of an environment may read it on other threads, and takes a millisecond in a long endgame. So a game
remembers its earlier positions, and its board has no moves to take back.
"""

import dataclasses
import functools
import weakref
from typing import Any, Self

import chess

from spec_envs.brief import quoted
from spec_envs.chess.frames import Frame
from spec_envs.chess.reading import fen_of, legal_moves_of

#: Boards in one observation of planes.
MAX_FRAMES = 8

#: What makes two positions equal: pieces, side to move, castling rights, and a legal capture en passant.
#: The pieces of each side come first, since different positions mostly differ in them.
_Key = tuple[int, int, int, int, int, int, int, int, bool, int, int | None]


@dataclasses.dataclass(frozen=True, eq=False)
class Game:
    """A start position, the moves since then, and the position and outcome that these led to."""

    start_fen: str  # FEN of the start position, with all six fields
    moves: tuple[str, ...]  # moves since the start in UCI notation
    board: chess.Board  # the position, without a move stack. Read it, or copy it; never play on it
    outcome: chess.Outcome | None  # how the game ended; with ``claim_draw``, a draw that can be claimed is one
    claim_draw: bool  # whether the player to move always claims the draw that there is to claim
    #: The positions since the last irreversible move, the present one last. No position before that can recur.
    seen: tuple[_Key, ...]
    #: The positions among these that have occurred more than once.
    repeated: frozenset[_Key]
    #: The last positions (at most ``MAX_FRAMES``, newest first), as an observation of planes shows them.
    frames: tuple[Frame, ...]
    #: The games after one more move that are still in use: branches and the real episode make the same moves.
    _after: dict[str, weakref.ref[Self]] = dataclasses.field(default_factory=dict, init=False, repr=False)
    #: The last of these games, kept alive: a step that is run again with one more response repeats its first move.
    _latest: list[Self] = dataclasses.field(default_factory=list, init=False, repr=False)
    #: The texts that were read as legal moves, with these in UCI notation: forks read what the real episode reads.
    _read: dict[str, str] = dataclasses.field(default_factory=dict, init=False, repr=False)

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        return type(self), tuple(getattr(self, field.name) for field in dataclasses.fields(self) if field.init)

    @classmethod
    def at(cls, board: chess.Board, *, claim_draw: bool = True) -> Self:
        """The game that starts in the position of ``board`` (its move stack is left out)."""
        start_fen = board.fen()
        board = chess.Board(start_fen)
        # PettingZoo shows no position before the first move. In the usual start position nothing is lost by that; any
        # other one has to be seen.
        frames = () if start_fen == chess.STARTING_FEN else (Frame(board, False),)
        seen, repeated = (_key(board),), frozenset[_Key]()
        return cls(
            start_fen, (), board, _outcome(board, seen, repeated, claim_draw), claim_draw, seen, repeated, frames
        )

    def after(self, uci: str) -> Self:
        """The game after one more move, which must be legal (see ``read``)."""
        known = self._after.get(uci)
        game = known() if known is not None else None
        if game is None:
            game = self._move(uci)
            self._after[uci] = weakref.ref(game)
        self._latest[:] = [game]
        return game

    def _move(self, uci: str) -> Self:
        board = self.board.copy(stack=False)
        move = chess.Move.from_uci(uci)
        irreversible = board.is_irreversible(move)
        board.push(move)
        board.clear_stack()
        key = _key(board)
        seen, repeated = ((key,), frozenset[_Key]()) if irreversible else ((*self.seen, key), self.repeated)
        again = not irreversible and key in self.seen
        if again:
            repeated |= {key}
        outcome = _outcome(board, seen, repeated, self.claim_draw)
        frames = (Frame(board, again), *self.frames[: MAX_FRAMES - 1])
        moves = (*self.moves, uci)
        return type(self)(self.start_fen, moves, board, outcome, self.claim_draw, seen, repeated, frames)

    def read(self, uci: object) -> str:
        """``uci`` as a legal move in UCI notation; ``ValueError`` says what is wrong with it, and where."""
        if type(uci) is str and uci in self.__dict__.get("legal_moves", ()):  # so they need not be found first
            return uci
        if type(uci) is str and uci in self._read:
            return self._read[uci]
        if not isinstance(uci, str):
            raise ValueError(f"a move is a string in UCI notation, such as 'e2e4', not {quoted(uci)}")
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
        known = move.uci()
        if type(uci) is str:
            self._read[uci] = known
        return known

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
        return fen_of(self.board)

    @functools.cached_property
    def texts(self) -> dict[str, str]:
        """The position and the moves as an observation of texts; not to be changed."""
        return {
            "fen": self.fen,
            "turn": chess.COLOR_NAMES[self.board.turn],
            "history": " ".join(self.moves),
            "legal_moves": " ".join(self.legal_moves),
            "start_fen": self.start_fen,
        }

    @functools.cached_property
    def legal(self) -> tuple[chess.Move, ...]:
        """The legal moves, in any order; none once the game has ended."""
        return () if self.outcome else tuple(legal_moves_of(self.board))

    @functools.cached_property
    def legal_moves(self) -> tuple[str, ...]:
        """The legal moves in UCI notation, sorted."""
        return tuple(sorted(move.uci() for move in self.legal))


def _key(board: chess.Board) -> _Key:
    return (
        board.occupied_co[chess.WHITE],
        board.occupied_co[chess.BLACK],
        board.pawns,
        board.knights,
        board.bishops,
        board.rooks,
        board.queens,
        board.kings,
        board.turn,
        board.clean_castling_rights(),
        board.ep_square if board.ep_square is not None and board.has_legal_en_passant() else None,
    )


def _outcome(
    board: chess.Board, seen: tuple[_Key, ...], repeated: frozenset[_Key], claim_draw: bool
) -> chess.Outcome | None:
    """What ``chess.Board.outcome`` says with all moves on the stack; ``board`` is not shared yet."""
    outcome = board.outcome()
    if outcome is not None:
        return outcome
    times = seen.count(seen[-1]) if seen[-1] in repeated else 1
    if times >= 5:
        return chess.Outcome(chess.Termination.FIVEFOLD_REPETITION, None)
    if claim_draw and board.can_claim_fifty_moves():
        return chess.Outcome(chess.Termination.FIFTY_MOVES, None)
    if claim_draw and (times >= 3 or any(_leads_to(board, key) for key in repeated)):
        return chess.Outcome(chess.Termination.THREEFOLD_REPETITION, None)
    return None


def _leads_to(board: chess.Board, key: _Key) -> bool:
    """Whether a legal move leads from ``board`` to the position ``key``, which has come since the last capture."""
    white, black = board.occupied_co[chess.WHITE] ^ key[0], board.occupied_co[chess.BLACK] ^ key[1]
    changed, unchanged = (white, black) if board.turn == chess.WHITE else (black, white)
    if unchanged or chess.popcount(changed) != 2:  # most positions are more than one move away
        return False
    for move in board.generate_legal_moves(changed, changed):
        board.push(move)
        reached = _key(board) == key
        board.pop()
        if reached:
            return True
    return False
