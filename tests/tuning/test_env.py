"""``SpecTuning-v0``: spaces, rewards, infos, forks, pictures, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from spec_envs import CancelToken, Effect, fork
from spec_envs.call_env import Script
from spec_envs.errors import CallPending, EnvClosed, HandlerFailed, InvalidAction, InvalidConfiguration, ResetNeeded
from spec_envs.testing import check_fork
from spec_envs.tuning.backends.simulated import SimulatedBackend
from spec_envs.tuning.env import TuningEnv
from spec_envs.tuning.knobs import Knob, Value
from spec_envs.tuning.measurement import METRICS, Measurement, MeasureQuery, Metrics
from spec_envs.tuning.models import Surface
from spec_envs.tuning.report import Report
from spec_envs.tuning.round_robin import RoundRobin

FORMATS = [("dict", "dict"), ("box", "dict"), ("box", "box"), ("json", "text")]


def make(**options) -> TuningEnv:
    env = gym.make("SpecTuning-v0", **options).unwrapped
    assert isinstance(env, TuningEnv)
    return env


def exact(**options) -> SimulatedBackend:
    return SimulatedBackend(noise=0.0, outliers=0.0, **options)


class Scripted:
    """A backend that gives what it is told to, window after window, and remembers the queries."""

    effect = Effect.SAMPLE
    max_inflight = 1
    carries_over = False
    workload = RoundRobin()

    def __init__(self, *metrics: Metrics) -> None:
        self.metrics = metrics
        self.queries: list[MeasureQuery] = []

    def __call__(self, query: MeasureQuery, cancel: CancelToken) -> Measurement:
        self.queries.append(query)
        return Measurement(self.metrics[query.window])

    def best(self, workload: object) -> float | None:
        return None

    def close(self) -> None:
        pass


GOOD = Metrics(1.0, 2.0, 3.0, 4.0, 1.5, 100.0, 1.0, True)


class TestContract:
    @pytest.mark.parametrize(("action_format", "observation"), FORMATS)
    @pytest.mark.parametrize("workload", [RoundRobin(), Surface(2), Surface(6)], ids=lambda workload: workload.name)
    def test_check_env_and_check_fork(self, action_format, observation, workload):
        options = {"action_format": action_format, "observation": observation, "workload": workload}
        check_env(make(**options))
        check_fork(gym.make("SpecTuning-v0", start="random", windows=5, history=3, **options), steps=7)

    def test_a_fork_copies_history_and_setting_and_goes_its_own_way(self):
        env = make()
        env.reset(seed=3)
        env.step({"slice_ms": 1.0})
        twin = fork(env)
        observation, *_ = twin.step({"slice_ms": 8.0})
        assert env.report.last.window == 1
        same, *_ = env.step({"slice_ms": 8.0})  # an equal query: the same setting, seed and window
        np.testing.assert_equal(same, observation)

    def test_measurements_of_other_settings_are_not_shared(self):
        backend = Scripted(GOOD, GOOD, GOOD)
        env = make(backend=backend)
        env.reset(seed=0)
        twin = fork(env)
        env.step({"slice_ms": 1.0})
        twin.step({"slice_ms": 2.0})
        assert len(backend.queries) == 3
        assert len({query.knobs for query in backend.queries}) == 3
        assert len({query.seed for query in backend.queries}) == 1


class TestObservation:
    @pytest.mark.parametrize("observation", ["dict", "text"])
    def test_both_forms_tell_the_windows(self, observation):
        env = make(observation=observation, workload=Surface(6), history=3, windows=10)
        env.action_space.seed(0)
        seen, _ = env.reset(seed=0)
        for _ in range(6):
            report = Report.of(seen, env.knobs)
            assert [(trial.window, trial.knobs) for trial in report.trials] == [
                (trial.window, trial.knobs) for trial in env.report.trials
            ]
            for told, true in zip(report.trials, env.report.trials, strict=True):
                for name in METRICS:
                    assert getattr(told.metrics, name) == pytest.approx(getattr(true.metrics, name), rel=1e-5)
            seen, *_ = env.step(env.action_space.sample())
        assert len(report.trials) == 3

    def test_a_box_is_scaled(self):
        metrics = dataclasses.replace(GOOD, p50=1e-3, p95=1.0, p99=1e3, max=1e9, throughput=1e3, cpu_share=0.5)
        env = make(observation="box", backend=Scripted(metrics, metrics), history=3, windows=2)
        first: Any = env.reset(seed=0)[0]
        seen: Any = env.step({"slice_ms": env.knobs[0].high})[0]
        assert first in env.observation_space and first[0] == 0 - 1 and seen[0] == 0
        rows = seen[1:-3].reshape(3, 1 + len(METRICS))
        assert not rows[0].any()  # before the first window
        scaled = [-1, 0, 1, 1, math.log10(1.5) / 3, 0, 0, 1]
        np.testing.assert_allclose(rows[1:, 1:], [scaled] * 2, atol=1e-6)
        assert rows[2, 0] == 1
        np.testing.assert_array_equal(first[1:-3].reshape(rows.shape)[2], rows[1])
        with pytest.raises(InvalidConfiguration, match='observation="dict"'):
            Report.of(seen, env.knobs)

    def test_a_box_of_nothing_measured_is_a_box(self):
        env = make(observation="box", backend=Scripted(Metrics()))
        assert env.reset(seed=0)[0] in env.observation_space

    def test_the_text_explains_itself(self):
        env = make(observation="text", workload=Surface(6), caps={"p99": 100.0})
        told = json.loads(str(env.reset(seed=0)[0]))
        assert told["goal"] == "lower p95, with p99 at most 100"
        assert told["knobs"]["buffer_mb"] == {"kind": "float", "low": 1.0, "high": 4096.0, "scale": "log", "unit": "MB"}
        assert told["knobs"]["placement"] == {"choices": ["pack", "near", "mixed", "far", "spread"]}
        assert told["windows"][0]["knobs"]["placement"] == "pack"
        other: Any = make(observation="text", reward="throughput").reset()[0]
        assert other.count("raise throughput") == 1

    def test_what_is_longer_than_an_observation_can_hold_is_cut_off(self):
        env = make(backend=Scripted(dataclasses.replace(GOOD, max=1e12)))
        observation, info = env.reset(seed=0)
        assert observation in env.observation_space
        assert info["max"] == 1e12


class TestReward:
    def test_is_the_logarithm_of_the_reference_by_the_p95(self):
        env = make(backend=exact())
        _, info = env.reset(seed=0)
        assert info["reference"] == 105.5
        _, reward, terminated, truncated, info = env.step({"slice_ms": 0.1})
        assert reward == pytest.approx(math.log(105.5 / 38.0))
        assert (terminated, truncated) == (False, False)
        assert info["best"] == pytest.approx(37.94)
        assert info["regret"] == pytest.approx(0.06)

    def test_regret_is_without_noise(self):
        env = make(backend=SimulatedBackend(outliers=1.0))
        env.reset(seed=0)
        *_, info = env.step({"slice_ms": 0.1})
        assert info["p95"] > 50
        assert info["regret"] == pytest.approx(0.06)

    @pytest.mark.parametrize(
        ("reward", "expected"), [("p99", 3 / 6), ("max", 4 / 8), ("mean", 0.5), ("throughput", 50 / 100), ("p50", 0.5)]
    )
    def test_any_metric(self, reward, expected):
        worse = Metrics(2.0, 4.0, 6.0, 8.0, 3.0, 50.0, 1.0, True)
        env = make(backend=Scripted(GOOD, worse), reward=reward)
        env.reset(seed=0)
        assert env.step({})[1] == pytest.approx(math.log(expected))

    def test_a_cap_takes_off_what_lies_above_it(self):
        env = make(backend=Scripted(GOOD, GOOD), caps={"p99": 1.5, "max": 10.0})
        env.reset(seed=0)
        assert env.step({})[1] == pytest.approx(-math.log(2))

    def test_a_window_that_is_not_valid_says_nothing(self):
        spoiled = dataclasses.replace(GOOD, p95=50.0, valid=False)
        env = make(backend=Scripted(spoiled, spoiled, GOOD, dataclasses.replace(GOOD, p95=1.0)))
        _, info = env.reset(seed=0)
        assert info["reference"] is None
        assert [env.step({})[1] for _ in range(3)] == [0.0, 0.0, pytest.approx(math.log(2))]

    def test_the_episode_is_truncated_after_its_windows(self):
        env = make(windows=2)
        env.reset(seed=0)
        assert [env.step({})[2:4] for _ in range(2)] == [(False, False), (False, True)]
        with pytest.raises(ResetNeeded, match=r"over \(2 windows\)"):
            env.step({})


class TestStart:
    def test_defaults_a_setting_or_a_draw(self):
        assert make().reset(seed=0)[1]["knobs"] == {"slice_ms": 32.0}
        env = make(workload=Surface(2), start={"workers": 1})
        assert env.reset(seed=0)[1]["knobs"] == {"workers": 1, "batch_size": 8}
        assert env.reset(options={"start": {"workers": 64}})[1]["knobs"] == {"workers": 64, "batch_size": 8}
        drawn = {make(start="random").reset(seed=seed)[1]["knobs"]["slice_ms"] for seed in range(10)}
        assert len(drawn) > 5

    def test_the_setting_before_is_asked_for_only_where_it_counts(self):
        for backend, previous in ((exact(), None), (exact(carry_over=0.5), (("slice_ms", 32.0),))):
            env = make(backend=backend)
            env.reset(seed=0)
            with pytest.raises(CallPending) as asked:
                env.answer_with(Script())
                env.step({"slice_ms": 1.0})
            assert asked.value.call.query.previous == previous


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"backend": "magic"}, "backend must be one of simulated, eevdf, sysbench, sqlite, sysctl"),
            ({"backend": print}, "backend must be a name or a Backend, and <.*print> has no workload, effect"),
            ({"allow_system": "no"}, "allow_system must be True or False, not 'no'"),
            ({"windows": 0}, "windows must be an integer of at least 1"),
            ({"history": True}, "history must be"),
            ({"settle_s": 1.0}, "0 <= settle_s < window_s"),
            ({"window_s": math.inf}, "0 <= settle_s < window_s"),
            ({"window_s": "1"}, "0 <= settle_s < window_s must hold, in seconds, not settle_s=0.1, window_s='1'"),
            ({"settle_s": None}, "0 <= settle_s < window_s"),
            ({"start": {"slice_ms": 1000}}, "start: slice_ms must be a number"),
            ({"start": "best"}, "start must be None, 'random' or a mapping"),
            ({"reward": "valid"}, "reward must be"),
            ({"caps": {"throughput": 1}}, "caps holds limits above 0 ms for p50"),
            ({"caps": {"p99": 0}}, "caps holds limits above 0 ms"),
            ({"caps": {"p99": "200"}}, "caps holds limits above 0 ms for .*, not 'p99': '200'"),
            ({"caps": ["p99"]}, "caps must be a mapping"),
            ({"action_format": "text"}, "action_format must be"),
            ({"observation": "json"}, "observation must be"),
            ({"render_mode": "human"}, "render_mode must be"),
        ],
    )
    def test_arguments(self, options, message):
        with pytest.raises(InvalidConfiguration, match=message):
            TuningEnv(**options)

    def test_a_bad_action_changes_nothing(self):
        env = make()
        env.reset(seed=0)
        before = env.episode
        with pytest.raises(InvalidAction):
            env.step({"slice_ms": -1})
        assert env.episode is before

    def test_a_backend_that_fails_changes_nothing(self):
        backend = Scripted(GOOD)
        env = make(backend=backend)
        env.reset(seed=0)
        before = env.episode
        with pytest.raises(IndexError):
            env.step({})
        assert env.episode is before

    def test_a_backend_must_return_a_measurement(self):
        env = make()
        env.answer_with(lambda call: 3.0)
        with pytest.raises(HandlerFailed, match="must return a Measurement, not 3.0"):
            env.reset(seed=0)

    def test_the_order_of_things(self):
        env = make(render_mode="ansi")
        for early in (lambda: env.step({}), env.render, lambda: env.report):
            with pytest.raises(ResetNeeded):
                early()
        with pytest.raises(InvalidConfiguration, match=r"options of reset\(\) may hold 'start'"):
            env.reset(options={"begin": 1})
        env.close()
        with pytest.raises(EnvClosed):
            env.reset()


class TestRender:
    def test_a_line_for_each_window(self):
        spoiled = dataclasses.replace(GOOD, valid=False)
        env = make(backend=Scripted(GOOD, spoiled), render_mode="ansi")
        env.reset(seed=0)
        env.step({"slice_ms": 1.0})
        assert env.render().splitlines() == [
            "window       p50       p95       p99       max  knobs",
            "     0     1.000     2.000     3.000     4.000  slice_ms=32.0",
            "     1     1.000     2.000     3.000     4.000 !slice_ms=1.0",
        ]

    def test_a_picture(self):
        pytest.importorskip("matplotlib")
        env = make(workload=Surface(6), render_mode="rgb_array")
        env.reset(seed=0)
        first = env.render()
        env.step({"workers": 64})
        second = env.render()
        assert first.shape == second.shape == (480, 640, 3)
        assert first.dtype == np.uint8
        assert not np.array_equal(first, second)

    def test_without_a_mode_it_warns(self):
        env = make()
        env.reset(seed=0)
        with pytest.warns(UserWarning, match="without a render_mode"):
            assert env.render() is None


@dataclasses.dataclass(frozen=True, slots=True)
class Parabola:
    """A workload of a third party: it declares a knob of its own, and says what to expect."""

    name: str = "parabola"
    knobs: tuple[Knob, ...] = (Knob("depth", "int", 0, 10, default=0, steps=11),)

    def model(self, values: Mapping[str, Value]) -> Metrics:
        p95 = 1.0 + (float(values["depth"]) - 7.0) ** 2
        return Metrics(p95, p95, p95, p95, p95, 1.0, 1.0, True)

    def best(self) -> float:
        return 1.0


def test_a_third_party_adds_a_knob_and_a_workload():
    env = make(workload=Parabola(), action_format="json")
    check_env(env, skip_close_check=True)
    env.reset(seed=0)
    *_, info = env.step('{"depth": 7}')
    assert info["regret"] == 0.0


@pytest.mark.parametrize("knobs", [(), (Knob("same"), Knob("same"))], ids=["none", "twice"])
def test_a_workload_has_knobs_of_different_names(knobs):
    with pytest.raises(InvalidConfiguration, match="parabola must have at least one knob, and names must differ"):
        make(workload=Parabola(knobs=knobs))


class Broken(SimulatedBackend):
    """Measures something that cannot be from the second window on."""

    def __init__(self, **figures):
        super().__init__()
        self._figures = figures

    def __call__(self, query, cancel=None):
        measured = super().__call__(query, cancel)
        figures = self._figures if query.window else {}
        return dataclasses.replace(measured, metrics=dataclasses.replace(measured.metrics, **figures))


@pytest.mark.parametrize("p95", [0.0, -1.0, math.nan, math.inf])
def test_figures_that_cannot_be_are_the_backends_fault_and_change_nothing(p95):
    env = make(backend=Broken(p95=p95))
    env.reset(seed=0)
    before = env.episode
    with pytest.raises(HandlerFailed, match="all metrics must be finite and at least 0.*has measured Metrics"):
        env.step({})
    assert env.episode is before


def test_a_window_without_any_event_may_have_no_latencies():
    env = make(backend=Broken(**dict.fromkeys(METRICS[:-1], 0.0), valid=False), caps={"p99": 1.0})
    env.reset(seed=0)
    observation, reward, *_ = env.step({})
    assert reward == 0.0 and observation in env.observation_space


def test_a_capped_figure_may_be_nothing():
    env = make(backend=Broken(p50=0.0), caps={"p50": 1.0})
    env.reset(seed=0)
    assert math.isfinite(env.step({})[1])
