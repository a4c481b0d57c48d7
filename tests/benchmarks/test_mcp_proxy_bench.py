"""``spec-envs bench mcp-proxy``: what it compares, and how that is shown."""

from __future__ import annotations

import pytest

pytest.importorskip("mcp", reason="needs the extra mcp")

from spec_envs.benchmarks.mcp_proxy import McpProxySettings
from spec_envs.benchmarks.mcp_proxy.run import run, show
from spec_envs.errors import InvalidConfiguration


def test_both_sides_have_the_same_results() -> None:
    settings = McpProxySettings(tasks=2, learning=1, model_s=0, tool_s=0, calls=10)
    report = run(settings)
    assert report["same_results"] is True
    assert report["added_ms"] == report["call_ms"]["proxied"] - report["call_ms"]["plain"]
    assert report["saved"] == 1 - report["proxied_s"] / report["plain_s"]
    assert len(list(show(report, settings))) == 2  # a table and a sentence


def test_a_task_is_left_to_count() -> None:
    with pytest.raises(InvalidConfiguration, match="--learning must be below --tasks"):
        McpProxySettings(tasks=3, learning=3)
