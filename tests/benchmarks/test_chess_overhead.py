"""What a ply of chess costs: the measurements measure what they say; the figures are not asserted."""

import itertools
import warnings

import chess
import pytest

from spec_envs.benchmarks.overhead import Measured, vectors
from spec_envs.benchmarks.overhead import chess as chess_overhead

ARRAYS = chess_overhead._AS_ARRAYS


@pytest.mark.parametrize("arguments", [ARRAYS, {}], ids=["arrays", "text"])
def test_random_games_are_played_on_and_on(arguments):
    plies = itertools.islice(chess_overhead._ours(arguments), 400)
    assert set(plies) <= {1, 2}


def test_the_long_game_has_positions_of_one_kind():
    moves, board = chess_overhead._knights_game(208), chess.Board()
    for uci in moves:
        assert board.outcome(claim_draw=True) is None
        board.push_uci(uci)
    assert len(moves) == 208 and len(board.piece_map()) == 32


def test_a_share_is_measured_for_each_kind_of_observation(monkeypatch):
    monkeypatch.setattr(chess_overhead, "GAMES", 1)
    monkeypatch.setattr(chess_overhead, "pettingzoo_is_installed", lambda: False)
    assert [figure.measured > 0 for figure in chess_overhead.figures()] == [True, True]


def test_pettingzoo_is_measured_beside(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pygame's
        pytest.importorskip("pygame", reason="PettingZoo's chess imports pygame")
        pytest.importorskip("pettingzoo")
        monkeypatch.setattr(chess_overhead, "ROUNDS", 1)
        monkeypatch.setattr(chess_overhead, "PLIES", 10)
        theirs, planes, text = chess_overhead._beside_pettingzoo()
    assert theirs.measured > 0 and planes.at_least and text.at_least


def test_vectors_of_both_are_measured_side_by_side(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("pygame", reason="PettingZoo's chess imports pygame")
        pytest.importorskip("supersuit", reason="needs SuperSuit")
        monkeypatch.setattr(vectors, "GAMES", 2)
        monkeypatch.setattr(vectors, "ROUNDS", 1)
        monkeypatch.setattr(vectors, "STEPS", 2)
        figures = list(vectors.figures())
    assert [figure.target is None for figure in figures] == [True, False] * 2


def test_a_target_may_be_the_least():
    assert Measured("plies", "x", 9.0, 6.0, at_least=True).met
    assert not Measured("plies", "x", 5.0, 6.0, at_least=True).met
