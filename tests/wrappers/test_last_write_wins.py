"""``LastWriteWins``: who sets the live system when, what the tuner gets to see, and what is said of it."""

from __future__ import annotations

import json
import threading
from typing import Any

import gymnasium as gym
import pytest

import spec_envs  # noqa: F401
from spec_envs import Guess
from spec_envs.errors import CallCancelled, EnvClosed, InvalidConfiguration, NotForkable, ResetNeeded
from spec_envs.testing import FakeEnv
from spec_envs.tuning.backends.simulated import SimulatedBackend
from spec_envs.wrappers import LastWriteWins, SimulationRuntime
from spec_envs.wrappers.handlers import with_latency

THINKING_S = 3.5


class Always:
    """Guesses one setting, after a time."""

    def __init__(self, slice_ms=10.0, seconds=0.0, error=None):
        self.seen, self.observed = [], []
        self._slice_ms, self._seconds, self._error = slice_ms, seconds, error

    def guess(self, call, k, cancel):
        self.seen.append(int(call.query["window"][0]))
        cancel.sleep(self._seconds)
        if self._error:
            raise self._error
        return [Guess({"slice_ms": self._slice_ms}, 0.5)][:k]

    def observe(self, call, response):
        self.observed.append(response)


def tuner(observation):
    return {"slice_ms": 3.2}


def live(guesser=None, policy=None, windows=20, runtime: Any = "simulation", **options):
    backend = SimulatedBackend(noise=0.0, outliers=0.0, paced=True)
    env = gym.make("SpecTuning-v0", backend=backend, windows=windows)
    policy = with_latency(tuner, THINKING_S) if policy is None else policy
    return LastWriteWins(env, policy, guesser=guesser, runtime=runtime, **options)


def settings_of(observation):
    """The settings in an observation's history, oldest first, in ms."""
    knob = gym.make("SpecTuning-v0").get_wrapper_attr("knobs")[0]
    rows = observation["history"][-(int(observation["window"][0]) + 1) :]
    return [knob.decode(float(row[0])) for row in rows]


class TestWrites:
    def test_without_a_guesser_the_system_stays_as_it_is_while_the_tuner_thinks(self):
        with live() as env:
            observation, _ = env.reset(seed=0)
            action = env.act(observation)
            observation, *_ = env.step(action)
            assert settings_of(observation) == [32.0] * 5 + [3.2]
            assert [window.writer for window in env.trace] == ["nobody"] * 4 + ["tuner"]
            assert [window.time_s for window in env.trace] == pytest.approx([1.1, 2.1, 3.1, 4.1, 5.1])
            assert not env.statistics.lossy

    def test_between_the_answers_the_guesses_are_set_and_the_answer_overwrites_them(self):
        guesser = Always()
        with live(guesser) as env:
            observation, _ = env.reset(seed=0)
            for _ in range(2):
                observation, *_ = env.step(env.act(observation))
            assert settings_of(observation) == [32.0] + [10.0] * 4 + [3.2] + [10.0] * 4 + [3.2]
            assert guesser.seen == [0, 1, 2, 3, 5, 6, 7, 8]  # always the latest window
            assert guesser.observed == [{"slice_ms": 3.2}] * 2
            assert env.statistics.guesses == 8 and env.statistics.answers == 2 and env.statistics.agreed == 0

    def test_the_answer_is_to_the_observation_that_was_asked_about_and_the_next_one_has_all_windows(self):
        asked = []

        def policy(observation):
            asked.append(len(settings_of(observation)))
            return tuner(observation)

        with live(Always(), with_latency(policy, THINKING_S)) as env:
            observation, _ = env.reset(seed=0)
            for _ in range(2):
                observation, *_ = env.step(env.act(observation))
        assert asked == [1, 6]

    def test_the_reward_is_that_of_all_windows_since(self):
        with live(Always()) as env:
            observation, _ = env.reset(seed=0)
            _, reward, _, _, info = env.step(env.act(observation))
            assert reward == pytest.approx(sum(window.reward for window in env.trace))
            assert info["last_write_wins"] == {"windows": 5, "guesses": 4, "lossy": True}
            assert info["window"] == 5
            *_, info = env.step({"slice_ms": 3.2})  # without asking the tuner
            assert info["last_write_wins"] == {"windows": 1, "guesses": 0, "lossy": False}

    def test_answers_that_agree_with_the_guess_are_counted(self):
        with live(Always(3.2)) as env:
            observation, _ = env.reset(seed=0)
            for _ in range(2):
                observation, *_ = env.step(env.act(observation))
            assert env.statistics.agreed == 2

    @pytest.mark.parametrize("guesser", [None, Always()], ids=["alone", "guesser"])
    @pytest.mark.parametrize("seconds", [0.0, 0.05])
    def test_a_tuner_that_answers_at_once_is_waited_for(self, guesser, seconds):
        guesser = None if guesser is None else Always(seconds=seconds)
        with live(guesser, with_latency(tuner, seconds)) as env:
            observation, _ = env.reset(seed=0)
            env.step(env.act(observation))
            assert [window.writer for window in env.trace] == ["tuner"]


