"""A small built-in chess engine, for machines without Stockfish; it finds a move in about a millisecond.

Negamax with alpha-beta over material and piece-square tables, then captures and answers to checks until the position
is quiet. Scores are updated move by move, so only the first position is evaluated from scratch. The engine is
deterministic: the same board, with the same last moves, always gets the same answer.
"""

import functools
from collections.abc import Iterable

import chess

from spec_envs.checks import integer
from spec_envs.errors import InvalidConfiguration

#: Score, in centipawns, of giving mate now; a mate ``n`` plies away is worth ``n`` less.
MATE = 30_000

_VALUES = {
    # middle game, end game
    chess.PAWN: (90, 120),
    chess.KNIGHT: (320, 300),
    chess.BISHOP: (335, 320),
    chess.ROOK: (480, 530),
    chess.QUEEN: (950, 980),
    chess.KING: (0, 0),
}
_PHASE = {chess.KNIGHT: 1, chess.BISHOP: 1, chess.ROOK: 2, chess.QUEEN: 4}
_FULL_PHASE = 24
#: Beyond the nominal depth, all answers to a check are searched for this many further plies.
_CHECK_PLIES = 2
#: How many captures in a row are followed beyond the depth; longer exchanges are rare, and cost most of the time.
_CAPTURE_PLIES = 5
#: How many moves of the past a search checks for repetitions.
_HISTORY = 8

_Tables = tuple[tuple[tuple[int, ...], ...], ...]


def best_move(board: chess.Board, depth: int = 1) -> chess.Move:
    """The move that the built-in engine plays.

    Args:
        board: The position; left as it is.
        depth: Plies searched before only captures count. Depth 1 takes about 1 ms, each further ply about 5 times more.

    Raises:
        InvalidConfiguration: There is no legal move, or ``depth`` is below 1.
    """
    ranked = rank_moves(board, 1, depth)
    if not ranked:
        raise InvalidConfiguration(f"there is no legal move to choose from in {board.fen()}")
    return ranked[0][0]


def rank_moves(board: chess.Board, k: int, depth: int = 1) -> list[tuple[chess.Move, int]]:
    """The ``k`` best legal moves, best first, with their scores in centipawns for the side to move; ``depth`` >= 1."""
    depth = integer("depth", depth, least=1)
    search = _Search(board.copy(stack=_HISTORY))
    best: list[tuple[int, int, chess.Move]] = []
    for order, (gain, move) in enumerate(search.ordered(search.board.generate_legal_moves())):
        # Only the k best scores need be exact: the k-th best so far is the bound for the rest.
        floor = -best[-1][0] if len(best) >= k else -MATE
        score = search.after(move, gain, depth, floor)
        best.append((-score, order, move))
        best.sort(key=lambda entry: entry[:2])
        del best[k:]
    return [(move, -negated) for negated, _, move in best]


