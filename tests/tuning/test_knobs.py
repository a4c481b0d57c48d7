"""Knobs and actions: grids, coordinates, and what is refused."""

from __future__ import annotations

import json
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs.errors import InvalidAction, InvalidConfiguration
from spec_envs.tuning.actions import ACTION_FORMATS, action_space, coordinates, read_action
from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.round_robin import SLICE

KNOBS = (
    SLICE,
    Knob("batch", "int", 1, 1024, log=True, steps=11),
    Knob("mode", "choice", choices=("off", "4096", "on")),
)
CURRENT = tuple((knob.name, knob.start) for knob in KNOBS)


@st.composite
def number_knobs(draw: st.DrawFn) -> Knob:
    kind: Literal["float", "int"] = draw(st.sampled_from(["float", "int"]))
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -1000, 1000))
    high = low + draw(st.integers(1, 10_000))
    return Knob("knob", kind, low, high, log=log, steps=draw(st.integers(2, 80)))


class TestKnob:
    def test_the_slice_has_twenty_points_a_decade_with_two_digits(self):
        assert len(SLICE.grid) == 61
        assert SLICE.grid[:6] == (0.1, 0.11, 0.13, 0.14, 0.16, 0.18)
        assert SLICE.grid[-1] == 100.0
        assert SLICE.start == 32.0
        assert SLICE.encode(0.1) == -1.0
        assert SLICE.encode(100.0) == 1.0

    def test_the_nearest_point_is_nearest_on_the_knobs_scale(self):
        assert SLICE.snap(30) == 32.0
        assert SLICE.snap(29.95) == 32.0  # 28 is nearer by difference
        assert Knob("knob", "int", 1, 1024, log=True, steps=11).grid == (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

    @given(number_knobs(), st.floats(0, 1))
    def test_coordinates_and_values_say_the_same(self, knob, share):
        value = knob.snap(knob.low + share * (knob.high - knob.low))
        assert value in knob.grid
        assert knob.snap(value) == value
        assert knob.decode(knob.encode(value)) == value
        assert knob.decode(float(np.float32(knob.encode(value)))) == value
        assert knob.low <= value <= knob.high
        assert isinstance(value, int) == (knob.kind == "int")
        assert knob.grid[0] == knob.low
        assert knob.grid[-1] == knob.high

    @pytest.mark.parametrize("value", [0.09, 101, 10**400, float("nan"), float("inf"), True, "3", None, [1]])
    def test_what_is_no_number_within_the_bounds_is_refused(self, value):
        with pytest.raises(InvalidAction, match=r"slice_ms must be a number from 0.1 to 100 ms, not"):
            SLICE.snap(value)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"low": 2, "high": 1}, "low must lie below high"),
            ({"low": "0", "high": "1"}, "low must lie below high"),
            ({"low": float("-inf")}, "low must lie below high"),
            ({"kind": "int", "low": 0.2, "high": 0.8}, "an 'int' needs whole bounds"),
            ({"low": 0, "high": 1, "log": True}, "a logarithmic scale begins above 0"),
            ({"steps": 1}, "steps must be an integer of at least 2"),
            ({"steps": 2.5}, "steps must be an integer of at least 2"),
            ({"kind": "bool"}, "kind must be"),
            ({"kind": "choice", "choices": ("one",)}, "two choices"),
            ({"kind": "choice", "choices": ("one", "two", "one")}, "all different"),
            ({"default": 2.0}, "the default does not fit"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, arguments, message):
        with pytest.raises(InvalidConfiguration, match=message):
            Knob("knob", **arguments)

    def test_choices_may_be_a_list(self):
        choices: Any = ["a", "b"]
        knob = Knob("knob", "choice", choices=choices)
        assert knob == Knob("knob", "choice", choices=("a", "b"))
        hash(knob)  # as part of a query


class TestActions:
    @pytest.mark.parametrize(
        "action",
        [
            {"slice_ms": 3.1, "mode": "on"},
            {"slice_ms": np.array(3.1), "mode": np.int64(2)},
            '{"slice_ms": 3.1, "mode": "on"}',
            np.array([0.0, 0.0, 1.0], np.float32),
            [0.0, 0.0, 1.0],
        ],
        ids=["mapping", "sample", "json", "box", "list"],
    )
    def test_all_forms_say_the_same(self, action):
        assert read_action(KNOBS, action, CURRENT) == (("slice_ms", 3.2), ("batch", 32), ("mode", "on"))

    def test_a_number_in_json_names_a_choice(self):
        assert dict(read_action(KNOBS, '{"mode": 4096}', CURRENT))["mode"] == "4096"

    def test_what_is_left_out_keeps_its_value(self):
        assert read_action(KNOBS, {}, CURRENT) == CURRENT
        assert read_action(KNOBS, '{"batch": 1}', CURRENT) == (CURRENT[0], ("batch", 1), CURRENT[2])

    @pytest.mark.parametrize(
        ("action", "message"),
        [
            ({"speed": 1}, "there is no knob 'speed'; the knobs are: slice_ms, batch, mode"),
            ({1: 1}, "there is no knob 1"),
            ({"mode": 3}, "mode must be one of off, 4096, on, not 3"),
            ('{"mode": 1}', "mode must be one of off, 4096, on, not '1'"),
            ("slice_ms = 3", "a JSON object"),
            ("[1, 2]", "a JSON object"),
            ("[" * 100_000, "a JSON object"),
            ([0.0], "an array of 3 coordinate"),
            (None, "an array of 3 coordinate"),
            (object(), "an array of 3 coordinate"),
            ([0.0, 0.0, 1.1], "must lie between -1 and 1"),
            ([0.0, 0.0, float("nan")], "must lie between -1 and 1"),
        ],
    )
    def test_what_cannot_be_read_is_refused(self, action, message):
        with pytest.raises(InvalidAction, match=message):
            read_action(KNOBS, action, CURRENT)

    @pytest.mark.parametrize("kind", ACTION_FORMATS)
    def test_samples_can_be_read(self, kind):
        space = action_space(KNOBS, kind)
        space.seed(0)
        settings = set()
        for _ in range(50):
            sample = space.sample()
            assert sample in space
            settings.add(read_action(KNOBS, sample, CURRENT))
        assert len(settings) > 10

    def test_the_space_of_text_holds_what_can_be_read(self):
        space = action_space(KNOBS, "json")
        assert '{"slice_ms": 1}' in space
        assert '{"slice_ms": 1000}' not in space
        assert "nonsense" not in space
        assert 3 not in space

    @given(st.tuples(*(st.sampled_from(knob.grid) for knob in KNOBS)))
    def test_a_setting_survives_every_form(self, values):
        setting = tuple((knob.name, value) for knob, value in zip(KNOBS, values, strict=True))
        for form in (dict(setting), json.dumps(dict(setting)), coordinates(KNOBS, setting)):
            assert read_action(KNOBS, form, CURRENT) == setting