class TestGuesses:
    def test_a_late_guess_is_set_in_the_next_window(self):
        with live(Always(seconds=0.5)) as env:
            observation, _ = env.reset(seed=0)
            env.step(env.act(observation))
            assert [window.writer for window in env.trace] == ["nobody", "guesser", "nobody", "guesser", "tuner"]
            assert env.statistics.late == 2

    def test_a_guess_that_is_under_way_when_the_tuner_answers_is_dropped(self):
        guesser = Always(seconds=100.0)
        with live(guesser) as env:
            observation, _ = env.reset(seed=0)
            observation, *_ = env.step(env.act(observation))
            assert guesser.seen == [0] and env.statistics.guesses == 0
            env.step(env.act(observation))
            assert guesser.seen[1] == int(observation["window"][0])

    @pytest.mark.parametrize("guesser", [Always(error=RuntimeError("broken"))], ids=["raises"])
    def test_a_broken_guesser_changes_nothing_and_is_counted(self, guesser):
        with live(guesser) as env:
            observation, _ = env.reset(seed=0)
            observation, *_ = env.step(env.act(observation))
            assert settings_of(observation) == [32.0] * 5 + [3.2]
            assert env.statistics.failed == 4 and not env.statistics.lossy


class TestEnds:
    def test_an_episode_that_ends_while_the_tuner_thinks_is_not_set_any_more(self):
        with live(Always(), windows=2) as env:
            observation, _ = env.reset(seed=0)
            action = env.act(observation)
            assert action == {"slice_ms": 10.0}
            with pytest.raises(ResetNeeded, match=r"has ended while the tuner was thinking; step\(\) returns its end"):
                env.act(observation)
            observation, reward, terminated, truncated, info = env.step(action)
            assert (terminated, truncated) == (False, True) and info["window"] == 2
            assert reward == pytest.approx(sum(window.reward for window in env.trace))
            assert env.statistics.answers == 0
            with pytest.raises(ResetNeeded, match="no episode under way"):
                env.act(observation)
            observation, _ = env.reset(seed=1)
            assert settings_of(observation) == [32.0]

    def test_before_reset_and_after_close(self):
        env = live()
        with pytest.raises(ResetNeeded, match="no episode under way"):
            env.step({})
        env.close()
        env.close()
        for method in (env.reset, lambda: env.step({}), lambda: env.act({})):
            with pytest.raises(EnvClosed, match="was closed"):
                method()

    def test_errors_of_the_tuner_are_the_users_and_it_can_be_asked_again(self):
        answers = iter([RuntimeError("no answer"), None])

        def policy(observation):
            error = next(answers)
            if error is not None:
                raise error
            return tuner(observation)

        with live(Always(), with_latency(policy, THINKING_S)) as env:
            observation, _ = env.reset(seed=0)
            with pytest.raises(RuntimeError, match="no answer"):
                env.act(observation)
            observation, *_ = env.step(env.act(observation))
            assert settings_of(observation)[-1] == 3.2

    def test_the_tuners_bad_action_is_the_environments_error_and_nothing_is_set(self):
        with live(policy=tuner) as env:
            env.reset(seed=0)
            with pytest.raises(ValueError, match="slice_ms must be a number from 0.1 to 100 ms, not 1000"):
                env.step({"slice_ms": 1000})
            assert env.statistics.windows == 0

    @pytest.mark.parametrize("guess", [{"slice_ms": 1000}, "nonsense", object()], ids=["high", "text", "object"])
    def test_a_guess_that_cannot_be_set_leaves_the_setting_as_it_is(self, guess):
        class Bad:
            def guess(self, call, k):
                return [Guess(guess, 0.5)]

        with live(Bad()) as env:
            observation, _ = env.reset(seed=0)
            observation, *_ = env.step(env.act(observation))
            assert settings_of(observation) == [32.0] * 5 + [3.2]
            assert env.statistics.failed == 4 and not env.statistics.lossy

    def test_a_guess_that_is_none_has_failed(self):
        class Bad:
            def guess(self, call, k):
                return [{"slice_ms": 3.2}]

        with live(Bad()) as env:
            env.act(env.reset(seed=0)[0])
            assert env.statistics.failed == 4

    def test_a_guesser_that_cannot_learn_does_not_cost_the_answer(self):
        class Unteachable(Always):
            def observe(self, call, response):
                raise RuntimeError("cannot learn")

        with live(Unteachable()) as env:
            observation, _ = env.reset(seed=0)
            assert env.act(observation) == {"slice_ms": 3.2}

    def test_a_guesser_that_never_answers_is_asked_once(self):
        asked, never = [], threading.Event()

        class Hanging:
            def guess(self, call, k):
                asked.append(call)
                never.wait(60)
                return []

        backend = SimulatedBackend(paced=True)
        env = gym.make("SpecTuning-v0", backend=backend, windows=20, window_s=0.01, settle_s=0.0)
        with LastWriteWins(env, with_latency(tuner, 0.03), guesser=Hanging(), patience_s=0.001) as wrapper:
            observation, _ = wrapper.reset(seed=0)
            for _ in range(3):
                observation, *_ = wrapper.step(wrapper.act(observation))
            assert len(asked) == 1 and not wrapper.statistics.lossy
            never.set()

    def test_closed_while_the_tuner_thinks(self):
        closing = threading.Event()

        def policy(observation, cancel):
            cancel.on_cancel(closing.set)
            closing.wait(60)

        class Closing(Always):
            def guess(self, call, k, cancel):
                threading.Thread(target=wrapper.close).start()
                while not wrapper._closed:
                    pass
                return [Guess({"slice_ms": 10.0}, 0.5)]

        wrapper = LastWriteWins(gym.make("SpecTuning-v0"), policy, guesser=Closing(), patience_s=60.0)
        observation, _ = wrapper.reset(seed=0)
        with pytest.raises(EnvClosed, match="was closed; make a new one"):
            wrapper.act(observation)

    def test_windows_that_take_no_time_are_refused(self):
        env = LastWriteWins(gym.make("SpecTuning-v0"), with_latency(tuner, 1.0), runtime="simulation")
        observation, _ = env.reset(seed=0)
        with pytest.raises(InvalidConfiguration, match="took no time.*paced=True"):
            env.act(observation)
        env.close()


