"""Spaces and values as JSON: equal ones come out at the other end, and nothing fails once a step has been made."""

from __future__ import annotations

import dataclasses
import enum
import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from spec_envs.errors import InvalidConfiguration
from spec_envs.integrations.wire import fitted, plain, schema_of, space_of
from spec_envs.spaces import ActionText, AnyText

BOOLEAN: Any = np.bool_  # of which gymnasium's types know nothing
SPACES: dict[str, spaces.Space[Any]] = {
    "box": spaces.Box(-1.0, 2.0, (2, 3), np.float32),
    "open box": spaces.Box(-np.inf, np.array([1.0, np.inf]), (2,), np.float64),
    "scalar box": spaces.Box(0.0, 1.0, (), np.float64),
    "picture": spaces.Box(0, 255, (2, 2, 3), np.uint8),
    "planes": spaces.Box(0, 1, (2, 2), BOOLEAN),
    "discrete": spaces.Discrete(5, start=-2),
    "binary": spaces.MultiBinary([2, 3]),
    "multi": spaces.MultiDiscrete([3, 4]),
    "text": spaces.Text(9, min_length=2, charset="abc"),
    "any text": AnyText(),
    "tuple": spaces.Tuple((spaces.Discrete(2), spaces.Box(0.0, 1.0, (2,)))),
    "dict": spaces.Dict({"b": spaces.Discrete(3), "a": spaces.Dict({"x": spaces.Box(0.0, 1.0, (1,))})}),
}


def over_the_wire(value: Any) -> Any:
    return json.loads(json.dumps(value, allow_nan=False))


@pytest.mark.parametrize("name", SPACES)
def test_a_space_and_its_values_come_out_equal(name):
    space = SPACES[name]
    twin = space_of(over_the_wire(schema_of(space)))
    assert type(twin) is type(space) or isinstance(space, spaces.Text)
    space.seed(3)
    twin.seed(3)
    for _ in range(10):
        value = space.sample()
        there = fitted(twin, over_the_wire(plain(value)))
        assert there in twin and plain(there) == plain(value)
        assert getattr(there, "dtype", None) == getattr(value, "dtype", None) or isinstance(space, spaces.Discrete)
        assert plain(twin.sample()) == plain(value)


@pytest.mark.parametrize("name", ["SpecChess-v0", "SpecRetail-v0", "SpecSearch-v0", "SpecTuning-v0"])
def test_the_spaces_of_the_environments_are_described(name):
    with gym.make(name) as env:
        schema = over_the_wire(schema_of(env.observation_space))
        observation, _ = env.reset(seed=0)
        assert fitted(space_of(schema), over_the_wire(plain(observation))) in env.observation_space
        assert space_of(over_the_wire(schema_of(env.action_space)))


def test_an_action_that_is_text_or_an_object_says_so():
    assert schema_of(ActionText(str, ["a"]))["type"] == ["string", "object"]
    assert schema_of(AnyText())["type"] == "string"


def test_what_has_no_form_is_refused_before_any_step():
    with pytest.raises(InvalidConfiguration, match="Sequence.*has no form in JSON here"):
        schema_of(spaces.Dict({"a": spaces.Sequence(spaces.Discrete(2))}))
    with pytest.raises(InvalidConfiguration, match="there is no space in this schema"):
        space_of({"type": "string"})


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: Any


class Stubborn:
    def __repr__(self) -> str:
        raise ValueError


def ring() -> list[Any]:
    values: list[Any] = []
    values.append(values)
    return values


VALUES = {
    "numbers": ([float("nan"), float("inf"), -np.inf, np.float32(0.5)], ["NaN", "Infinity", "-Infinity", 0.5]),
    "scalars": ((np.bool_(True), np.int8(3), None, True), [True, 3, None, True]),
    "array": (np.array([[1.0, np.nan]]), [[1.0, "NaN"]]),
    "objects": (np.array([None, "a"], dtype=object), [None, "a"]),
    "keys": ({1: {"a": (1,)}}, {"1": {"a": [1]}}),
    "set": ({3}, [3]),
    "data": (Point(Color.RED), {"x": "RED"}),
    "surrogate": ("a\ud800", "a?"),
    "stubborn": ([Stubborn()], ["<Stubborn>"]),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_as_json(name):
    value, expected = VALUES[name]
    assert over_the_wire(plain(value)) == expected


def test_a_value_within_itself_becomes_a_short_text():
    assert isinstance(plain(ring()), str)


@pytest.mark.parametrize(
    ("name", "data"),
    [("box", "text"), ("picture", [0.5]), ("discrete", "3"), ("dict", [1]), ("tuple", [1]), ("multi", {"a": 1})],
)
def test_data_that_mean_no_value_are_left_for_the_environment_to_judge(name, data):
    assert fitted(SPACES[name], data) == data


def test_parts_of_a_dict_may_be_left_out_or_be_others():
    assert fitted(SPACES["dict"], {"b": 1, "c": "x"}) == {"b": 1, "c": "x"}
