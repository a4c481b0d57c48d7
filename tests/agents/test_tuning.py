"""Strategies of tuning, as policies and as guessers."""

from __future__ import annotations

import sys

import gymnasium as gym
import pytest
from gymnasium.error import DependencyNotInstalled
from hypothesis import given, settings
from hypothesis import strategies as st

import spec_envs  # noqa: F401
from spec_envs import Call, CancelToken
from spec_envs.agents import UnionGuesser
from spec_envs.agents.tuning import (
    Fixed,
    GaussianProcess,
    HillClimb,
    RandomSearch,
    SameAgain,
    Strategy,
    TuningGuesser,
    TuningPolicy,
)
from spec_envs.errors import InvalidAction, InvalidConfiguration
from spec_envs.tuning.backends.simulated import SimulatedBackend
from spec_envs.tuning.measurement import MeasureQuery, Metrics
from spec_envs.tuning.models import Surface
from spec_envs.tuning.report import Report, Trial
from spec_envs.tuning.round_robin import SLICE, RoundRobin
from spec_envs.wrappers import Verdict, certify
from spec_envs.wrappers.handlers import with_latency

KNOBS = (SLICE,)
STRATEGIES: list[Strategy] = [SameAgain(), RandomSearch(), HillClimb(), GaussianProcess(), Fixed({})]


def trial(window, slice_ms, p95, *, valid=True):
    return Trial(window, ((SLICE.name, SLICE.snap(slice_ms)),), Metrics(p95=p95, valid=valid))


def tuned(strategy, workload, windows, start=None, seed=0):
    """The windows of an episode."""
    backend, knobs = SimulatedBackend(workload), workload.knobs
    setting, trials = tuple((knob.name, (start or {}).get(knob.name, knob.start)) for knob in knobs), []
    for window in range(windows):
        measured = backend(MeasureQuery(workload, setting, seed, window, 1.0, 0.1), CancelToken())
        trials.append(Trial(window, setting, measured.metrics))
        (setting,) = strategy.propose(tuple(trials), knobs, 1)
    return trials


def expected(workload, trials):
    return [workload.model(dict(each.knobs)).p95 for each in trials]


class TestStrategies:
    @given(
        st.lists(st.tuples(st.sampled_from(SLICE.grid), st.floats(0.1, 1000), st.booleans()), min_size=1, max_size=12),
        st.integers(1, 4),
    )
    @settings(max_examples=20, deadline=None)
    def test_propose_up_to_k_different_points_of_the_grid_and_the_same_ones_again(self, windows, k):
        trials = tuple(trial(n, at, p95, valid=valid) for n, (at, p95, valid) in enumerate(windows))
        for strategy in STRATEGIES:
            proposed = strategy.propose(trials, KNOBS, k)
            assert 1 <= len(proposed) <= k
            assert all(dict(each)[SLICE.name] in SLICE.grid for each in proposed)
            assert proposed == strategy.propose(trials, KNOBS, k)

    def test_of_many_knobs_too(self):
        knobs = Surface(6).knobs
        for strategy in STRATEGIES:
            for each in tuned(strategy, Surface(6), 9):
                assert all(dict(each.knobs)[knob.name] in knob.grid for knob in knobs)

    def test_fixed_keeps_what_it_does_not_name(self):
        trials = (trial(0, 32.0, 100.0),)
        assert Fixed({}).propose(trials, KNOBS, 1) == [trials[0].knobs]
        assert dict(Fixed({"slice_ms": 3.0}).propose(trials, KNOBS, 1)[0]) == {"slice_ms": SLICE.snap(3.0)}
        with pytest.raises(InvalidAction, match="there is no knob 'speed'"):
            Fixed({"speed": 1}).propose(trials, KNOBS, 1)

    def test_same_again_goes_back_in_time(self):
        trials = tuple(trial(n, at, 1.0) for n, at in enumerate((1.0, 2.0, 1.0)))
        assert [dict(each)["slice_ms"] for each in SameAgain().propose(trials, KNOBS, 3)] == [1.0, 2.0]

    @pytest.mark.parametrize("strategy", [HillClimb(), GaussianProcess()], ids=repr)
    def test_look_both_ways_first_where_there_is_more_room(self, strategy):
        start = trial(0, 32.0, 100.0)
        (first,) = strategy.propose((start,), KNOBS, 1)
        assert dict(first)["slice_ms"] == SLICE.snap((0.1 * 32.0) ** 0.5)
        (second,) = strategy.propose((start, Trial(1, first, Metrics(p95=200.0, valid=True))), KNOBS, 1)
        assert dict(second)["slice_ms"] == SLICE.snap((100.0 * 32.0) ** 0.5)
        (nearer,) = strategy.propose((start, Trial(1, first, Metrics(p95=50.0, valid=True))), KNOBS, 1)
        assert 32.0 < dict(nearer)["slice_ms"] < dict(second)["slice_ms"]

    @pytest.mark.parametrize("strategy", [HillClimb(), GaussianProcess()], ids=repr)
    def test_where_nothing_was_measured_the_setting_stays(self, strategy):
        trials = (trial(0, 32.0, 0.0, valid=False),)
        assert strategy.propose(trials, KNOBS, 3) == [trials[0].knobs]

    @pytest.mark.parametrize("strategy", [HillClimb(), GaussianProcess()], ids=repr)
    def test_a_spoiled_window_counts_until_there_is_a_valid_one(self, strategy):
        start = trial(0, 32.0, 100.0)
        (first,) = strategy.propose((start,), KNOBS, 1)
        spoiled = Trial(1, first, Metrics(p95=300.0, valid=False))
        (second,) = strategy.propose((start, spoiled), KNOBS, 1)
        assert dict(second)["slice_ms"] > 32.0
        valid = Trial(2, first, Metrics(p95=50.0, valid=True))
        assert strategy.propose((start, spoiled, valid), KNOBS, 1) == strategy.propose((start, valid), KNOBS, 1)

    @pytest.mark.parametrize("strategy", [HillClimb(), GaussianProcess()], ids=repr)
    @pytest.mark.parametrize(("service_ms", "start"), [(9.5, 32.0), (0.5, 8.0), (5.0, 16.0), (20.0, 50.0)])
    def test_find_a_good_slice_and_stay_there(self, strategy, service_ms, start):
        workload = RoundRobin(service_ms)
        found = expected(workload, tuned(strategy, workload, 30, {"slice_ms": SLICE.snap(start)}))
        assert max(found[-5:]) <= 1.1 * workload.best()

    def test_a_gaussian_process_finds_its_way_among_six_knobs(self):
        ratios = []
        for seed in range(2):
            found = expected(Surface(6, seed), tuned(GaussianProcess(), Surface(6, seed), 60))
            ratios.append(min(found) / 20.0)
            assert found[-1] < found[0] / 2
        assert min(ratios) <= 1.15

    def test_without_scikit_learn_the_error_names_what_works(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "sklearn.gaussian_process", None)
        trials = tuple(trial(n, at, 10.0 + n) for n, at in enumerate((32.0, 1.8, 50.0, 56.0, 3.2)))
        with pytest.raises(DependencyNotInstalled, match=r"unlike HillClimb.*spec-envs\[tuning\]"):
            GaussianProcess().propose(trials, KNOBS, 1)


