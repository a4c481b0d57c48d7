"""Legal moves and FEN of a board, in half the time of python-chess: most of the work of a step."""

import chess

#: The moves without a promotion, by start and end square; never changed.
_MOVES = [[chess.Move(start, end) for end in chess.SQUARES] for start in chess.SQUARES]

_EMPTY = b"1" * 64
_FILES = [slice(first, first + 8) for first in range(0, 64, 8)]
#: Runs of empty squares as FEN counts them, the longest first.
_RUNS = [("1" * length, str(length)) for length in range(8, 1, -1)]
_WHITE, _BLACK = b"PNBRQK", b"pnbrqk"


def legal_moves_of(board: chess.Board) -> list[chess.Move]:
    """The legal moves in ``board``, on a board of usual chess."""
    king, attacked = board.king(board.turn), _attacked(board)
    if king is None or attacked & chess.BB_SQUARES[king] or board.has_pseudo_legal_en_passant():
        return list(board.generate_legal_moves())
    # Without check, a piece that does not shield its king may make any of its moves.
    own, shields = board.occupied_co[board.turn], _shields(board, king)
    free, ends = own & ~shields, ~own & chess.BB_ALL
    moves = list(board.generate_pseudo_legal_moves(free & board.pawns))
    for start in chess.scan_reversed(free & ~board.pawns):
        row, reached = _MOVES[start], board.attacks_mask(start) & ends
        moves += [row[end] for end in chess.scan_reversed(reached & ~attacked if start == king else reached)]
    if board.castling_rights:
        moves += board.generate_castling_moves()
    if own & shields:
        moves += board.generate_legal_moves(own & shields)
    return moves


def _attacked(board: chess.Board) -> chess.Bitboard:
    """The squares that the side which is not to move attacks."""
    other = board.occupied_co[not board.turn]
    pawns = board.pawns & other
    left, right = pawns & ~chess.BB_FILE_A, pawns & ~chess.BB_FILE_H
    if board.turn == chess.WHITE:
        attacked = left >> 9 | right >> 7
    else:
        attacked = left << 7 | right << 9
    for square in chess.scan_reversed(other & ~pawns):
        attacked |= board.attacks_mask(square)
    return attacked


def _shields(board: chess.Board, king: chess.Square) -> chess.Bitboard:
    """The pieces, of either side, that stand alone between the king and a piece that would give check."""
    straight = (chess.BB_RANK_ATTACKS[king][0] | chess.BB_FILE_ATTACKS[king][0]) & (board.rooks | board.queens)
    diagonal = chess.BB_DIAG_ATTACKS[king][0] & (board.bishops | board.queens)
    shields = 0
    for attacker in chess.scan_reversed((straight | diagonal) & board.occupied_co[not board.turn]):
        between = chess.between(king, attacker) & board.occupied
        if between & (between - 1) == 0:
            shields |= between
    return shields


def fen_of(board: chess.Board) -> str:
    """What ``board.fen()`` returns, on a board of usual chess."""
    ep_square = board.ep_square if board.ep_square is not None and board.has_legal_en_passant() else None
    passing = "-" if ep_square is None else chess.SQUARE_NAMES[ep_square]
    side = "w" if board.turn == chess.WHITE else "b"
    rights = board.castling_xfen()
    return f"{_pieces(board)} {side} {rights} {passing} {board.halfmove_clock} {board.fullmove_number}"


def _pieces(board: chess.Board) -> str:
    squares = bytearray(_EMPTY)
    kinds = (board.pawns, board.knights, board.bishops, board.rooks, board.queens, board.kings)
    for letters, side in ((_WHITE, board.occupied_co[chess.WHITE]), (_BLACK, board.occupied_co[chess.BLACK])):
        for letter, kind in zip(letters, kinds, strict=True):
            for square in chess.scan_forward(kind & side):
                squares[square ^ 56] = letter  # FEN begins with the eighth rank
    text = squares.decode()
    ranks = "/".join([text[rank] for rank in _FILES])
    for run, length in _RUNS:
        ranks = ranks.replace(run, length)
    return ranks
