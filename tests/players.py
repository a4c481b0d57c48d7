"""What tests of chess players share: whether Stockfish is there, and a token that notes sleeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from spec_envs import CancelToken, Usage
from spec_envs.chess.engine import stockfish_is_installed

#: Recorded games, where there are any; the project ships none.
RECORDED_GAMES = Path(__file__).parents[1].parent / "shared" / "data" / "chess_gpt5"


needs_stockfish = pytest.mark.skipif(not stockfish_is_installed(), reason="Stockfish is not installed")


class NotingToken(CancelToken):
    """Notes sleeps instead of sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[tuple[float, Usage | None]] = []

    def sleep(self, seconds: float, spending: Usage | None = None) -> None:
        self.raise_if_cancelled()
        self.slept.append((seconds, spending))
