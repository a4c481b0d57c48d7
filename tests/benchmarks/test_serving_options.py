"""Model servers, faults, paces and options that make no sense are named at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from spec_envs.benchmarks.cli import main
from spec_envs.benchmarks.serving import Fault, ModelServer, Pace
from spec_envs.errors import InvalidConfiguration


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "name must be the name of a model, not ''"),
        ({"name": 5}, "name must be the name of a model, not 5"),
        ({"host": ""}, "host must be a name or an address"),
        ({"port": "x"}, "port must be an integer of at least 0, not 'x'"),
        ({"port": 99999}, "cannot listen on port 99999 of 127.0.0.1"),
        ({"pace": 5}, "pace must be a Pace, not 5"),
        ({"slots": 0}, "slots must be None or an integer of at least 1, not 0"),
        ({"queue": "lifo"}, "queue must be 'fifo' or 'drop', not 'lifo'"),
        ({"queue": "drop"}, "give a number of slots, too"),
        ({"rate_limit": 5}, r"rate_limit must be \(calls, seconds\), not 5"),
        ({"rate_limit": (0, 1.0)}, "the number of calls of a rate limit must be an integer of at least 1, not 0"),
        ({"rate_limit": (1, "x")}, "the time of a rate limit must be above 0 and finite, not 'x'"),
    ],
)
def test_a_server_that_makes_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration, match=message):
        ModelServer(lambda request: "Hello!", **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fault(status=200), "status must be None or an integer of at least 400, not 200"),
        (lambda: Fault(stall_after=-1), "stall_after must be .*, not -1"),
        (lambda: Fault(status=503, drop_after=1), "a fault has at most one of status, stall_after, drop_after"),
        (lambda: Fault(status=503, retry_after_s=-1), "retry_after_s must be finite and at least 0, not -1"),
        (lambda: Pace(first_token_s="x"), "first_token_s must be a number, not 'x'"),  # type: ignore[arg-type]
        (lambda: Pace(reasoning_tokens=1.5), "reasoning_tokens must be an integer, not 1.5"),  # type: ignore[arg-type]
        (lambda: Pace(spread=float("nan")), "spread must be at least 0 and finite, not nan"),
    ],
)
def test_faults_and_paces_that_make_no_sense(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration, match=message):
        make()


def test_only_faults_can_be_asked_for() -> None:
    with ModelServer(lambda request: "Hello!") as server, pytest.raises(InvalidConfiguration, match="not 503"):
        server.fail_next(503)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--per-s", "5"], "--per-s 5 is the time of --max-calls: give --max-calls, too, or leave out --per-s"),
        (["--queue", "drop"], "--queue drop is for requests that find no free slot: give --slots, too"),
        (["--name", ""], "name must be the name of a model"),
    ],
)
def test_options_that_belong_to_others(args: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["serve-model", "--policy", "tools", *args])
    assert result.exit_code == 2 and message in result.stderr
