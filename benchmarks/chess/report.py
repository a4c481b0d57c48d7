"""How ``spec-envs bench chess`` runs, and how it shows what ``benchmarks.chess`` measures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spec_envs.benchmarks.chess.run import ChessBench, Replay
from spec_envs.benchmarks.chess.settings import ReplaySettings
from spec_envs.benchmarks.reports import console, mean_of, progress, table, versions, write_json
from spec_envs.chess.games import RecordedGame

_COLUMNS = (
    *("game", "saved", "hit rate", "tokens full", "tokens partial"),
    *("committed", "wasted", "cancelled", "failed", "lossless"),
)


def run(files: Sequence[Path], options: dict[str, Any], json_file: Path | None) -> None:
    """Replay the games in ``files`` and report.

    Args:
        files: Recorded games.
        options: The fields of ``ReplaySettings``.
        json_file: Where to write JSON; ``None``: print a table.

    Raises:
        InvalidConfiguration: A file holds no game, or an option makes no sense for it.
    """
    settings = ReplaySettings(**options)
    games = [RecordedGame.load(file) for file in files]
    shown = json_file is None
    with ChessBench(games, settings) as bench, progress("replaying", len(games) * settings.plies, shown) as show:
        replays: list[Replay] = []
        for game in games:
            replays.append(bench.replay(game, lambda moves: show(len(replays) * settings.plies + len(moves))))
    if json_file is None:
        _print(replays, settings)
        return
    report = {
        "config": {**dataclasses.asdict(settings), "files": [str(file) for file in files], "versions": versions()},
        "games": [dataclasses.asdict(replay) for replay in replays],
        "mean": mean_of(replays),
    }
    write_json(report, json_file)


def _print(replays: Sequence[Replay], settings: ReplaySettings) -> None:
    places = settings.limits.max_inflight
    title = (
        f"{settings.plies} plies, guesses: {settings.guesses}, k={settings.k}, {places} speculative calls at once, "
        f"rules: {settings.rules}, clock: {settings.clock}"
    )
    rows = [_row(replay.game, dataclasses.asdict(replay)) for replay in replays]
    mean = mean_of(replays)
    out = console()
    out.print(table(title, _COLUMNS, rows, footer=_row("mean", mean)))
    out.print(
        f"{mean['seconds']:,.1f} s instead of {mean['sequential_seconds']:,.1f} s for a game in the mean. Calls are "
        "counted by what became of them.\nTokens are relative to no speculation, with cancelled calls charged in full, "
        "or for the part that ran."
    )


def _row(name: str, figures: dict[str, Any]) -> list[str]:
    calls = [f"{figures['calls'].get(outcome, 0):.4g}" for outcome in ("committed", "wasted", "cancelled", "failed")]
    return [
        name,
        f"{figures['saved']:.1%}",
        f"{figures['hit_rate']:.1%}",
        f"x{figures['tokens_full']:.2f}",
        f"x{figures['tokens_partial']:.2f}",
        *calls,
        f"{figures['lossless']:.3g}",
    ]
