"""Settings that are checked are kept as the plain numbers that they mean, whatever kind of number was given."""

from __future__ import annotations

import enum
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from spec_envs import CancelToken
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.search.web.client import WebSettings
from spec_envs.tuning.actions import read_action
from spec_envs.tuning.backends.program_backends import Loopback, SqliteMix
from spec_envs.tuning.backends.sysbench import SysbenchCpu
from spec_envs.tuning.backends.system_settings import FileReads
from spec_envs.tuning.cores import core_sets
from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.models import Surface
from spec_envs.tuning.round_robin import RoundRobin
from spec_envs.wrappers import HandlerLimit, Limits
from spec_envs.wrappers.handlers import retry
from spec_envs.wrappers.tools import ToolLimits, ToolRule
from spec_envs.wrappers.workers.permits import SharedLimit


class Index:
    def __repr__(self) -> str:  # the names of tests are to be the same in each process
        return "Index"

    def __index__(self) -> int:
        return 3


class Few(enum.IntEnum):
    THREE = 3


INTEGERS = [3, np.int64(3), np.uint8(3), np.array(3), Index(), Few.THREE]
NO_INTEGERS = [True, np.True_, 3.0, np.float64(3), "3", Decimal(3), Fraction(3), float("nan")]
WHOLE: list[tuple[Any, list[str]]] = [
    (Limits, ["max_inflight", "max_nodes", "max_reads", "max_depth"]),
    (ToolLimits, ["max_inflight", "k", "max_depth", "max_results"]),
    (HandlerLimit, ["max_inflight", "max_calls"]),
    (SharedLimit, ["max_inflight", "max_calls"]),
    (WebSettings, ["attempts", "max_bytes", "max_redirects"]),
    (RoundRobin, ["tasks"]),
    (FileReads, ["megabytes"]),
    (Loopback, ["message_kb"]),
    (SqliteMix, ["rows"]),
    (SysbenchCpu, ["threads", "max_prime"]),
    (Surface, ["num_knobs", "seed"]),
]
FIELDS = [pytest.param(kind, name, id=f"{kind.__name__}.{name}") for kind, names in WHOLE for name in names]


@pytest.mark.parametrize("kind, name", FIELDS)
def test_integers_are_kept_as_int(kind, name):
    for value in INTEGERS:
        assert type(getattr(kind(**{name: value}), name)) is int
        assert kind(**{name: value}) == kind(**{name: 3}) and repr(kind(**{name: value})) == repr(kind(**{name: 3}))
    for value in NO_INTEGERS:
        with pytest.raises(InvalidConfiguration, match=name):
            kind(**{name: value})


NUMBERS = [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), Decimal("0.5"), Fraction(1, 2)]
NO_NUMBERS = [True, "0.5", float("nan"), np.float64("nan"), Decimal("NaN"), 0.5j, [0.5], -0.5]
REAL: list[tuple[Any, list[str]]] = [
    (
        Limits,
        ["min_probability", "give_up_below", "read_ttl_s", "selectivity", "max_tokens", "max_money", "money_per_s"],
    ),
    (ToolLimits, ["ttl_s", "min_latency_s", "quiet_s", "doubt_s", "max_tokens", "max_money", "min_probability"]),
    (ToolRule, ["ttl_s"]),
    (HandlerLimit, ["per_s"]),
    (SharedLimit, ["max_tokens", "max_money"]),
    (WebSettings, ["timeout_s", "backoff_s", "requests_per_s"]),
    (SqliteMix, ["reads"]),
]
REALS = [pytest.param(kind, name, id=f"{kind.__name__}.{name}") for kind, names in REAL for name in names]


@pytest.mark.parametrize("kind, name", REALS)
def test_numbers_are_kept_as_float(kind, name):
    for value in NUMBERS:
        kept = getattr(kind(**{name: value}), name)
        assert (kept, type(kept)) == (0.5, float)
    for value in NO_NUMBERS:
        with pytest.raises(InvalidConfiguration, match=name):
            kind(**{name: value})


@pytest.mark.parametrize("attempts", INTEGERS, ids=repr)
def test_a_handler_is_tried_so_often(attempts):
    tried = []

    def fails(query: str, cancel: CancelToken) -> None:
        tried.append(query)
        raise HandlerFailed("no")

    with pytest.raises(HandlerFailed):
        retry(fails, attempts=attempts, backoff_s=Decimal(0))("x", CancelToken())  # type: ignore[arg-type]
    assert len(tried) == 3


def test_bounds_of_a_knob_are_no_small_integers():
    bounds: list[tuple[Any, Any, Any]] = [(np.uint8(100), np.uint8(200), np.int8(3)), (100, Fraction(200), Index())]
    for low, high, steps in bounds:
        knob = Knob("a", "int", low, high, steps=steps)
        assert knob.grid == Knob("a", "int", 100, 200, steps=3).grid == (100, 150, 200)
        assert all(type(value) is int for value in knob.grid)
    assert core_sets(np.int64(1)) == core_sets(1)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1, np.int64(1), np.array(1), np.uint8(1)], ids=repr)
def test_a_choice_by_its_number(value):
    knobs = (Knob("a", "choice", choices=("x", "y")),)
    assert read_action(knobs, {"a": value}, (("a", "x"),)) == (("a", "y"),)
