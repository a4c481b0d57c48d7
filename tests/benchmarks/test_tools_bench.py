"""``spec-envs bench tools``: the figures and how they are shown."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from spec_envs.benchmarks.cli import main
from spec_envs.benchmarks.tools import ToolsSettings

QUICK = ("--tasks", "3", "--learning", "1", "--model-s", "0.02", "--tool-s", "0.01")


def run(*args: str):
    # A process of its own: servers over stdio are given its standard error.
    command = [sys.executable, "-P", "-m", "spec_envs.benchmarks.cli", "bench", "tools", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=110)


def test_figures():
    result = run(*QUICK, "--json", "-")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["config"]["tasks"] == 3
    for name in ("learnable", "shuffled"):
        figures = report[name]
        assert figures["same_results"]
        assert figures["statistics"]["calls"] == 15
        assert figures["saved"] == pytest.approx(1 - figures["speculative_s"] / figures["sequential_s"])
        assert figures["sequential_s"] == pytest.approx(sum(figures["seconds_by_task"]["plain"][1:]))


@pytest.mark.parametrize(("selectivity", "probability"), [(0.0, 0.0), (1.0, 0.5), (3.0, 0.75)])
def test_odds_are_a_least_probability(selectivity, probability):
    assert ToolsSettings(selectivity=selectivity).limits.min_probability == probability


def test_bad_options():
    result = CliRunner().invoke(main, ["bench", "tools", "--tasks", "3", "--learning", "3"])
    assert result.exit_code == 2 and "--learning must be below --tasks" in result.stderr
