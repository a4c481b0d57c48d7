"""What all environments check in the same way: integers, choices, options of ``reset``, and episodes under way."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from spec_envs.checks import (
    as_integer,
    begun,
    can_render,
    check_under_way,
    choice,
    chosen,
    index_in,
    integer,
    integer_or_none,
    read_options,
    render_mode_of,
)
from spec_envs.errors import InvalidConfiguration, ResetNeeded
from spec_envs.testing import FakeEnv

#: What has ``__index__``, and is 3.
THREES = [3, np.int64(3), np.uint8(3), np.array(3), np.array(3, np.int16)]
NO_INTEGERS = [True, np.True_, np.array(True), 3.0, np.float64(3), np.array([3]), "3", b"3", None, [3], 3j]


class Item:
    def __init__(self, name: str) -> None:
        self.name = name


ITEMS = [Item("a"), Item("b"), Item("c"), Item("d")]


class TestIntegers:
    @pytest.mark.parametrize("value", THREES, ids=repr)
    def test_are_whatever_has_an_index(self, value):
        assert as_integer(value) == 3
        for number in (integer("n", value, least=1), integer_or_none("n", value, least=1)):
            assert number == 3
            assert type(number) is int
        assert index_in(ITEMS, value, noun="task") == 3
        assert chosen(ITEMS, value, noun="task", name="name") is ITEMS[3]

    @pytest.mark.parametrize("value", NO_INTEGERS, ids=repr)
    def test_are_neither_bools_nor_fractions_nor_texts(self, value):
        assert as_integer(value) is None
        with pytest.raises(InvalidConfiguration, match="^n must be an integer of at least 1, not "):
            integer("n", value, least=1)
        with pytest.raises(InvalidConfiguration, match="^a task's index is an integer from 0 to 3, not "):
            index_in(ITEMS, value, noun="task")

    def test_may_be_left_out_where_none_is_allowed(self):
        assert integer_or_none("n", None, least=1) is None
        with pytest.raises(InvalidConfiguration, match="^n must be None or an integer of at least 1, not 0$"):
            integer_or_none("n", 0, least=1)

    @pytest.mark.parametrize("index", [-1, 4, np.int64(4)])
    def test_outside_of_the_items_are_refused(self, index):
        with pytest.raises(InvalidConfiguration, match="from 0 to 3"):
            chosen(ITEMS, index, noun="task", name="name")

    @pytest.mark.parametrize("seed", THREES, ids=repr)
    def test_of_any_kind_seed_an_environment(self, seed):
        env = FakeEnv()
        expected = FakeEnv().reset(seed=3)
        assert env.reset(seed=seed) == expected

    @pytest.mark.parametrize("seed", [-1, True, 1.5, "1"])
    def test_that_are_none_seed_nothing(self, seed):
        env = FakeEnv()
        env.reset(seed=3)
        state = env.fingerprint()
        with pytest.raises(InvalidConfiguration, match="^seed must be None or an integer of at least 0, not "):
            env.reset(seed=seed)
        assert env.fingerprint() == state


class TestChoices:
    def test_are_returned(self):
        assert choice("color", "white", ("white", "black")) == "white"
        assert chosen(ITEMS, "b", noun="task", name="name") is ITEMS[1]

    @pytest.mark.parametrize("value", ["red", None, 1, ["white"], np.array(["white", "black"])], ids=repr)
    def test_that_are_none_are_refused(self, value):
        with pytest.raises(InvalidConfiguration, match="^color must be 'white' or 'black', not "):
            choice("color", value, ("white", "black"))

    def test_are_listed_all(self):
        with pytest.raises(InvalidConfiguration, match="^mode must be None, 'ansi' or 'rgb_array', not 'human'$"):
            choice("mode", "human", (None, "ansi", "rgb_array"))

    def test_of_unknown_names_are_refused(self):
        with pytest.raises(InvalidConfiguration, match="^there is no task 'e'; the names are 'a' and so on$"):
            chosen(ITEMS, "e", noun="task", name="name")


class TestOptions:
    def test_are_those_with_a_value(self):
        assert read_options(None, ("fen", "color")) == {}
        assert read_options({"fen": None, "color": "white"}, ("fen", "color")) == {"color": "white"}

    @pytest.mark.parametrize("options", [{"elo": 3}, {"elo": None, "fen": "x"}])
    def test_of_unknown_names_are_refused(self, options):
        with pytest.raises(InvalidConfiguration, match=r"^options of reset\(\) may hold 'fen', 'color', not 'elo'$"):
            read_options(options, ("fen", "color"))

    @pytest.mark.parametrize("options", [["fen"], "fen", 3])
    def test_are_a_mapping(self, options):
        with pytest.raises(InvalidConfiguration, match="must be a mapping with 'fen', not "):
            read_options(options, ("fen",))


class TestEpisodes:
    def test_begin_with_reset(self):
        assert begun("episode") == "episode"
        with pytest.raises(ResetNeeded, match=r"^no episode has begun yet; call reset\(\) first$"):
            begun(None)

    def test_go_on_until_they_have_an_outcome(self):
        check_under_way(None)
        with pytest.raises(ResetNeeded, match=r"^the episode is over \(stop\); call reset\(\) for a new one$"):
            check_under_way("stop")


class Drawn(gym.Env[int, int]):
    metadata = {"render_modes": ["ansi", "rgb_array"]}

    def __init__(self, render_mode: str | None) -> None:
        self.render_mode = render_mode_of(self, render_mode)


class TestRenderModes:
    def test_are_those_of_the_metadata(self):
        assert Drawn("ansi").render_mode == "ansi"
        with pytest.raises(InvalidConfiguration, match="must be None, 'ansi' or 'rgb_array', not 'human'$"):
            Drawn("human")

    def test_are_missed_with_a_warning(self):
        assert can_render(Drawn("ansi"))
        with pytest.warns(UserWarning, match='give render_mode="ansi" or render_mode="rgb_array"'):
            assert not can_render(Drawn(None))
