"""``spec-envs bench guard``, with few steps: what it reports, not whether this machine is quick."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from spec_envs.benchmarks.cli import main
from spec_envs.benchmarks.guard import GuardSettings
from spec_envs.benchmarks.guard.run import run


@pytest.mark.parametrize("environment", ["cartpole", "chess"])
def test_it_reports_each_policy(environment: str) -> None:
    settings = GuardSettings(environment=environment, work="sleep", steps=12, longest_ms=1.0)  # type: ignore[arg-type]
    report = run(settings)
    assert [row["milliseconds"] for row in report["runs"]] == [0.0, 0.1, 0.3, 1.0]
    assert {row["setup"] for row in report["runs"]} == {f"{environment} sleep"}
    assert report["held"] == all(row["held"] for row in report["runs"])
    for row in report["runs"]:
        lost = row["guarded_seconds"] - row["plain_seconds"]
        assert 1 <= row["rounds"] <= 3 and row["worst_step_milliseconds"] >= row["step_milliseconds"] - 1e-9
        assert row["slower"] == pytest.approx(lost / row["plain_seconds"])
        assert row["step_milliseconds"] == pytest.approx(1e3 * lost / 12)
        assert row["held"] == (lost <= max(0.05 * row["plain_seconds"], 1e-4 * 12))


def test_it_prints_a_table() -> None:
    args = ["--environment", "cartpole", "--work", "cpu", "--steps", "10", "--longest-ms", "0.1"]
    result = CliRunner().invoke(main, ["bench", "guard", *args])
    assert result.exit_code == 0 and "Plainly, with the guard" in result.output  # great figures may break other words
