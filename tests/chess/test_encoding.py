"""Moves and planes as arrays; PettingZoo's chess_v6 is the authority on both."""

import random
import sys
from types import ModuleType

import chess
import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs.chess.encoding import NUM_ACTIONS, action_mask, decode_action, encode_move, planes, possible_moves
from spec_envs.chess.game import Game

PROMOTIONS = "1n1qk3/P1P5/8/8/8/8/p1p3PP/1N1QK3 {} - - 0 1"


@pytest.fixture
def pettingzoo(monkeypatch):
    """PettingZoo's environment. It draws with pygame, which is not needed to play."""
    if "pygame" not in sys.modules:
        monkeypatch.setitem(sys.modules, "pygame", ModuleType("pygame"))
    from pettingzoo.classic.chess.chess import raw_env

    env = raw_env()
    env.reset()
    return env


def lively(rng: random.Random, board: chess.Board) -> chess.Move:
    """A random move: often a pawn's, so that games come to promotions; sometimes back again, so that they repeat."""
    moves = sorted(board.legal_moves, key=chess.Move.uci)
    last = board.move_stack[-2] if len(board.move_stack) > 1 else None
    back = [move for move in moves if last and (move.from_square, move.to_square) == (last.to_square, last.from_square)]
    promotions = [move for move in moves if move.promotion]
    pawns = [move for move in moves if board.piece_type_at(move.from_square) == chess.PAWN]
    passing = [move for move in moves if board.is_en_passant(move)]
    for chosen, chance in ((promotions, 0.9), (passing, 0.8), (back, 0.25), (pawns, 0.6)):
        if chosen and rng.random() < chance:
            return rng.choice(chosen)
    return rng.choice(moves)


def agrees(game: Game, zoo, player: int) -> None:
    color = chess.WHITE if player == 0 else chess.BLACK
    theirs = zoo.observe(f"player_{player}")
    ours = planes(game, color)
    assert ours.dtype == theirs["observation"].dtype
    np.testing.assert_array_equal(ours, theirs["observation"])


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_pettingzoo_over_a_whole_game(pettingzoo, seed):
    rng, zoo = random.Random(seed), pettingzoo
    game = Game.at(chess.Board())
    while not any(zoo.terminations.values()) and len(game.moves) < 160:
        player = len(game.moves) % 2
        agrees(game, zoo, 0)
        agrees(game, zoo, 1)
        mask = zoo.observe(f"player_{player}")["action_mask"]
        ours = action_mask(game, game.board.turn)
        assert ours.dtype == mask.dtype
        np.testing.assert_array_equal(ours, mask)
        assert not action_mask(game, not game.board.turn).any()
        move = lively(rng, zoo.board)
        action = encode_move(move, game.board.turn)
        assert decode_action(action, game.board) == move
        zoo.step(action)
        game = game.after(move.uci())
        assert zoo.board.fen() == game.board.fen()
    agrees(game, zoo, 0)
    agrees(game, zoo, 1)
    assert any(zoo.terminations.values()) == (game.outcome is not None)


def test_lively_games_promote_underpromote_repeat_and_take_en_passant():
    """So that the agreement above is about these, too."""
    seen = set()
    for seed in range(12):
        rng, board = random.Random(seed), chess.Board()
        while not board.outcome(claim_draw=True) and len(board.move_stack) < 160:
            move = lively(rng, board)
            kind = chess.piece_name(move.promotion) if move.promotion else "en passant" * board.is_en_passant(move)
            seen.add((kind, board.turn))
            board.push(move)
            seen.add(("repetition" * board.is_repetition(2), board.turn))
    kinds = ("queen", "rook", "bishop", "knight", "en passant", "repetition")
    assert seen >= {(kind, side) for kind in kinds for side in chess.COLORS}


