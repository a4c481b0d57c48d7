"""The models: the closed form of tasks that take turns, surfaces with a known best setting, and the noise on them."""

from __future__ import annotations

import itertools
import math
import statistics

import gymnasium as gym
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs import CancelToken, Effect
from spec_envs.errors import InvalidConfiguration
from spec_envs.tuning.backends.simulated import SimulatedBackend
from spec_envs.tuning.backends.sysbench import SysbenchCpu
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics
from spec_envs.tuning.models import Surface
from spec_envs.tuning.round_robin import SLICE, RoundRobin
from spec_envs.wrappers import SpeculativeWrapper


def query(workload=None, values=None, *, seed=0, window=0, previous=None):
    workload = workload or RoundRobin()
    setting = {knob.name: knob.start for knob in workload.knobs} | (values or {})
    return MeasureQuery(workload, tuple(setting.items()), seed, window, 1.0, 0.1, previous)


def measure(backend, *arguments, **options) -> Measurement:
    return backend(query(*arguments, **options), CancelToken())


class TestRoundRobin:
    @pytest.mark.parametrize(
        ("service_ms", "slice_ms", "p95"),
        [
            (9.5, 0.1, 38.0),
            (9.5, 1.0, 39.5),
            (9.5, 8.0, 57.5),
            (9.5, 16.0, 57.5),
            (9.5, 32.0, 105.5),
            (9.5, 100.0, 309.5),
            (0.5, 0.1, 2.0),
            (0.5, 4.0, 12.5),
            (0.5, 8.0, 24.5),
            (0.5, 12.0, 0.5),
            (0.5, 100.0, 0.5),
        ],
    )
    def test_known_answers(self, service_ms, slice_ms, p95):
        assert RoundRobin(service_ms).model({"slice_ms": slice_ms}).p95 == pytest.approx(p95)

    def test_the_best_is_the_best_of_the_grid(self):
        assert RoundRobin(0.5).best() == 0.5
        assert RoundRobin(9.5).best() == pytest.approx(37.94)

    @given(st.floats(0.05, 50), st.integers(1, 16), st.sampled_from(SLICE.grid))
    def test_figures_are_in_order_and_never_better_than_the_best(self, service_ms, tasks, slice_ms):
        workload = RoundRobin(service_ms, tasks)
        metrics = workload.model({"slice_ms": slice_ms})
        assert service_ms <= metrics.p50 <= metrics.p95 <= metrics.p99 <= metrics.max
        assert metrics.p95 >= workload.best()
        assert metrics.mean == pytest.approx(tasks * service_ms)

    @pytest.mark.parametrize("arguments", [(0,), (-1,), (math.nan,), (1, 0), (1, True), (1, 2.5)])
    def test_what_makes_no_sense_is_refused(self, arguments):
        with pytest.raises(InvalidConfiguration):
            RoundRobin(*arguments)


class TestSurface:
    @pytest.mark.parametrize("num_knobs", range(2, 7))
    @pytest.mark.parametrize("seed", range(5))
    def test_the_best_setting_is_on_the_grid_and_not_at_an_edge(self, num_knobs, seed):
        surface = Surface(num_knobs, seed)
        best = surface.best_values()
        assert surface.model(best).p95 == pytest.approx(surface.best_ms)
        for knob in surface.knobs:
            assert best[knob.name] in knob.grid[1:-1]

    @given(st.data(), st.integers(2, 6), st.integers(0, 20))
    def test_nothing_is_better_than_the_best(self, data, num_knobs, seed):
        surface = Surface(num_knobs, seed)
        values = {knob.name: data.draw(st.sampled_from(knob.grid)) for knob in surface.knobs}
        assert surface.model(values).p95 >= surface.best_ms * (1 - 1e-9)
        if values != surface.best_values():
            assert surface.model(values).p95 > surface.best_ms

    @pytest.mark.parametrize("seed", range(5))
    def test_knobs_depend_on_each_other(self, seed):
        """The best value of one knob is another one when the other knob stands elsewhere."""
        surface = Surface(2, seed)
        one, other = surface.knobs

        def best_beside(at):
            return min(one.grid, key=lambda value: surface.model({one.name: value, other.name: at}).p95)

        assert best_beside(other.grid[0]) != best_beside(other.grid[-1])

    def test_the_start_is_far_from_the_best(self):
        for seed in range(20):
            surface = Surface(6, seed)
            assert surface.model({knob.name: knob.start for knob in surface.knobs}).p95 > 1.5 * surface.best_ms

    @pytest.mark.parametrize("arguments", [(1,), (7,), (True,), (2.0,), (2, -1), (2, 0.5), (2, 0, 0.0)])
    def test_what_makes_no_sense_is_refused(self, arguments):
        with pytest.raises(InvalidConfiguration):
            Surface(*arguments)


