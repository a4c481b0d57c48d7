"""Limits take what is meant by a number, and refuse the rest with a message that names the argument and the value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from spec_envs import Usage
from spec_envs.errors import InvalidConfiguration
from spec_envs.testing import FakeEnv
from spec_envs.wrappers import HandlerLimit, Limits, SpeculativeWrapper
from tests.wrappers.loops import choose

NO_INTEGERS: list[Any] = [
    math.nan,
    math.inf,
    -math.inf,
    1.5,
    2.0,
    True,
    False,
    "3",
    b"3",
    -1,
    [4],
    np.float64(3),
    np.bool_(1),
    3 + 0j,
]
NO_NUMBERS: list[Any] = [math.nan, -0.1, -math.inf, True, False, "3", b"3", [4], np.array([1.0, 2.0]), None, 1j]


@pytest.mark.parametrize("value", NO_INTEGERS, ids=repr)
@pytest.mark.parametrize("name", ["max_inflight", "max_nodes", "max_depth", "max_reads"])
def test_limits_refuse_what_is_no_integer(name: str, value: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=name):
        Limits(**{name: value})


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
@pytest.mark.parametrize("name", ["max_tokens", "max_money", "money_per_s", "read_ttl_s", "min_probability"])
def test_limits_refuse_what_is_no_number(name: str, value: Any) -> None:
    arguments: dict[str, Any] = {name: value}
    if value is None and name in ("max_tokens", "max_money", "money_per_s"):
        assert getattr(Limits(**arguments), name) is None
        return
    with pytest.raises(InvalidConfiguration, match=name):
        Limits(**arguments)


@pytest.mark.parametrize("value", [*NO_INTEGERS, 0], ids=repr)
@pytest.mark.parametrize("name", ["max_inflight", "max_calls"])
def test_limits_of_handlers_refuse_what_is_no_integer(name: str, value: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=name):
        HandlerLimit(**{name: value})


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, math.inf], ids=repr)
def test_windows_of_handlers_are_finite(value: Any) -> None:
    with pytest.raises(InvalidConfiguration, match="per_s"):
        HandlerLimit(max_calls=1, per_s=value)


@pytest.mark.parametrize("value", NO_INTEGERS, ids=repr)
@pytest.mark.parametrize("name", ["k", "max_inflight", "shadow_every", "max_trace_events"])
def test_wrappers_refuse_what_is_no_integer(name: str, value: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=name):
        SpeculativeWrapper(FakeEnv(), choose, **{name: value})


@pytest.mark.parametrize("value", [3, np.int64(3), np.array(3), np.uint8(3)], ids=lambda value: type(value).__name__)
def test_whatever_has_an_index_is_an_integer(value: Any) -> None:
    limits = Limits(max_inflight=value, max_nodes=value, max_depth=value, max_reads=value)
    assert {type(limits.max_inflight), type(limits.max_nodes), type(limits.max_depth)} == {int}
    assert HandlerLimit(max_inflight=value, max_calls=value).max_calls == 3
    SpeculativeWrapper(FakeEnv(), choose, k=value, max_inflight=value).close()


@pytest.mark.parametrize("value", [{"world": 3}, [HandlerLimit()], "world"], ids=repr)
def test_limits_of_handlers_are_handler_limits(value: Any) -> None:
    with pytest.raises(InvalidConfiguration, match="per_handler"):
        Limits(per_handler=value)


def test_what_goes_beyond_a_budget_is_counted_without_the_rounding_of_sums() -> None:
    assert not Limits(max_tokens=0.3).excess(Usage(0.1, 0.2))
    assert Limits(max_tokens=25).excess(Usage(20, 10, 3.0)) == Usage(0, 5, 0.0)
