"""``spec-envs mcp-proxy status``: a report of the files in the state folder."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spec_envs.integrations.mcp_proxy.memory import Figures, state_folder
from spec_envs.whole_files import read_whole


def read_status(state: Path | None) -> dict[str, Any]:
    """The figures of every server that a proxy has served, as JSON data, the last used server first."""
    folder = state or state_folder()
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    servers = [found for file in files if (found := _server(file)) is not None]
    return {"state": str(folder), "servers": sorted(servers, key=lambda each: str(each["updated"]), reverse=True)}


def _server(file: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(read_whole(file))
        figures = Figures.from_json(data["figures"])
        counts = figures.counts
        return {
            "name": "+".join(each["name"] for each in data["servers"]),
            "servers": data["servers"],
            "updated": data["updated"],
            "file": str(file),
            **counts,
            "hit_rate": counts["hits"] / counts["calls"] if counts["calls"] else 0.0,
            "in_vain": counts["started"] - counts["hits"],
            "problems": [str(each) for each in data.get("problems", [])],
            "held_back": dict(figures.held_back),
            "tools": [_tool(name, lists) for name, lists in sorted(figures.tools.items())],
            "sequences": [each for each in data.get("sequences", []) if _is_sequence(each)],
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # not a file of the proxy, or a damaged file


def _is_sequence(data: Any) -> bool:
    """Whether ``data`` are two calls, and how often the one came after the other."""
    calls = [data.get(name) for name in ("after", "then")] if isinstance(data, dict) and "times" in data else []
    return bool(calls) and all(
        isinstance(call, dict) and isinstance(call.get("name"), str) and "arguments" in call for call in calls
    )


def _tool(name: str, lists: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    called, ready = lists["called_s"], lists["ready_s"]
    return {
        "tool": name,
        "called": len(called),
        "called_p50_ms": _at(called, 50),
        "called_p95_ms": _at(called, 95),
        "ready": len(ready),
        "ready_p50_ms": _at(ready, 50),
        "ready_p95_ms": _at(ready, 95),
    }


def _at(seconds: Sequence[float], percentile: int) -> float | None:
    if not seconds:
        return None
    if len(seconds) == 1:
        return 1000 * seconds[0]
    return 1000 * statistics.quantiles(seconds, n=100, method="inclusive")[percentile - 1]
