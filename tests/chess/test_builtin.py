import random

import chess
import pytest

from spec_envs.chess.builtin import MATE, best_move, rank_moves
from spec_envs.errors import InvalidConfiguration


@pytest.mark.parametrize(
    ("fen", "move"),
    [
        pytest.param("6k1/5ppp/8/8/8/8/5PPP/R5K1 w - - 0 1", "a1a8", id="mate in one"),
        pytest.param("r5k1/5ppp/8/8/8/8/5PPP/6K1 b - - 0 1", "a8a1", id="mate in one, black"),
        pytest.param("4k3/8/8/3q4/4P3/8/8/4K3 w - - 0 1", "e4d5", id="takes a queen"),
        pytest.param("4k3/8/8/3qP3/8/8/3R4/3RK3 w - - 0 1", "d2d5", id="takes with the rook that is behind"),
        pytest.param("8/P3k3/8/8/8/8/8/4K3 w - - 0 1", "a7a8q", id="promotes"),
    ],
)
def test_best_move_sees_what_is_near(fen, move):
    assert best_move(chess.Board(fen)).uci() == move


def test_a_defended_pawn_is_not_worth_a_queen():
    board = chess.Board("4k3/2p5/3p4/8/8/8/8/3QK3 w - - 0 1")
    assert best_move(board).uci() != "d1d6"


def test_deeper_search_sees_the_mate_that_threatens():
    # Black threatens mate on a1, which costs White the rook at once and the game a move later.
    board = chess.Board("r5k1/5ppp/8/8/8/8/3R1PPP/6K1 w - - 0 1")
    leaves_the_back_rank = chess.Move.from_uci("d2e2")
    scores = [dict(rank_moves(board, 60, depth))[leaves_the_back_rank] for depth in (1, 2, 3)]
    assert scores[0] > -100
    assert scores[1] < -500
    assert scores[2] == -(MATE - 4)


def test_scores_of_mates_and_draws():
    assert rank_moves(chess.Board("6k1/5ppp/8/8/8/8/5PPP/R5K1 w - - 0 1"), 1)[0][1] == MATE - 1
    stalemate = dict(rank_moves(chess.Board("k7/8/2K5/8/8/8/1Q6/8 w - - 0 1"), 30))
    assert stalemate[chess.Move.from_uci("b2b6")] == 0


def test_a_winning_side_avoids_repetition():
    board = chess.Board("6k1/5ppp/8/8/8/8/Q4PPP/6K1 w - - 0 1")
    for move in ("a2b2", "g8f8", "b2a2", "f8g8"):
        board.push_uci(move)
    assert dict(rank_moves(board, 60))[chess.Move.from_uci("a2b2")] == 0


def test_ranking_is_sorted_deterministic_and_leaves_the_board_alone():
    rng = random.Random(1)
    for _ in range(20):
        board = chess.Board()
        for _ in range(rng.randrange(80)):
            if board.is_game_over():
                break
            board.push(rng.choice(list(board.legal_moves)))
        before = board.fen(), list(board.move_stack)
        ranked = rank_moves(board, 5)
        assert (board.fen(), list(board.move_stack)) == before
        assert ranked == rank_moves(board.copy(), 5)
        assert ranked == rank_moves(board, 200)[:5]
        assert [score for _, score in ranked] == sorted((score for _, score in ranked), reverse=True)
        assert all(board.is_legal(move) for move, _ in ranked)
        assert len(ranked) == min(5, board.legal_moves.count())


@pytest.mark.parametrize("depth", [1, 2])
def test_mirrored_positions_have_mirrored_answers(depth):
    # Middle game with castling, en passant and promotion within reach.
    board = chess.Board("r3k2r/1P1n1ppp/2p5/3pP3/8/2N2N2/PP3PPP/R3K2R w KQkq d6 0 12")
    scores = dict(rank_moves(board, 100, depth))
    mirrored = dict(rank_moves(board.mirror(), 100, depth))
    flip = chess.square_mirror
    assert scores == {
        chess.Move(flip(move.from_square), flip(move.to_square), move.promotion): score
        for move, score in mirrored.items()
    }


def test_plays_better_than_chance():
    rng = random.Random(0)
    board = chess.Board()
    while not board.is_game_over() and board.ply() < 200:
        board.push(best_move(board) if board.turn else rng.choice(list(board.legal_moves)))
    assert board.is_checkmate()
    assert not board.turn


def test_no_move_and_no_depth_are_errors():
    mated = chess.Board("7k/6Q1/6K1/8/8/8/8/8 b - - 0 1")
    assert rank_moves(mated, 3) == []
    with pytest.raises(InvalidConfiguration, match="no legal move to choose from in 7k/6Q1"):
        best_move(mated)
    with pytest.raises(InvalidConfiguration, match="depth must be an integer of at least 1, not 0"):
        best_move(chess.Board(), depth=0)
