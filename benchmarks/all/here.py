"""The data and programs for the evaluation: which are on this machine, and which are missing."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from gymnasium.error import DependencyNotInstalled

from spec_envs.chess.engine import stockfish_is_installed
from spec_envs.extras import install_command, require
from spec_envs.search.web.chromium import find_chromium

_SOURCE = "git clone https://github.com/naimengye/speculative-action; spec_envs/{} describes the form"
_GAMES, _EPISODES = _SOURCE.format("chess/games.py"), _SOURCE.format("search/recordings.py")


@dataclasses.dataclass(frozen=True, slots=True)
class Missing:
    """A program or data that are missing."""

    what: str  # its name
    left_out: str  # what is therefore not measured
    command: str  # how to get it


@dataclasses.dataclass(frozen=True)
class Here:
    """The data and programs on this machine.

    Args:
        games: Recorded games of chess.
        episodes: Recorded episodes of web search.
        shop: The folder with the data of tau-bench.
        stockfish, chromium, sysbench: Whether these programs are installed.
        regression: Whether scikit-learn is, for Gaussian processes.
        sdk: Whether the OpenAI Agents SDK, MCP and a web server are.
    """

    games: tuple[Path, ...]
    episodes: Path | None
    shop: Path | None
    stockfish: bool
    chromium: bool
    sysbench: bool
    regression: bool
    sdk: bool

    @classmethod
    def found(cls, data: Path | None) -> Self:
        """Look for programs, and for recordings in the folder ``data``."""

        def file(name: str) -> Path | None:
            found = None if data is None else data / name
            return found if found is not None and found.exists() else None

        return cls(
            games=() if data is None else tuple(sorted(data.glob("chess_gpt5/*.json"))),
            episodes=file("hotpotqa_react/trajectories.json"),
            shop=file("tau_bench") if data is not None and any(data.glob("tau_bench/tasks*.json")) else None,
            stockfish=stockfish_is_installed(),
            chromium=_is_there(find_chromium),
            sysbench=shutil.which("sysbench") is not None,
            regression=_is_there(lambda: require("gp", "tuning")),
            sdk=_is_there(lambda: require("tools", "mcp", "openai-agents", "servers")),
        )

    def missing(self, *, quick: bool) -> Iterator[Missing]:
        """The data and programs that the evaluation would use, and that are missing."""
        if not self.games:
            yield Missing(
                "recorded games of chess (--data)", "the paper's figures of chess; made-up games stand in", _GAMES
            )
        if self.episodes is None:
            yield Missing("recorded episodes of web search (--data)", "search by agent and guesser", _EPISODES)
        if self.shop is None:
            command = "git clone https://github.com/sierra-research/tau-bench"
            yield Missing("the data of tau-bench (--data)", "retail on tau-bench's own tasks", command)
        if not self.stockfish:
            yield Missing("Stockfish", "guesses of Stockfish; the built-in engine guesses", "apt install stockfish")
        if not self.regression:
            yield Missing("scikit-learn", "guesses of a Gaussian process", install_command("tuning"))
        if quick:
            return
        if not self.chromium:
            yield Missing("Chromium", "web search in a real browser", "apt install chromium chromium-driver")
        if not self.sysbench:
            yield Missing("sysbench", "tuning under the load of sysbench", "apt install sysbench")
        if not self.sdk:
            command = install_command("mcp", "openai-agents", "servers")
            yield Missing("the OpenAI Agents SDK with MCP", "tools of a real agent loop, on the clock", command)


def _is_there(check: object) -> bool:
    assert callable(check)
    try:
        check()
    except DependencyNotInstalled:
        return False
    return True
