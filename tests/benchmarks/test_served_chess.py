"""``spec-envs bench served-chess``: the figures and how they are shown."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from spec_envs.benchmarks.cli import main
from spec_envs.benchmarks.served_chess import ServedChessSettings
from spec_envs.benchmarks.served_chess.run import pace_of

QUICK = ("--plies", "6", "--seconds", "0.05", "--tokens-per-s", "200", "--guesses", "builtin")


@pytest.fixture(autouse=True)
def without_stockfish(monkeypatch):
    monkeypatch.setenv("SPEC_ENVS_STOCKFISH", "/not/installed")


def run(*args: str):
    return CliRunner().invoke(main, ["bench", "served-chess", *args])


def test_figures():
    result = run(*QUICK, "--json", "-")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["same_game"] and report["config"]["plies"] == 6
    plain, ahead = report["plain"], report["speculative"]
    assert plain["requests"] == 6 == ahead["calls"]["committed"]
    assert plain["tokens_out"] == plain["tokens_out_reported"] > 0
    assert ahead["requests"] >= 6
    assert report["tokens"]["produced"] == ahead["tokens_out"]
    assert report["saved"] == pytest.approx(1 - ahead["seconds"] / plain["seconds"])
    assert set(report["cancelled"]) == {"hung_up", "produced", "reported", "difference"}


def test_table():
    result = run(*QUICK)
    assert result.exit_code == 0, result.output
    assert "the same game: yes" in result.stdout and "Tokens reported against produced" in result.stdout


def test_the_pace_is_that_of_the_answer_as_a_whole():
    pace = pace_of(ServedChessSettings(seconds=2.0, tokens_per_s=100.0))
    assert pace.first_token_s + pace.reasoning_tokens / pace.tokens_per_s == pytest.approx(2.0)
    assert pace_of(ServedChessSettings(seconds=0.1)).reasoning_tokens == 0


@pytest.mark.parametrize(("option", "least"), [("--seconds", 0.01), ("--tokens-per-s", 1)])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_times_that_make_no_sense(option, least, value):
    result = run(*QUICK, option, value)
    name = option[2:].replace("-", "_")
    assert result.exit_code == 2 and f"{name} must be at least {least} and finite, not {value}" in result.output