class TestPolicyAndGuesser:
    def test_read_observations_of_both_kinds(self):
        actions = []
        for observation in ("dict", "text"):
            env = gym.make("SpecTuning-v0", observation=observation)
            seen, _ = env.reset(seed=3)
            actions.append(TuningPolicy(HillClimb(), env.get_wrapper_attr("knobs"))(seen))
            env.step(actions[-1])
            env.close()
        assert actions[0] == actions[1] == {"slice_ms": SLICE.snap((0.1 * 32.0) ** 0.5)}

    def test_a_guesser_guesses_the_policy_and_learns_how_often_it_is_right(self):
        env = gym.make("SpecTuning-v0", observation="text")
        observation, _ = env.reset(seed=0)
        guesser = TuningGuesser(HillClimb(), env.get_wrapper_attr("knobs"))
        call = Call("policy", observation)
        first = guesser.guess(call, 2)
        assert len(first) == 2 and first[0].probability > first[1].probability
        assert guesser.guess(Call("measure", observation), 2) == []
        for _ in range(20):
            guesser.guess(call, 2)
            guesser.observe(call, first[0].response)
        assert guesser.guess(call, 2)[0].probability > first[0].probability
        env.close()

    def test_need_knobs(self):
        with pytest.raises(InvalidConfiguration, match=r"must be those of the environment, env\.unwrapped\.knobs"):
            TuningPolicy(SameAgain(), ())

    def test_report_stays_what_it_was(self):
        # A strategy gets what the observation holds, rounded as arrays are.
        env = gym.make("SpecTuning-v0")
        observation, info = env.reset(seed=0)
        assert Report.of(observation, env.get_wrapper_attr("knobs")).last.metrics.p95 == pytest.approx(info["p95"])
        env.close()


@pytest.mark.parametrize("strategy", [HillClimb(), RandomSearch()], ids=repr)
def test_foreseeing_a_tuner_changes_nothing(strategy):
    knobs = Surface(3).knobs
    backend = SimulatedBackend(Surface(3), paced=True)
    certificate = certify(
        lambda: gym.make("SpecTuning-v0", backend=backend, windows=5, action_format="box"),
        with_latency(TuningPolicy(strategy, knobs), 10.0),
        {"policy": UnionGuesser([TuningGuesser(HillClimb(), knobs), TuningGuesser(SameAgain(), knobs)])},
        seeds=range(5),
        runtime="simulation",
    )
    assert certificate.verdict is Verdict.LOSSLESS, str(certificate)