class _Search:
    """One search; ``board`` is pushed to and popped from, ``score`` is that of the position for the side to move."""

    def __init__(self, board: chess.Board) -> None:
        self.board = board
        phase = sum(_PHASE.get(piece.piece_type, 0) for piece in board.piece_map().values())
        self.tables = _tables(min(phase, _FULL_PHASE))
        white = sum(self._worth(square, True) for square in chess.scan_forward(board.occupied_co[True]))
        black = sum(self._worth(square, False) for square in chess.scan_forward(board.occupied_co[False]))
        self.score = white - black if board.turn else black - white

    def _worth(self, square: int, color: bool) -> int:
        return self.tables[color][self.board.piece_type_at(square) or 0][square]

    def after(self, move: chess.Move, gain: int, depth: int, floor: int) -> int:
        """The score of a move at the root; exact where it is above ``floor``."""
        board = self.board
        board.push(move)
        try:
            if self._is_draw():
                return 0
            return -self._negamax(depth - 1, -MATE, -floor, -(self.score + gain), 1)
        finally:
            board.pop()

    def _is_draw(self) -> bool:
        board = self.board
        if board.halfmove_clock >= 4 and board.is_repetition(2):
            return True
        if board.halfmove_clock >= 100 or board.is_insufficient_material():
            return True
        # Stalemate is looked for where it happens: when few pieces can move.
        few = chess.popcount(board.occupied_co[board.turn] & ~board.pawns) <= 2
        return few and not board.is_check() and not any(board.generate_legal_moves())

    def ordered(self, moves: Iterable[chess.Move]) -> list[tuple[int, chess.Move]]:
        """The moves with what each gains at once, the greatest gain first; a capture by a small piece before a big."""
        entries = []
        for move in moves:
            gain = self._gain(move)
            attacker = self.board.piece_type_at(move.from_square) or 0
            entries.append((attacker - 8 * gain, gain, move))
        entries.sort(key=lambda entry: entry[0])  # stable: ties stay in the generator's order
        return [(gain, move) for _, gain, move in entries]

    def _gain(self, move: chess.Move) -> int:
        board, color = self.board, self.board.turn
        start, end = move.from_square, move.to_square
        kind = board.piece_type_at(start) or 0
        table = self.tables[color]
        gain = table[move.promotion or kind][end] - table[kind][start]
        taken = board.piece_type_at(end)
        if taken:
            if board.occupied_co[color] & chess.BB_SQUARES[end]:
                return self._castling_gain(move)  # Chess960 castling: the king "takes" its own rook
            gain += self.tables[not color][taken][end]
        elif kind == chess.PAWN and start % 8 != end % 8:
            gain += self.tables[not color][chess.PAWN][chess.square(end % 8, start // 8)]
        elif kind == chess.KING and abs(start - end) == 2:
            return self._castling_gain(move)
        return gain

    def _castling_gain(self, move: chess.Move) -> int:
        table, rank = self.tables[self.board.turn], chess.square_rank(move.from_square)
        kingside = move.to_square > move.from_square
        king, rook = table[chess.KING], table[chess.ROOK]
        gain = king[chess.square(6 if kingside else 2, rank)] - king[move.from_square]
        return gain + rook[chess.square(5 if kingside else 3, rank)] - rook[chess.square(7 if kingside else 0, rank)]

    def _negamax(self, depth: int, alpha: int, beta: int, score: int, ply: int) -> int:
        """The score of the position, searched ``depth`` plies and then until it is quiet (``depth`` below 1)."""
        board = self.board
        in_check = depth > -_CHECK_PLIES and board.is_check()
        if depth > 0 or in_check:
            best, moves = -MATE + ply, board.generate_legal_moves()
        else:
            best = score  # the side to move need not capture anything
            if best >= beta or depth <= -_CAPTURE_PLIES:
                return best
            moves = board.generate_legal_captures()
        alpha = max(alpha, best)
        any_move = False
        for gain, move in self.ordered(moves):
            any_move = True
            board.push(move)
            value = -self._negamax(depth - 1, -beta, -alpha, -(score + gain), ply + 1)
            board.pop()
            if value > best:
                best = value
                alpha = max(alpha, best)
                if alpha >= beta:
                    break
        if not any_move and depth > 0 and not in_check:
            return 0  # stalemate
        return best


@functools.lru_cache(maxsize=_FULL_PHASE + 1)
def _tables(phase: int) -> _Tables:
    """Worth of each piece by colour, kind and square; ``phase`` is 24 at the start of a game, 0 with bare kings."""

    def worth(kind: int, square: int) -> int:
        if not kind:
            return 0
        file, rank = chess.square_file(square), chess.square_rank(square)
        middle, end = _PLACES[kind](file, rank)
        value_middle, value_end = _VALUES[kind]
        return ((value_middle + middle) * phase + (value_end + end) * (_FULL_PHASE - phase)) // _FULL_PHASE

    white = tuple(tuple(worth(kind, square) for square in chess.SQUARES) for kind in range(7))
    black = tuple(tuple(table[chess.square_mirror(square)] for square in chess.SQUARES) for table in white)
    return black, white


def _centre(file: int, rank: int) -> int:
    """3 on the four central squares, 0 on the rim."""
    return min(file, 7 - file, rank, 7 - rank)


def _pawn(file: int, rank: int) -> tuple[int, int]:
    central = file in (3, 4)
    middle = (0, 0, 4, 10, 18, 30, 60, 0)[rank]
    if central:
        middle += (0, -18, 4, 20, 24, 24, 10, 0)[rank]
    elif file in (2, 5):
        middle += (0, 0, 0, 6, 10, 10, 5, 0)[rank]
    else:
        middle += (0, 6, 4, -6, -4, 0, 0, 0)[rank]
    return middle, (0, 0, 4, 12, 30, 60, 100, 0)[rank]


def _knight(file: int, rank: int) -> tuple[int, int]:
    middle = (-40, -8, 16, 22)[_centre(file, rank)] - (12 if rank == 0 else 0) + (8 if rank in (4, 5) else 0)
    return middle, (-35, -10, 8, 18)[_centre(file, rank)]


def _bishop(file: int, rank: int) -> tuple[int, int]:
    middle = (-12, 6, 10, 12)[_centre(file, rank)] - (14 if rank == 0 else 0) + (8 if file in (rank, 7 - rank) else 0)
    return middle, (-10, 0, 6, 10)[_centre(file, rank)]


def _rook(file: int, rank: int) -> tuple[int, int]:
    middle = (0, 0, 2, 6, 6, 4, 0, 0)[file] + (24 if rank == 6 else 0)
    return middle, 10 if rank >= 5 else 0


def _queen(file: int, rank: int) -> tuple[int, int]:
    # An early sally is the beginner's favourite and rarely right.
    return (-6, 0, 4, 4)[_centre(file, rank)] - (6 if rank >= 3 else 0), (-20, -5, 10, 20)[_centre(file, rank)]


def _king(file: int, rank: int) -> tuple[int, int]:
    shelter = (26, 34, 14, -6, -2, -6, 40, 28)[file] if rank == 0 else (-10 if rank == 1 else -20) - 12 * rank
    return shelter, (-30, -8, 12, 24)[_centre(file, rank)]


_PLACES = {
    chess.PAWN: _pawn,
    chess.KNIGHT: _knight,
    chess.BISHOP: _bishop,
    chess.ROOK: _rook,
    chess.QUEEN: _queen,
    chess.KING: _king,
}
