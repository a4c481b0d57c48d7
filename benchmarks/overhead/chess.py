"""What a ply of ``SpecChess-v0`` costs, beside PettingZoo's ``chess_v6``, and also late in a long game.

All times are of the processor, and what is compared takes turns, so that a busy machine slows down both.
"""

import importlib.util
import itertools
import random
import statistics
import time
from collections.abc import Iterator
from typing import Any

import chess
import gymnasium as gym
import numpy as np

from spec_envs.benchmarks.overhead import Measured
from spec_envs.chess.encoding import encode_move

#: How often each environment has its turn, and for how many plies.
ROUNDS, PLIES = 15, 200
#: How often the long game is played.
GAMES = 15
WITHOUT_PETTINGZOO = (
    "PettingZoo's chess is not installed (pip install pettingzoo pygame-ce), so it was not measured side by side."
)

_AS_ARRAYS = {"action_format": "index", "observation": "planes"}
_EARLY, _LATE = range(16, 26), range(196, 206)


def figures() -> Iterator[Measured]:
    """The length of the game, and PettingZoo where it is installed."""
    for name, arguments in (("planes and index", _AS_ARRAYS), ("text", {})):
        yield Measured(f"SpecChess-v0, {name}: a step at ply 200, of one at ply 20", "x", _late_share(arguments), 1.3)
    if pettingzoo_is_installed():
        yield from _beside_pettingzoo()


def pettingzoo_is_installed() -> bool:
    """Whether PettingZoo and what its chess imports are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("pettingzoo", "pygame"))


# -- beside PettingZoo -------------------------------------------------------------------------------------------


def _beside_pettingzoo() -> Iterator[Measured]:
    players = [_pettingzoo(), _ours(_AS_ARRAYS), _ours({})]
    rounds = [[_ply_us(player) for player in players] for _ in range(ROUNDS)]
    theirs, *ours = (statistics.median(times) for times in zip(*rounds, strict=True))
    yield Measured("PettingZoo chess_v6, random moves: a ply", "us", theirs)
    for name, us, least in zip(("planes and index", "text"), ours, (6.0, 8.0), strict=True):
        title = f"SpecChess-v0, {name}, random moves ({us:.0f} us a ply): plies for one of chess_v6"
        yield Measured(title, "x", theirs / us, least, at_least=True)


def _ply_us(player: Iterator[int]) -> float:
    """Microseconds of the processor for a ply, in the next ``PLIES`` plies."""
    start, plies = time.process_time(), 0
    while plies < PLIES:
        plies += next(player)
    return (time.process_time() - start) / plies * 1e6


def _pettingzoo() -> Iterator[int]:
    """Plays games of random moves on and on; a 1 after each ply."""
    from pettingzoo.classic import chess_v6

    env, rng = chess_v6.env(), random.Random(0)
    for seed in itertools.count():
        env.reset(seed=seed)
        for _ in env.agent_iter():
            observation, _, terminated, truncated, _ = env.last()
            assert observation is not None
            if terminated or truncated:
                env.step(None)
                continue
            env.step(_legal_index(observation["action_mask"], rng))
            yield 1


def _ours(arguments: dict[str, Any]) -> Iterator[int]:
    """Plays games of random moves on and on; after each step the plies of both sides in it."""
    env, rng = gym.make("SpecChess-v0", opponent="random", **arguments), random.Random(0)
    for seed in itertools.count():
        observation, info = env.reset(seed=seed)
        done = False
        while not done:
            before = info["ply"]
            if "action_mask" in info:
                action: Any = _legal_index(info["action_mask"], rng)
            else:
                action = rng.choice(observation["legal_moves"].split())
            observation, _, terminated, truncated, info = env.step(action)
            done = terminated or truncated
            yield info["ply"] - before


def _legal_index(mask: Any, rng: random.Random) -> int:
    return int(rng.choice(np.flatnonzero(mask)))


# -- long games --------------------------------------------------------------------------------------------------


def _late_share(arguments: dict[str, Any]) -> float:
    """The time of a step late in a game, divided by that of an early one, in positions of the same kind."""
    moves = _knights_game(_LATE.stop + 2)
    env = gym.make("SpecChess-v0", opponent=lambda position: moves[len(position.moves)], **arguments)
    actions = [encode_move(chess.Move.from_uci(uci), chess.WHITE) for uci in moves[::2]] if arguments else moves[::2]
    games = []
    for _ in range(GAMES):
        env.reset(seed=0)
        games.append([_step_ns(env, action) for action in actions])
    least = [min(times) for times in zip(*games, strict=True)]
    early, late = (statistics.fmean(least[plies.start // 2 : plies.stop // 2]) for plies in (_EARLY, _LATE))
    return late / early


def _step_ns(env: gym.Env[Any, Any], action: Any) -> int:
    start = time.process_time_ns()
    env.step(action)
    return time.process_time_ns() - start


def _knights_game(plies: int) -> list[str]:
    """A game in which only knights move, so that nothing is taken; a pawn's move now and then keeps it from a draw."""
    rng, board = random.Random(0), chess.Board()
    while len(board.move_stack) < plies:
        pawn_is_due = len(board.move_stack) % 30 in (28, 29)
        piece = chess.PAWN if pawn_is_due else chess.KNIGHT
        moves = [
            move
            for move in board.legal_moves
            if board.piece_type_at(move.from_square) == piece and not board.is_capture(move)
            if not board.gives_check(move)
        ]
        board.push(rng.choice(moves))
        if board.is_repetition(2):
            board.pop()
    return [move.uci() for move in board.move_stack]
