"""``spec-envs bench listening``: what it reports, and that the four runs are the same episodes."""

from __future__ import annotations

import json

from click.testing import CliRunner

from spec_envs.benchmarks.cli import main


def bench(*args):
    return CliRunner().invoke(main, ["bench", "listening", "--questions", "1", "--seconds", "0.4", *args])


def test_reports_what_was_written_and_how_often_the_client_hung_up():
    # How much is written until the client is gone depends on the machine; that it goes is tested with the policies.
    result = bench("--tail", "0.9", "--tokens-per-s", "1000", "--page-seconds", "0", "--json", "-")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    whole, final = (report["runs"][f"plain, {name}"] for name in ("whole answers", "until all is said"))
    assert report["lossless"] == 1
    assert whole["hung_up"] == 0 and whole["requests"] == final["requests"]
    assert final["hung_up"] < final["requests"]  # the first answer of a model is heard to its end
    assert final["tokens_out"] <= whole["tokens_out"] == whole["tokens_out_reported"]
    assert set(report["saved_by_not_listening"]) == {"plain", "speculative"}


def test_is_a_table_without_json():
    result = bench("--tail", "0.5")
    assert result.exit_code == 0, result.output
    assert "Saved by not listening" in result.stdout and "the same episodes: yes" in result.stdout
