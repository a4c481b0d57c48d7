"""What is read off a board is what python-chess says of it, in games of every kind."""

import chess
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs.chess.reading import fen_of, legal_moves_of

STARTS = [
    chess.STARTING_FEN,
    "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1",  # castling rights come and go
    "4k3/3p1p2/8/4P3/4p3/8/3P1P2/4K3 w - - 0 1",  # en passant
    "1n1qk3/P1P5/8/8/8/8/p1p3PP/1N1QK3 w - - 0 1",  # promotions
    "3rkr2/8/8/q6b/8/2N1B3/3PN3/4K2R w K - 0 1",  # pinned pieces, and castling past attacked squares
    "8/8/8/1Q1k1R2/8/2b5/8/4K1q1 b - - 0 1",  # checks
]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(STARTS), st.lists(st.integers(0, 2**16), min_size=20, max_size=80))
def test_legal_moves_and_fen_are_those_of_python_chess(fen, choices):
    board = chess.Board(fen)
    for choice in choices:
        moves = sorted(board.legal_moves, key=chess.Move.uci)
        assert sorted(legal_moves_of(board), key=chess.Move.uci) == moves
        assert fen_of(board) == board.fen()
        if not moves:
            break
        board.push(moves[choice % len(moves)])


@pytest.mark.parametrize(
    "fen",
    [
        "8/8/8/KPp4r/8/8/8/4k3 w - c6 0 2",  # taking en passant would lay the king open
        "8/8/8/2k5/3Pp3/8/8/4K3 b - d3 0 1",  # the pawn that gives check can be taken en passant
        "4k3/8/8/8/8/8/4r3/R3K2R w KQ - 0 1",  # check by an unprotected piece
        "4k3/8/8/8/8/8/8/R2nK2R w KQ - 0 1",
        "1r2k3/8/8/8/8/8/8/R3K2R w KQ - 0 1",  # the rook passes an attacked square, which is allowed
    ],
)
def test_rare_positions_have_the_legal_moves_of_python_chess(fen):
    board = chess.Board(fen)
    for _ in range(2):
        assert sorted(legal_moves_of(board), key=chess.Move.uci) == sorted(board.legal_moves, key=chess.Move.uci)
        assert fen_of(board) == board.fen()
        board = board.mirror()
