"""How many episodes can speculate at once on each runtime, and what breaks first?"""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType

from spec_envs.benchmarks.reports import config_of, table_of, weighed_progress
from spec_envs.benchmarks.scale import ScaleSettings, provider
from spec_envs.benchmarks.scale.points import PARTS, Point, point
from spec_envs.wrappers.workers.processes import spawned

#: Beyond these a part needs more than any machine has, or more time than there is.
_MOST = {"processes": 10, "threads": 1000, "closing": 200}
#: As many episodes take about as long as the beginning of the process that plays them.
_BEGINNING = 200


def run(settings: ScaleSettings) -> dict[str, Any]:
    """The report of all parts that are asked for."""
    parts = [part for part in PARTS if settings.part in ("all", part)]
    due = [(part, count) for part in parts for count in counts(part, settings.most)]
    points = []
    with weighed_progress("measuring", [_BEGINNING + count for _, count in due]) as advance:
        for part, count in due:
            points.append(_alone(settings, (part, count)))
            advance(_BEGINNING + count)
    agents = list(provider.rows(settings)) if settings.part in ("all", "provider") else []
    return {"config": config_of(settings), "points": points, "provider": agents}


def counts(part: str, most: int) -> Sequence[int]:
    """The numbers of episodes of a part: powers of ten, and the most."""
    most = min(most, _MOST.get(part, most))
    return [*(10**power for power in range(len(str(most))) if 10**power < most), most]


def _alone(settings: ScaleSettings, due: tuple[str, int]) -> Point:
    """The figures of one number of episodes, in a process of its own, which reuses the memory of no other."""
    with spawned(1) as pool:
        return pool.submit(point, settings, *due).result()


_COLUMNS = {
    "runtime": "{part}",
    "episodes": "{episodes:,}",
    "clock": "{clock}",
    "plain s": "{plain_s:.1f}",
    "ahead s": "{ahead_s:.1f}",
    "CPU s": "{cpu_s:.1f}",
    "MB": "{mb:,.0f}",
    "KB each": "{kb_per_episode:,.0f}",
    "threads": "{threads:,}",
    "close s": "{close_s:.1f}",
    "given up": "{given_up}",
}
_PROVIDER = {
    "demand": "{demand:.0%}",
    "plain": "{plain:.0f} s",
    "first come": "{first come:.0f} s",
    "gives way": "{gives way:.0f} s",
    "20 agents": "{wrappers_plain:.0f} s",
    "ahead": "{wrappers_ahead:.0f} s",
}


def show(report: dict[str, Any], settings: ScaleSettings) -> Iterator[RenderableType]:
    """The tables of episodes at once, and of agents that share a provider."""
    if report["points"]:
        empty = {"clock": None, "plain_s": None, "ahead_s": None, "close_s": None}
        title = (
            f"Episodes at once: {settings.steps} steps, calls of {settings.seconds:g} s, {settings.max_inflight} ahead"
        )
        yield table_of(title, _COLUMNS, [empty | each for each in report["points"]])
        yield from (
            f"{each['part']}, {each['episodes']:,}: {each['broke']}" for each in report["points"] if "broke" in each
        )
    if report["provider"]:
        title = f"{settings.agents:,} agents and one rate limit; the last two columns are real wrappers"
        yield table_of(title, _PROVIDER, report["provider"])