class TestSetUp:
    def test_refuses_what_cannot_be(self):
        async def asynchronous(observation):
            return {}

        with pytest.raises(InvalidConfiguration, match="plain functions"):
            live(policy=asynchronous)
        with pytest.raises(InvalidConfiguration, match="patience_s must be a number of at least 0, not -1"):
            live(patience_s=-1)
        with live() as env, pytest.raises(NotForkable, match="system is live"):
            env.fork()

    def test_says_that_it_is_lossy(self, tmp_path):
        with live(Always()) as env:
            observation, _ = env.reset(seed=0)
            env.step(env.act(observation))
            env.to_jsonl(tmp_path / "trace.jsonl")
            assert str(env.statistics).startswith(
                "LOSSY, the last write wins: 4 of 5 windows as guessed, 1 as the tuner"
            )
        lines = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
        assert [line["lossy"] for line in lines] == [True] * 4 + [False]
        assert lines[0]["action"] == {"slice_ms": 10.0} and lines[-1]["writer"] == "tuner"

    def test_any_environment_will_do(self):
        env = LastWriteWins(
            FakeEnv({"world": with_latency(lambda query: 0, 1.0)}, length=10),
            with_latency(lambda observation: 1, 2.0),
            idle=0,
            runtime=SimulationRuntime(),
        )
        with env:
            observation, _ = env.reset(seed=0)
            env.step(env.act(observation))
            assert [(window.writer, window.action) for window in env.trace][-1] == ("tuner", 1)

    def test_on_the_wall_clock_the_system_goes_on_in_the_callers_thread(self):
        thinking, caller, threads = threading.Event(), threading.current_thread(), set()

        def policy(observation, cancel):
            cancel.on_cancel(thinking.set)
            thinking.wait(60)
            cancel.raise_if_cancelled()
            return tuner(observation)

        backend = SimulatedBackend()

        class Live:
            workload, effect, max_inflight, carries_over = backend.workload, backend.effect, None, False

            def __call__(self, query, cancel):
                threads.add(threading.current_thread())
                if query.window == 3:
                    thinking.set()
                return backend(query, cancel)

            def best(self, workload):
                return backend.best(workload)

            def close(self):
                pass

        env = gym.make("SpecTuning-v0", backend=Live(), windows=10_000, history=10_000)
        with LastWriteWins(env, policy, guesser=Always(), patience_s=60.0) as env:
            observation, _ = env.reset(seed=0)
            observation, *_ = env.step(env.act(observation))
            assert settings_of(observation)[1:4] == [10.0] * 3 and settings_of(observation)[-1] == 3.2
            assert threads == {caller}
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("speculation-")]

    def test_a_thought_that_nobody_waits_for_is_told_so(self):
        told = []

        def policy(observation, cancel):
            cancel.on_cancel(lambda: told.append(True))
            waiting = threading.Event()
            cancel.on_cancel(waiting.set)
            waiting.wait(60)
            raise CallCancelled

        env = LastWriteWins(gym.make("SpecTuning-v0", windows=3), policy, guesser=Always(), patience_s=60.0)
        with env:
            observation, _ = env.reset(seed=0)
            env.act(observation)
        assert told == [True]
