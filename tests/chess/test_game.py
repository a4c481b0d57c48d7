"""A game as a value: what it knows without a move stack is what python-chess finds out on the whole one."""

import pickle

import chess
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs.chess.game import Game
from spec_envs.chess.position import Position
from spec_envs.chess.start import OPENINGS, Start
from spec_envs.errors import InvalidConfiguration
from spec_envs.values import key_of, own_copy

STARTS = [
    chess.STARTING_FEN,
    "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1",  # castling rights come and go
    "4k3/8/8/8/8/8/4r3/R3K3 b Q - 96 120",  # close to fifty moves
    "8/8/4k3/8/8/4K3/4R3/8 w - - 0 1",
    "4k3/3p1p2/8/4P3/4p3/8/3P1P2/4K3 w - - 0 1",  # en passant
    "4k3/8/8/8/8/8/8/R3K3 w - - 140 200",  # close to seventy-five
]


def next_move(board, choice):
    """A legal move, one in two of them back to where the piece came from, so that positions repeat."""
    moves = sorted(move.uci() for move in board.legal_moves)
    if choice % 2 and len(board.move_stack) > 1:
        last = board.move_stack[-2]
        back = chess.Move(last.to_square, last.from_square).uci()
        if back in moves:
            return back
    return moves[(choice // 2) % len(moves)]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.sampled_from(STARTS), st.booleans(), st.lists(st.integers(0, 2**16), min_size=20, max_size=60))
def test_a_game_knows_what_the_whole_move_stack_knows(fen, claim_draw, choices):
    board = chess.Board(fen)
    game = Game.at(board, claim_draw=claim_draw)
    for choice in choices:
        outcome = board.outcome(claim_draw=claim_draw)
        assert game.outcome == outcome
        assert game.board.fen() == board.fen()
        assert game.legal_moves == (() if outcome else tuple(sorted(move.uci() for move in board.legal_moves)))
        if outcome or not any(board.legal_moves):
            break
        uci = next_move(board, choice)
        game = game.after(uci)
        board.push_uci(uci)
        assert game.frames[0].repeated == board.is_repetition(2)
    assert game.moves == tuple(move.uci() for move in board.move_stack)
    assert Position(game.start_fen, game.moves).board().fen() == board.fen()


def test_a_move_leaves_the_game_before_it_alone():
    start = Game.at(chess.Board())
    first = start.after("g1f3").after("g8f6")
    second = first.after("e2e4")
    assert second.moves == ("g1f3", "g8f6", "e2e4")
    assert len(first.seen) == 3
    assert len(second.seen) == 1  # a pawn has moved, so nothing before can come again
    assert first.board.fen() == "rnbqkb1r/pppppppp/5n2/8/8/5N2/PPPPPPPP/RNBQKB1R w KQkq - 2 2"
    assert start.board.fen() == chess.STARTING_FEN
    assert not start.board.move_stack
    assert not second.board.move_stack


@pytest.mark.parametrize(
    ("move", "message"),
    [
        ("e2e5", "'e2e5' is not a legal move in rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1$"),
        ("hello", "'hello' is not a move in UCI notation"),
        ("", "'' is not a move in UCI notation"),
        ("0000", "null move"),
        ("Nf3", "in UCI notation that is 'g1f3'"),
        (None, "not None"),
        (b"e2e4", "not b'e2e4'"),
    ],
)
def test_what_cannot_be_played_is_named(move, message):
    with pytest.raises(ValueError, match=message):
        Game.at(chess.Board()).read(move)


def test_a_promotion_without_a_piece_is_explained():
    with pytest.raises(ValueError, match="a promotion names the piece: 'a7a8q'"):
        Game.at(chess.Board("7k/P7/8/8/8/8/8/7K w - - 0 1")).read("a7a8")


def test_castling_may_be_written_as_king_takes_rook():
    assert Game.at(chess.Board(STARTS[1])).read("e1h1") == "e1g1"


@pytest.mark.parametrize("name", sorted(OPENINGS))
def test_openings_are_legal(name):
    game = Start.of(claim_draw=True, opening=name).games[0]
    assert " ".join(game.moves) == OPENINGS[name]


def test_a_pgn_starts_at_the_end_of_its_main_line():
    pgn = '[SetUp "1"]\n[FEN "4k3/8/8/8/8/8/8/R3K3 w Q - 0 1"]\n\n1. O-O-O (1. Ra7) Ke7 {good} *'
    (game,) = Start.of(claim_draw=True, pgn=pgn).games
    assert game.moves == ("e1c1", "e8e7")
    assert game.start_fen == "4k3/8/8/8/8/8/8/R3K3 w Q - 0 1"


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"fen": "nonsense"}, "cannot read the FEN 'nonsense'"),
        ({"fen": "8/8/8/8/8/8/8/8 w - - 0 1"}, "not a legal chess position.*NO_WHITE_KING"),
        ({"fen": "8/8/4k3/8/8/4K3/8/8 w - - 0 1"}, "over at its start position .*: INSUFFICIENT_MATERIAL"),
        ({"pgn": ""}, "holds no game"),
        ({"pgn": "hello"}, "holds no game"),
        ({"pgn": "1. e4 e5 2. Ke3"}, "cannot read the PGN: illegal san: 'Ke3'"),
        ({"pgn": '[Variant "Atomic"]\n\n1. e4 *'}, "only usual chess"),
        ({"pgn": "1. f3 e5 2. g4 Qh4# 0-1"}, "over at its start position .*: CHECKMATE"),
        ({"opening": "bongcloud"}, "unknown opening 'bongcloud'; known are random, benoni, "),
        ({"fen": chess.STARTING_FEN, "opening": "random"}, "give one start position, not fen and opening"),
        ({"fen": 3}, "fen must be a string, not 3"),
    ],
)
def test_start_positions_that_make_no_sense_are_refused(start, message):
    with pytest.raises(InvalidConfiguration, match=message):
        Start.of(claim_draw=True, **start)


