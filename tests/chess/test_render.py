"""Pictures of ``SpecChess-v0``, and games as PGN."""

import importlib
import io

import chess
import chess.pgn
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled

from spec_envs.errors import InvalidConfiguration
from tests.chess.games import FOOLS, can_draw, make, picture_of, play_out, seeded, text_of


def test_ansi_shows_the_board_from_the_agents_side_with_the_last_move():
    env, _ = play_out("e2e4 e7e5 g1f3 b8c6", render_mode="ansi")
    lines = text_of(env).splitlines()
    assert lines[0] == "white to move, move 3, last move b8c6"
    assert lines[1] == "8  ♜ [·] ♝  ♛  ♚  ♝  ♞  ♜"
    assert lines[3] == "6  ·  · [♞] ·  ·  ·  ·  ·"
    assert lines[-1] == "   a  b  c  d  e  f  g  h"
    env, _ = play_out(FOOLS, color="black", render_mode="ansi")
    lines = text_of(env).splitlines()
    assert lines[0] == "0-1 CHECKMATE, last move d8h4"
    assert lines[1] == "1  ♖  ♘  ♗  ♔  ♕  ♗  ♘  ♖"
    assert lines[-1] == "   h  g  f  e  d  c  b  a"


def test_ansi_says_when_the_king_is_in_check():
    env = make(fen="4k3/8/8/8/8/8/4r3/4K3 w - - 0 1", render_mode="ansi")
    env.reset()
    assert text_of(env).startswith("white to move (in check), move 1\n")


def test_rgb_array_is_a_picture_that_changes_with_the_move():
    if not can_draw():
        pytest.skip("cairosvg, or the cairo library, is not installed")
    env = make(render_mode="rgb_array", max_plies=1)
    env.reset(seed=0)
    before = picture_of(env)
    env.step("e2e4")
    after = picture_of(env)
    assert before.shape == after.shape == (480, 480, 3)
    assert before.dtype == np.uint8
    changed = np.argwhere((before != after).any(axis=2))
    assert 0 < len(changed) < 480 * 480 / 10
    square = (480 - 2 * 18) / 8  # chess.svg leaves a margin for the coordinates
    row, column = int(18 + 4.1 * square), int(18 + 4.1 * square)
    assert tuple(after[row, column]) != tuple(before[row, column])  # e4 is marked, also beside the pawn


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ImportError("no cairosvg"), r"pip install 'spec-envs\[render\]'"),
        (OSError("no library"), "apt-get install libcairo2"),
    ],
)
def test_what_is_missing_for_pictures_is_named(monkeypatch, error, message):
    def missing(name):
        raise error

    env = make(render_mode="rgb_array")
    env.reset()
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(DependencyNotInstalled, match=message):
        env.render()


def test_render_without_a_mode_warns():
    env = make()
    env.reset()
    with pytest.warns(UserWarning, match="made without a render_mode"):
        assert env.render() is None


def test_an_unknown_render_mode_is_refused():
    from spec_envs.chess.env import ChessEnv

    with pytest.raises(InvalidConfiguration, match="'ansi' or 'rgb_array', not 'human'"):
        ChessEnv(opponent=seeded, render_mode="human")


@pytest.mark.parametrize("start", [{}, {"opening": "slav"}, {"fen": "4k3/8/8/8/8/8/4P3/R3K3 b Q - 0 1"}])
def test_pgn_reads_back_as_the_game(start):
    env = make(opponent="random", max_plies=30, **start)
    env.reset(seed=2)
    env.action_space.seed(2)  # not every game may be over at its end: one that is cannot be gone on with
    ended = False
    while not ended:
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        ended = terminated or truncated
    record = chess.pgn.read_game(io.StringIO(env.pgn()))
    assert record is not None and record.errors == []
    assert tuple(move.uci() for move in record.mainline_moves()) == env.game.moves
    assert record.board().fen() == env.game.start_fen
    assert (record.headers["White"], record.headers["Black"]) == ("agent", "random")
    assert make(pgn=env.pgn()).reset()[0]["history"].startswith(" ".join(env.game.moves))
