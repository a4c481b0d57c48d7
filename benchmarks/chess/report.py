"""The report of ``spec-envs bench chess``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spec_envs.benchmarks.chess.run import ChessBench
from spec_envs.benchmarks.chess.settings import ChessSettings
from spec_envs.benchmarks.reports import config_of, console, mean_of, percent, progress, publish, table
from spec_envs.chess.games import RecordedGame

_OUTCOMES = ("committed", "wasted", "cancelled", "failed")
_COLUMNS = ("game", "saved", "hit rate", "tokens full", "tokens partial", *_OUTCOMES, "lossless")


def run(settings: ChessSettings, files: Sequence[Path], json_file: Path | None) -> None:
    """Replay the games in ``files`` and report.

    Raises:
        InvalidConfiguration: A file holds no game, or a setting makes no sense for it.
    """
    games = [RecordedGame.load(file) for file in files]
    steps = len(games) * (settings.plies + 1)  # with the reset of each game
    with ChessBench(games, settings) as bench, progress("replaying", steps, json_file is None) as advance:
        replays = [bench.replay(game, advance) for game in games]
    report = {
        "config": config_of(settings, files=[str(file) for file in files]),
        "games": [dataclasses.asdict(replay) for replay in replays],
        "mean": mean_of(replays),
    }
    publish(report, json_file, lambda found: _show(found, settings))


def _show(report: dict[str, Any], settings: ChessSettings) -> None:
    title = (
        f"{settings.plies} plies, guesses: {settings.guesses}, k={settings.k}, up to {settings.limits.max_inflight} "
        f"speculative calls in flight, rules: {settings.rules}, clock: {settings.clock}"
    )
    mean = report["mean"]
    rows = [_row(game["game"], game) for game in report["games"]]
    out = console()
    out.print(table(title, _COLUMNS, rows, footer=_row("mean", mean)))
    out.print(
        f"Mean time of a game: {mean['seconds']:,.1f} s, instead of {mean['sequential_seconds']:,.1f} s without "
        'speculation. The columns from\n"committed" on count calls by outcome. Tokens are relative to a run without '
        'speculation; cancelled calls are charged in\nfull ("tokens full"), or for the part that ran ("tokens '
        'partial").'
    )


def _row(name: str, figures: dict[str, Any]) -> list[str]:
    return [
        name,
        percent(figures["saved"]),
        percent(figures["hit_rate"]),
        f"x{figures['tokens_full']:.2f}",
        f"x{figures['tokens_partial']:.2f}",
        *(f"{figures['calls'].get(outcome, 0):.4g}" for outcome in _OUTCOMES),
        f"{figures['lossless']:.3g}",
    ]