def test_positions_of_long_games_are_replayed_from_a_cold_cache():
    shuffle = ("g1f3", "g8f6", "f3g1", "f6g8") * 500
    board = Position(moves=shuffle).board()
    assert len(board.move_stack) == 2000
    assert board.fen() == "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 2000 1001"
    board.push_san("e4")
    assert Position(moves=shuffle).board().turn == chess.WHITE


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.sampled_from(STARTS), st.lists(st.integers(0, 2**16), max_size=60))
def test_a_position_has_the_board_that_python_chess_would_have(fen, choices):
    board, game = chess.Board(fen), Game.at(chess.Board(fen), claim_draw=False)
    for choice in choices:
        if game.outcome:
            break
        uci = next_move(board, choice)
        game = game.after(uci)
        board.push_uci(uci)
    ours, bare = Position.in_game(game).board(), Position.in_game(game).board(stack=False)
    assert bare == ours == board and not bare.move_stack
    assert ours.move_stack == board.move_stack
    assert ours.can_claim_draw() == board.can_claim_draw() and ours.is_repetition(2) == board.is_repetition(2)
    while ours.move_stack:
        assert ours.pop() == board.pop()
        assert ours == board and ours.promoted == board.promoted


def test_a_position_of_a_game_is_the_value_that_it_would_be_without_the_game():
    game = Game.at(chess.Board()).after("e2e4")
    position, alone = Position.in_game(game, seed=3), Position(moves=("e2e4",), seed=3)
    assert position == alone and hash(position) == hash(alone) and key_of(position) == key_of(alone)
    assert repr(position) == repr(alone) and pickle.dumps(position) == pickle.dumps(alone)
    assert position.legal_moves == alone.legal_moves == game.legal_moves
    assert own_copy(position) is position


def test_who_plays_on_a_board_of_a_position_changes_nothing_else():
    game = Game.at(chess.Board()).after("e2e4")
    for stack in (True, False):
        board = Position.in_game(game).board(stack=stack)
        board.push_uci("e7e5")
        assert Position.in_game(game).board(stack=stack).turn == chess.BLACK
    assert game.board.turn == chess.BLACK


def test_a_draw_that_could_be_claimed_leaves_the_position_its_moves():
    game = Game.at(chess.Board())
    for uci in ("g1f3", "g8f6", "f3g1", "f6g8") * 2:
        game = game.after(uci)
    assert game.outcome is not None and not game.legal_moves
    assert len(Position.in_game(game).legal_moves) == 20
