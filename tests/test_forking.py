"""``fork(env)``: which environments and wrappers it copies, which it refuses, and why."""

import collections
import functools
import random
import threading
import weakref
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces, wrappers

from spec_envs import fork
from spec_envs.errors import NotForkable
from spec_envs.testing import FakeEnv, check_fork
from tests.foreign_envs import Foreign, Holder, foreign, held

TOY_ENVS = [
    "CartPole",
    "FrozenLake",
    "Taxi",
    "Blackjack",
    "Pendulum",
    "MountainCar",
    "MountainCarContinuous",
    "Acrobot",
    "CliffWalking",
]


class Pixels(Foreign):
    observation_space = spaces.Box(0, 255, (8, 8, 3), np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.render(), {}

    def step(self, action):
        _, *rest = super().step(action)
        return self.render(), *rest


class Corner(Pixels):
    observation_space = spaces.Box(0, 255, (2,), np.uint8)

    def render(self):
        return super().render()[0, 0, :2]


class Continuous(Foreign):
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def step(self, action):
        self.position[0] += action[0]
        return super().step(1)


class Dictionary(Foreign):
    observation_space = spaces.Dict({"position": Foreign.observation_space, "sum": spaces.Box(-np.inf, np.inf, ())})

    def reset(self, *, seed=None, options=None):
        position, info = super().reset(seed=seed)
        return {"position": position, "sum": np.float32(position.sum())}, info

    def step(self, action):
        position, *rest = super().step(action)
        return {"position": position, "sum": np.float32(position.sum())}, *rest


W = wrappers
WRAPPED: dict[str, Any] = {
    "AddRenderObservation": lambda: W.AddRenderObservation(Foreign("rgb_array"), render_only=False),
    "AddWhiteNoise": lambda: W.AddRenderObservation(W.AddWhiteNoise(Foreign("rgb_array"), 0.5)),
    "ArrayConversion": None,  # needs array_api_compat, as do the three after it
    "JaxToNumpy": None,
    "JaxToTorch": None,
    "NumpyToTorch": None,
    "AtariPreprocessing": None,  # needs ale_py, whose emulator is not copied
    "Autoreset": lambda: W.Autoreset(Foreign()),
    "ClipAction": lambda: W.ClipAction(Continuous()),
    "ClipReward": lambda: W.ClipReward(Foreign(), -1, 1),
    "DelayObservation": lambda: W.DelayObservation(Foreign(), 2),
    "DiscretizeAction": lambda: W.DiscretizeAction(Continuous(), 5),
    "DiscretizeObservation": lambda: W.DiscretizeObservation(Corner(), 4),
    "DtypeObservation": lambda: W.DtypeObservation(Foreign(), np.float64),
    "FilterObservation": lambda: W.FilterObservation(Dictionary(), ["sum"]),
    "FlattenObservation": lambda: W.FlattenObservation(Dictionary()),
    "FrameStackObservation": lambda: W.FrameStackObservation(Foreign(), 3),
    "GrayscaleObservation": lambda: W.GrayscaleObservation(Pixels()),
    "HumanRendering": None,  # refused; tested below
    "MaxAndSkipObservation": lambda: W.MaxAndSkipObservation(Foreign(), 2),
    "NormalizeObservation": lambda: W.NormalizeObservation(Foreign()),
    "NormalizeReward": lambda: W.NormalizeReward(Foreign()),
    "ObstructView": lambda: W.AddRenderObservation(W.ObstructView(Foreign("rgb_array"), 0.5, 2)),
    "OrderEnforcing": lambda: W.OrderEnforcing(Foreign()),
    "PassiveEnvChecker": lambda: W.PassiveEnvChecker(Foreign()),
    "RecordEpisodeStatistics": lambda: W.RecordEpisodeStatistics(Foreign()),
    "RecordVideo": None,  # refused; tested below
    "RenderCollection": lambda: W.RenderCollection(Foreign("rgb_array")),
    "RepeatAction": lambda: W.RepeatAction(Foreign(), 2),
    "RescaleAction": lambda: W.RescaleAction(Continuous(), np.float32(-2), np.float32(2)),
    "RescaleObservation": lambda: W.RescaleObservation(Pixels(), np.float64(0), np.float64(1)),
    "ReshapeObservation": lambda: W.ReshapeObservation(Pixels(), (64, 3)),
    "ResizeObservation": None,  # needs opencv; like the other functions of the observation
    "StickyAction": lambda: W.StickyAction(Foreign(), 0.5),
    "TimeAwareObservation": lambda: W.TimeAwareObservation(W.TimeLimit(Foreign(), 9)),
    "TimeLimit": lambda: W.TimeLimit(Foreign(), 7),
    "TransformAction": lambda: W.TransformAction(Foreign(), lambda action: 2 - action, Foreign.action_space),
    "TransformObservation": lambda: W.TransformObservation(Foreign(), lambda o: o / 2, Foreign.observation_space),
    "TransformReward": lambda: W.TransformReward(Foreign(), lambda reward: -float(reward)),
}


def test_every_wrapper_of_gymnasium_is_in_the_table():
    assert set(wrappers.__all__) - {"vector"} <= set(WRAPPED)


@pytest.mark.parametrize("name", [name for name, make in WRAPPED.items() if make])
def test_wrappers_of_gymnasium_are_forked(name):
    check_fork(WRAPPED[name](), steps=15)


@pytest.mark.parametrize("name", TOY_ENVS)
def test_toy_environments_are_forked(name):
    newest = max(spec.id for spec in gym.registry.values() if spec.name == name and spec.namespace is None)
    check_fork(gym.make(newest), steps=15)


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_call_env_is_forked_under_the_wrappers_of_make(calls):
    env = gym.make("spec_envs/Fake-v0", calls_in_reset=calls, calls_per_step=calls)
    check_fork(W.RecordEpisodeStatistics(W.StickyAction(env, 0.3)), steps=12)


@pytest.fixture(autouse=True, scope="module")
def fake_env_registered():
    make: Any = FakeEnv  # EnvCreator wants **kwargs
    gym.register("spec_envs/Fake-v0", make, max_episode_steps=7)
    yield
    del gym.registry["spec_envs/Fake-v0"]


def test_the_stack_keeps_its_types_and_its_state():
    env = gym.make("spec_envs/Fake-v0")
    env.reset(seed=0)
    env.step(1)
    twin = fork(env)
    assert str(twin) == str(env)
    assert twin.get_wrapper_attr("_elapsed_steps") == 1
    assert twin.unwrapped is not env.unwrapped
    assert twin.spec == env.spec


def test_what_the_layers_do_not_change_is_shared():
    env: Any = gym.make("spec_envs/Fake-v0")
    env.reset(seed=0)
    twin = fork(env)
    assert twin.action_space is env.action_space
    assert twin.unwrapped.handlers is env.unwrapped.handlers


# --- what wrappers hold -----------------------------------------------------------------------------------------


def test_a_closure_over_the_wrapper_is_bound_to_the_fork():
    wrapper, twin = held(lambda self: lambda: (self, self.env, self.unwrapped))
    assert twin.held() == (twin, twin.env, twin.unwrapped)
    assert wrapper.held() == (wrapper, wrapper.env, wrapper.unwrapped)


def test_a_bound_method_is_bound_to_the_fork():
    _, twin = held(lambda self: (self.env.step, functools.partial(self.env.step, 1)))
    assert twin.held[0].__self__ is twin.env
    assert twin.held[1].func.__self__ is twin.env


def test_a_function_in_a_container_is_bound_to_the_fork():
    _, twin = held(lambda self: {"hooks": [lambda: self.unwrapped]})
    assert twin.held["hooks"][0]() is twin.unwrapped


def test_a_counter_in_a_closure_is_copied():
    def counter(self):
        count = 0

        def increase():
            nonlocal count
            count += 1
            return count

        return increase

    wrapper, twin = held(counter)
    assert [twin.held(), twin.held(), wrapper.held(), fork(twin).held()] == [1, 2, 1, 3]


def test_two_closures_still_share_their_variable():
    def pair(self):
        seen: list[str] = []
        return seen.append, lambda: list(seen)

    wrapper, twin = held(pair)
    twin.held[0]("x")
    assert (twin.held[1](), wrapper.held[1]()) == (["x"], [])


def test_a_recursive_closure_is_copied():
    def recursive(self):
        def countdown(n):
            return [self] if n == 0 else countdown(n - 1)

        return countdown

    _, twin = held(recursive)
    assert twin.held(3) == [twin]


def test_a_function_that_closes_over_code_alone_is_shared():
    wrapper, twin = held(lambda self: (lambda scale: lambda reward: scale(reward))(abs))
    assert twin.held is wrapper.held


@pytest.mark.parametrize(
    "other", [lambda self, road: road, 3, property(lambda self: 3)], ids=["method", "number", "property"]
)
def test_what_an_environment_calls_fork_and_is_none_is_left_alone(other):
    class Roads(Foreign):
        fork = other

    env = foreign(Roads)
    assert fork(env) is not env and fork(env).position.tolist() == env.position.tolist()


def test_a_generator_of_a_wrapper_is_copied_exactly():
    for make in (lambda self: np.random.default_rng(1), lambda self: np.random.RandomState(1)):
        wrapper, twin = held(make)
        assert twin.held is not wrapper.held
        assert twin.held.normal() == wrapper.held.normal()
    wrapper, twin = held(lambda self: random.Random(1))
    assert twin.held.random() == wrapper.held.random()


def test_a_view_stays_a_view():
    def buffer_and_view(self):
        buffer = np.zeros((4, 3), order="F")
        return buffer, buffer[1:, ::2], buffer.T

    wrapper, twin = held(buffer_and_view)
    twin.held[0][1, 2] = 7
    assert twin.held[1][0, 1] == 7 and twin.held[2][2, 1] == 7
    assert not wrapper.held[1].any()


def test_a_weak_reference_to_a_layer_is_bound_to_the_fork():
    _, twin = held(lambda self: weakref.ref(self.unwrapped))
    assert twin.held() is twin.unwrapped


def test_a_second_environment_inside_a_wrapper_is_forked_too():
    second = foreign()
    for make in (lambda self: (second, W.TimeLimit(second, 5)), lambda self: (W.TimeLimit(second, 5), second)):
        wrapper, twin = held(make)
        assert twin.held[0].unwrapped is twin.held[1].unwrapped
        assert twin.held[0].unwrapped is not second
        assert twin.held[0].np_random.random() == wrapper.held[0].np_random.random()
        second.np_random.random()


def test_slots_and_cycles_are_copied():
    class Node:
        __slots__ = ("__hidden", "next")

        def __init__(self):
            self.__hidden, self.next = [1], self

    wrapper, twin = held(lambda self: Node())
    assert twin.held.next is twin.held is not wrapper.held
    assert twin.held._Node__hidden == [1] and twin.held._Node__hidden is not wrapper.held._Node__hidden


def test_a_space_that_was_sampled_from_is_copied_with_its_generator():
    space = spaces.Dict({"a": spaces.Discrete(100), "b": spaces.Tuple([spaces.Box(0, 1)])})
    wrapper, twin = held(lambda self: space)
    assert twin.held is space
    space.seed(3)
    twin = fork(wrapper)
    assert twin.held == space
    drawn = twin.held.sample()
    assert repr(drawn) == repr(space.sample())


def test_a_wrapper_with_a_fork_of_its_own_is_asked():
    class Own(gym.Wrapper):
        def fork(self):
            twin: Any = Own(fork(self.env))
            twin.asked = True
            return twin

    assert W.OrderEnforcing(Own(FakeEnv())).env is not None
    twin: Any = fork(W.OrderEnforcing(Own(FakeEnv())))
    assert twin.env.asked


@pytest.mark.parametrize("answer", [lambda self: self, lambda self: fork(self.env), lambda self: None])
def test_a_fork_that_returns_something_else_is_refused(answer):
    class Wrong(gym.Wrapper):
        fork = answer

    with pytest.raises(NotForkable, match=r"Wrong in <Wrong<FakeEnv.*its fork\(\) returned .*, not another Wrong"):
        fork(Wrong(FakeEnv()))


# --- what is refused --------------------------------------------------------------------------------------------

OUTSIDE = "put it outside SpeculativeWrapper, where it sees only what really happened"


def test_record_video_is_refused(tmp_path):
    env = object.__new__(W.RecordVideo)  # its constructor needs moviepy
    gym.Wrapper.__init__(env, Foreign("rgb_array"))
    with pytest.raises(NotForkable, match=f"RecordVideo in <RecordVideo<Foreign.*writes video files; {OUTSIDE}"):
        fork(W.TimeLimit(env, 5))


def test_human_rendering_is_refused():
    env = Foreign("rgb_array")
    env.metadata = {"render_modes": ["rgb_array"], "render_fps": 4}
    with pytest.raises(NotForkable, match=f"HumanRendering in .* shows the episode in a window; {OUTSIDE}"):
        fork(W.HumanRendering(env))


@pytest.mark.parametrize("env", [Foreign("human"), FakeEnv()], ids=["foreign", "ours"])
def test_an_environment_that_a_person_watches_is_refused(env):
    env.render_mode = "human"
    with pytest.raises(NotForkable, match="shows the episode to a person; make it with another render_mode"):
        fork(W.TimeLimit(env, 5))


def test_a_wrapper_that_writes_to_a_file_is_refused(tmp_path):
    class Monitor(gym.Wrapper):  # as stable-baselines3's
        def __init__(self, env, file):
            super().__init__(env)
            self.results = collections.OrderedDict(writer=file)

    with (tmp_path / "monitor.csv").open("w") as file:
        env = W.TimeLimit(Monitor(FakeEnv(), file), 5)
        with pytest.raises(NotForkable, match=rf"Monitor in <Monitor<F.*Monitor\.results\['writer'\] is a .*{OUTSIDE}"):
            fork(env)


@pytest.mark.parametrize(
    "make",
    [lambda self: threading.Lock(), lambda self: threading.Thread(), lambda self: (i for i in ""), lambda self: [open]],
    ids=["lock", "thread", "generator", "builtin"],
)
def test_what_cannot_be_copied_is_refused_and_builtins_are_not(make):
    wrapper = Holder(FakeEnv(), make)
    if wrapper.held == [open]:
        assert fork(wrapper).held == [open]
        return
    with pytest.raises(NotForkable, match=rf"Holder\.held.* cannot be copied .*{OUTSIDE}"):
        fork(wrapper)


def test_a_weak_reference_to_something_else_is_refused():
    class Thing:
        pass

    thing = Thing()
    with pytest.raises(NotForkable, match="is a weak reference to a Thing that is not copied with it"):
        held(lambda self: weakref.ref(thing))


def test_only_environments_are_forked():
    with pytest.raises(NotForkable, match=r"fork\(\) takes a gymnasium.Env, not \[\]"):
        fork([])  # type: ignore[type-var]  # what is tested
