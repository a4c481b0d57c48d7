"""On the clock: the same on threads that really wait, in a real browser, an agent's SDK and on a real scheduler.

These units run one by one, with nothing beside them; ``--quick`` leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spec_envs.benchmarks.all import chess, tuning
from spec_envs.benchmarks.all.figures import PAPER, Figure, Rows, figure, said, series
from spec_envs.benchmarks.all.here import Here
from spec_envs.benchmarks.all.units import Row, Unit
from spec_envs.benchmarks.chess import ChessSettings
from spec_envs.benchmarks.search_web import SearchWebSettings
from spec_envs.benchmarks.search_web.run import run as run_search
from spec_envs.benchmarks.tools import ToolsSettings
from spec_envs.benchmarks.tools.run import run as run_tools
from spec_envs.benchmarks.tuning import Backends, TuningSettings

CHESS, SEARCH, TOOLS = "chess, threads", "search, Chromium", "tools"
#: Modes of tuning, by what the figure calls them.
_WHO = {"tuner alone": "actor", "tuner and guesser": "last-write-wins"}


def plan(here: Here, *, quick: bool, seed: int) -> Iterator[Unit]:
    """The units; none with ``quick``."""
    if quick:
        return
    guesses = "stockfish" if here.stockfish else "builtin"
    for game in map(str, here.games or ["made up 0", "made up 1"]):
        settings = ChessSettings(clock="wall", speed=200.0, guesses=guesses, seed=seed)  # type: ignore[arg-type]
        files = [Path(game)] if here.games else []
        yield _unit({"what": CHESS}, settings, 10.0, items=[game], files=files)
    if here.chromium:
        yield _unit({"what": SEARCH}, SearchWebSettings(episodes=4, seeds=1), 45.0)
    if here.sdk:
        yield _unit({"what": TOOLS}, ToolsSettings(tasks=6, learning=3, seed=seed), 45.0)
    backends: Sequence[Backends] = ("eevdf", "sysbench") if here.sysbench else ("eevdf",)
    for backend in backends:
        for who, mode in _WHO.items():
            actor = "best" if backend == "eevdf" else "climb"
            live = TuningSettings(backend=backend, mode=mode, actor=actor, guesser="climb", clock="wall")  # type: ignore[arg-type]
            yield _unit({"what": f"tuning, {backend}", "who": who}, live, 30.0, items=[seed])


def _unit(
    tags: Mapping[str, Any], settings: Any, cost_s: float, *, items: Sequence[Any] = (), files: Sequence[Path] = ()
) -> Unit:
    return Unit(part="clock", tags=tags, settings=settings, items=items, cost_s=cost_s, alone=True, files=files)


def work(unit: Unit) -> list[Row]:
    """Run the experiment of the unit."""
    match unit.settings:
        case ChessSettings():
            return chess.work(unit)
        case TuningSettings():
            return tuning.work(unit)
        case SearchWebSettings():
            return [_web_row(each) for each in run_search(unit.settings)["episodes"]]
        case _:
            report = run_tools(unit.settings)
            return [_tools_row(order, report[order]) for order in ("learnable", "shuffled")]


def _web_row(found: dict[str, Any]) -> Row:
    return {"episode": found.pop("question"), "clock": "wall", **found}


def _tools_row(order: str, found: Mapping[str, Any]) -> Row:
    return {
        "episode": order,
        "clock": "wall",
        "saved": found["saved"],
        "hit_rate": found["statistics"]["hit_rate"],
        "lossless": int(found["same_results"]),
        "sequential_s": found["sequential_s"],
        "speculative_s": found["speculative_s"],
    }


def figures(rows: Rows) -> list[Figure]:
    """The figures of this part."""
    groups = {what: rows.where(what=what) for what in (CHESS, SEARCH)}
    tools = rows.where(what=TOOLS)
    groups |= {f"{TOOLS}, {order}": group for order, group in tools.by("episode").items()}
    shown = [
        series(title, [group.point(what, name) for what, group in groups.items() if len(group)], "bars")
        for name, title in (("saved", "time saved"), ("hit_rate", "guessed in time"))
    ]
    about = (
        "The same on the wall clock: threads that really wait (chess 200 times as fast as it was played), pages in a "
        "real browser, and an agent whose loop an SDK runs. Shuffled: an order of tools that nobody can predict."
    )
    command = "spec-envs bench chess --clock wall, bench search-web, bench tools"
    axes = ("what", "share")
    found = figure("On the clock", about, axes, shown, command=command, categories=True)
    live = [what for what in rows.tags("what") if what.startswith("tuning")]
    shown = [
        series(what, [rows.where(what=what, who=who).point(who, "p95_20s") for who in _WHO], "bars") for what in live
    ]
    shown.append(said({who: value for who, value in tuning.PAPER_P95.items() if who in _WHO}, PAPER))
    about = (
        "Mean p95 over the first 20 s on this machine's scheduler, one run each; other work on the machine disturbs it."
    )
    command = "spec-envs bench tuning --backend eevdf --clock wall --beside actor"
    return found + figure(
        "Tuning on a real scheduler",
        about,
        ("who tunes", "p95 in ms"),
        shown,
        command=command,
        percent=False,
        categories=True,
    )
