"""``spec-envs bench scale``: its figures in small, and that speculation gives way where agents share a provider."""

from __future__ import annotations

import pytest

from spec_envs.benchmarks.scale import ScaleSettings, crowd, provider
from spec_envs.benchmarks.scale.run import counts, point, run, show
from tests import virtual_time

SMALL = ScaleSettings(steps=3, agents=1000)


def test_numbers_of_episodes():
    assert counts("asyncio", 1000) == [1, 10, 100, 1000]
    assert counts("simulation", 25) == [1, 10, 25]
    assert counts("closing", 1000) == [1, 10, 100, 200]


@pytest.mark.parametrize("part", ["simulation", "asyncio"])
def test_a_point(part):
    found = point(SMALL, part, 2)
    assert found["episodes"] == 2 and found["given_up"] == 0 and "broke" not in found
    assert 6 < found["plain_s"] < 18  # six calls of two seconds


def test_episodes_in_simulation_are_small():
    # 10,000 of them are to fit into 1 GB; a page of memory more or less for so few.
    assert point(SMALL, "simulation", 20)["kb_per_episode"] < 150


def test_many_wrappers_whose_calls_sleep_are_closed_and_none_is_given_up():
    found = point(SMALL, "closing", 4)
    assert found["given_up"] == 0 and found["threads"] > 4  # how many of 200 have begun depends on the machine


class TestCrowd:
    def test_limits_are_kept_and_nothing_is_left(self):
        settings = ScaleSettings(most=5, steps=2, seconds=1.0, max_inflight=3)
        plain = virtual_time.run(lambda: crowd.crowd(settings, speculative=False))
        ahead = virtual_time.run(lambda: crowd.crowd(settings, speculative=True))
        assert plain.observations == ahead.observations
        assert (plain.most_inflight, ahead.most_inflight) == (1, 4)
        assert ahead.waited_s < plain.waited_s
        for result in (plain, ahead):
            assert 0 < result.peak_tasks <= result.max_tasks
            assert result.tasks_left == result.threads_left == 0

    def test_reports_both_runs(self):
        settings = ScaleSettings(part="crowd", most=3, steps=1, seconds=0.01)
        report = run(settings)
        found = report["crowd"]
        assert found["checks"] == {"same_observations": True, "limits_kept": True, "nothing_left": True}
        assert found["speculative"]["hit_rate"] > 0 and report["points"] == report["provider"] == []
        *_, text = show(report, settings)
        assert "nothing left: yes" in str(text)


class TestProvider:
    """Agents that share a rate limit."""

    @pytest.mark.parametrize("demand", [0.25, 1.0])
    def test_calls_ahead_of_time_give_way(self, demand):
        plain = provider.played(SMALL, demand, speculative=False)
        ahead = provider.played(SMALL, demand, speculative=True)
        assert ahead < (0.9 if demand < 1 else 1.05) * plain

    def test_the_model_says_what_order_does(self):
        times = {order: provider.modelled(SMALL, 1.0, order) for order in ("plain", "first come", "gives way")}
        assert times["gives way"] < 1.1 * times["plain"] < times["first come"]
        assert provider.modelled(SMALL, 0.25, "gives way") < 0.9 * provider.modelled(SMALL, 0.25, "plain")