class TestSimulatedBackend:
    def test_equal_queries_have_equal_answers_and_others_have_others(self):
        backend = SimulatedBackend()
        assert backend.effect is Effect.READ
        first = measure(backend)
        assert measure(SimulatedBackend()) == first
        different = [
            measure(backend, seed=1),
            measure(backend, window=1),
            measure(backend, values={"slice_ms": 28.0}),
            measure(backend, RoundRobin(9.4)),
        ]
        figures = [first.metrics.p95, *(each.metrics.p95 for each in different)]
        assert len(set(figures)) == len(figures)

    def test_noise_is_lognormal_and_outliers_are_rare(self):
        backend = SimulatedBackend(noise=0.03, outliers=0.02)
        logs = [math.log(measure(backend, window=window).metrics.p95 / 105.5) for window in range(3000)]
        plain = [each for each in logs if each < math.log(1.3)]
        assert 0.01 < 1 - len(plain) / len(logs) < 0.03
        assert statistics.fmean(plain) == pytest.approx(0.0, abs=0.003)
        assert statistics.stdev(plain) == pytest.approx(0.03, rel=0.1)

    def test_without_noise_it_is_the_model(self):
        backend = SimulatedBackend(noise=0.0, outliers=0.0)
        assert measure(backend).metrics == RoundRobin().model({"slice_ms": 32.0})
        assert measure(backend).expected == 105.5

    def test_the_old_setting_carries_over(self):
        backend = SimulatedBackend(noise=0.0, outliers=0.0, carry_over=0.25)
        assert backend.carries_over
        mixed = measure(backend, values={"slice_ms": 0.1}, previous=(("slice_ms", 32.0),))
        assert mixed.metrics.p95 == pytest.approx(0.75 * 38.0 + 0.25 * 105.5)
        assert mixed.metrics.max == 105.5
        same = measure(backend, previous=(("slice_ms", 32.0),))
        assert same.metrics.p95 == 105.5

    def test_a_window_takes_its_time_on_the_calls_clock(self):
        env = SpeculativeWrapper(
            gym.make("SpecTuning-v0", backend=SimulatedBackend(paced=True), windows=5, window_s=2.0),
            policy=lambda observation: {},
            runtime="simulation",
        )
        with env:
            observation, _ = env.reset(seed=0)
            for _ in range(5):
                observation, *_ = env.step(env.act(observation))
            assert env.statistics.waited_s == pytest.approx(12.0)

    def test_a_workload_without_a_model_is_refused(self):
        with pytest.raises(InvalidConfiguration, match="needs a workload with a model"):
            SimulatedBackend(SysbenchCpu())

    @pytest.mark.parametrize("name", ["noise", "outliers", "carry_over"])
    def test_shares_lie_between_0_and_1(self, name):
        with pytest.raises(InvalidConfiguration, match=name):
            SimulatedBackend(**{name: 1.5})  # type: ignore[arg-type]


class TestMetrics:
    @settings(max_examples=50)
    @given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=200))
    def test_percentiles_are_in_order(self, latencies):
        metrics = Metrics.of(latencies, 2.0)
        ordered = [min(latencies), metrics.p50, metrics.p95, metrics.p99, metrics.max]
        assert all(one <= other * (1 + 1e-12) for one, other in itertools.pairwise(ordered))
        assert metrics.max == max(latencies)
        assert metrics.throughput == len(latencies) / 2.0
        assert metrics.valid

    def test_no_event_is_not_valid(self):
        assert not Metrics.of([], 1.0).valid
