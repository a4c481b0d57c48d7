"""A chess position as an immutable value: what an opponent, a policy or a guesser is asked about."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Self

import chess


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """A start position and the moves played since, so that repetitions and claims are known too.

    Args:
        start_fen: FEN of the position that the game started from.
        moves: Moves in UCI notation.
        seed: For players that draw; a fresh one each ply. Equal positions with equal seeds have equal replies.
    """

    start_fen: str = chess.STARTING_FEN
    moves: tuple[str, ...] = ()
    seed: int = 0

    @classmethod
    def of(cls, query: Any) -> Self:
        """The position that a call is about: ``query`` is one, or a text observation of ``SpecChess-v0``.

        Raises:
            TypeError: ``query`` is neither (an observation of planes, say, which does not hold the move history).
        """
        if isinstance(query, cls):
            return query
        if isinstance(query, Mapping) and {"start_fen", "history"} <= query.keys():
            return cls(query["start_fen"], tuple(query["history"].split()))
        raise TypeError(f"{type(query).__name__} holds no chess position: expected a Position or a text observation")

    def board(self) -> chess.Board:
        """The position on a board of your own, with its move stack."""
        return _replay(self.start_fen, self.moves).copy()


@functools.lru_cache(maxsize=4096)
def _replay(start_fen: str, moves: tuple[str, ...]) -> chess.Board:
    # Positions come one move after another, so the parent is nearly always in the cache.
    if not moves:
        return chess.Board(start_fen)
    board = _replay(start_fen, moves[:-1]).copy()
    board.push_uci(moves[-1])
    return board
