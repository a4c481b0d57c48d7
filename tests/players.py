"""What tests of chess players share: whether Stockfish is there, and a token that notes sleeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from gymnasium.error import DependencyNotInstalled

from spec_envs import CancelToken, Usage
from spec_envs.chess.engine import find_stockfish

#: Recorded games, where there are any; the project ships none.
RECORDED_GAMES = Path(__file__).parents[1].parent / "shared" / "data" / "chess_gpt5"


def _stockfish_is_missing() -> bool:
    try:
        find_stockfish()
    except DependencyNotInstalled:
        return True
    return False


needs_stockfish = pytest.mark.skipif(_stockfish_is_missing(), reason="Stockfish is not installed")


class NotingToken(CancelToken):
    """Notes sleeps instead of sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[tuple[float, Usage | None]] = []

    def sleep(self, seconds: float, spending: Usage | None = None) -> None:
        self.raise_if_cancelled()
        self.slept.append((seconds, spending))