@pytest.mark.parametrize("turn", ["w", "b"])
def test_every_promotion_agrees_with_pettingzoo(pettingzoo, turn):
    from pettingzoo.classic.chess import chess_utils

    board = chess.Board(PROMOTIONS.format(turn))
    game, player = Game.at(board), 0 if turn == "w" else 1
    actions = sorted(chess_utils.legal_moves(board))
    assert sorted(np.flatnonzero(action_mask(game, board.turn))) == actions
    decoded = {action: decode_action(action, board) for action in actions}
    assert decoded == {action: chess_utils.action_to_move(board, action, player) for action in actions}
    assert set(decoded.values()) == set(board.legal_moves)
    assert sum(1 for move in decoded.values() if move.promotion) >= 16


@pytest.mark.parametrize("player", [0, 1])
def test_the_environment_agrees_with_pettingzoo(pettingzoo, player):
    zoo, rng = pettingzoo, random.Random(5)

    def opponent(position):
        move = lively(rng, zoo.board)
        zoo.step(encode_move(move, zoo.board.turn))
        return move.uci()

    color = ("white", "black")[player]
    env = gym.make("SpecChess-v0", opponent=opponent, color=color, action_format="index", observation="planes")
    observation, info = env.reset(seed=0)
    terminated, steps = False, 0
    while not terminated and steps < 60:
        theirs = zoo.observe(f"player_{player}")
        np.testing.assert_array_equal(observation, theirs["observation"])
        np.testing.assert_array_equal(info["action_mask"], theirs["action_mask"])
        action = encode_move(lively(rng, zoo.board), zoo.board.turn)
        zoo.step(action)
        observation, reward, terminated, _, info = env.step(action)
        steps += 1
    np.testing.assert_array_equal(observation, zoo.observe(f"player_{player}")["observation"])
    assert terminated == any(zoo.terminations.values())
    assert reward == zoo.rewards[f"player_{player}"]


def test_every_action_that_stays_on_the_board_has_one_move():
    moves = possible_moves()
    assert len(moves) == len(set(moves)) == 1792 + 22 * 3  # a queen's and a knight's moves, and the underpromotions
    actions = [encode_move(chess.Move.from_uci(uci), chess.WHITE) for uci in moves]
    assert len(set(actions)) == len(actions)
    board = chess.Board(None)
    for uci, action in zip(moves, actions, strict=True):
        assert 0 <= action < NUM_ACTIONS
        assert decode_action(action, board).uci() == uci
    assert encode_move(chess.Move.from_uci("e2e4"), chess.WHITE) == encode_move(
        chess.Move.from_uci("e7e5"), chess.BLACK
    )


@pytest.mark.parametrize("action", [-1, NUM_ACTIONS, 0])
def test_actions_without_a_move_are_refused(action):
    with pytest.raises(ValueError, match=rf"action {action} (is not in 0 to 4671|leads off the board)"):
        decode_action(action, chess.Board())


def test_moves_that_no_piece_makes_have_no_action():
    with pytest.raises(ValueError, match="'a1b4' has no index"):
        encode_move(chess.Move.from_uci("a1b4"), chess.WHITE)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 300), max_size=60))
def test_legal_moves_survive_encoding(choices):
    game = Game.at(chess.Board())
    for choice in choices:
        if game.outcome:
            break
        actions = [encode_move(move, game.board.turn) for move in game.legal]
        assert len(set(actions)) == len(actions)
        assert [decode_action(action, game.board) for action in actions] == list(game.legal)
        game = game.after(game.legal_moves[choice % len(game.legal_moves)])


def test_planes_show_another_start_position_and_a_clock_beyond_its_plane():
    game = Game.at(chess.Board("8/8/4k3/8/8/4K3/4R3/8 b - - 140 200"), claim_draw=False)
    for color in chess.COLORS:
        picture = planes(game, color)
        assert picture.shape == (8, 8, 111)
        assert picture[..., 7:20].sum() == 3
        assert picture[..., 5].sum() == 1
    assert not planes(Game.at(chess.Board()), chess.WHITE)[..., 7:].any()
