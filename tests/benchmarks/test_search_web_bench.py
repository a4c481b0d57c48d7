"""``spec-envs bench search-web``: over HTTP and without pauses, so that nothing waits."""

from __future__ import annotations

import json

from click.testing import CliRunner

from spec_envs.benchmarks.cli import main


def run(*args: str):
    quick = ("--backend", "http", "--agent-seconds", "0", "--page-seconds", "0", "--seeds", "1")
    return CliRunner().invoke(main, ["bench", "search-web", *quick, *args])


def test_episodes_are_compared_and_certified():
    result = run("--episodes", "2", "--json", "-")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["config"]["backend"] == "http"
    assert [each["question"] for each in report["episodes"]] == ["test-0", "test-1"]
    for each in (*report["episodes"], report["mean"]):
        assert each["lossless"] == 1
        assert each["saved"] == 1 - each["speculative_s"] / each["sequential_s"] or each is report["mean"]
    assert report["certify"] == {"verdict": "lossless", "seeds": 1, "text": "lossless on 1 seed(s)"}


def test_a_person_gets_a_table_or_the_certificate_alone():
    assert "test-0" in run("--episodes", "1").output
    assert run("--episodes", "0").output == "certify: lossless on 1 seed(s)\n"
