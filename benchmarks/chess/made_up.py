"""A game between two made-up players in the form of a recorded one, for where there is no record."""

from __future__ import annotations

import math
import random

import chess

from spec_envs.chess.builtin import rank_moves
from spec_envs.chess.games import RecordedGame, RecordedPly
from spec_envs.handling import Usage

#: How often the players choose the best move of the built-in engine, its second best, and so on.
_TASTE = (55, 20, 12, 8, 5)
_MEDIAN_S = 12.0
_SPREAD = 0.6
_TOKENS_PER_S = 60.0


def made_up_game(plies: int = 30, seed: int = 0) -> RecordedGame:
    """A game as two slow language models might have played it; equal arguments give equal games.

    Each move is among the five that the built-in engine ranks highest; better moves are more frequent. Thinking times
    are lognormal around 12 s, and tokens are proportional to the time.

    Args:
        plies: Half moves; fewer if the game is over sooner.
        seed: Seed of the moves and the times.
    """
    rng = random.Random(seed)
    board = chess.Board()
    record: list[RecordedPly] = []
    while len(record) < plies and not board.is_game_over():
        ranked = rank_moves(board, len(_TASTE))
        ((move, _),) = rng.choices(ranked, _TASTE[: len(ranked)])
        seconds = _MEDIAN_S * math.exp(rng.gauss(0.0, _SPREAD))
        usage = Usage(tokens_in=200, tokens_out=round(seconds * _TOKENS_PER_S))
        record.append(RecordedPly(move.uci(), seconds, usage))
        board.push(move)
    return RecordedGame("made up", tuple(record))
