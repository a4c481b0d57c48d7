"""``certify``: its three verdicts, on environments that keep the rules and on some that break them."""

from __future__ import annotations

import asyncio
import itertools
import math
import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from spec_envs import Call, CallEnv, Guess
from spec_envs.agents import FrequencyGuesser
from spec_envs.errors import InvalidConfiguration
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.wrappers import SimulationRuntime, ThreadRuntime, Verdict, certify, certify_async
from spec_envs.wrappers.certificate import Difference
from spec_envs.wrappers.handlers import with_latency
from tests.wrappers.loops import PERFECT, Answers, Counter, certify_on, choose


class Fixed:
    """Guesses the same responses for every call."""

    def __init__(self, *responses: Any) -> None:
        self._responses = responses

    def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(response, 1 / len(self._responses)) for response in self._responses]


@pytest.mark.parametrize("runtime", ["threads", "simulation", ThreadRuntime, SimulationRuntime], ids=str)
@pytest.mark.parametrize("policy", [choose, Counter()], ids=["pure", "with state"])
def test_lossless(policy, runtime):
    guessers: dict[str, Any] = {"world": Fixed(0, 1, 2, 3), "policy": FrequencyGuesser()}
    result = certify(FakeEnv, policy, guessers, range(5), k=4, runtime=runtime)
    assert result
    assert result.verdict is Verdict.LOSSLESS
    assert (result.seeds, result.difference) == (5, None)
    assert str(result) == "lossless on 5 seed(s)"


def test_foreign_envs_are_certified_too():
    assert certify(lambda: gym.make("FrozenLake-v1"), lambda o: o % 4, {"policy": FrequencyGuesser()}, range(3))


def fails_after(observations: int, error: Exception) -> Any:
    """A handler that raises ``error`` once the text that it is asked about is so long."""

    def world(query: Any) -> int:
        if len(query[0]) > observations:
            raise error
        return pure_response(query)

    return world


@pytest.mark.parametrize("runtime", ["simulation", "asyncio"])
def test_episodes_that_fail_alike_are_counted_and_are_no_plain_success(runtime):
    def make() -> gym.Env:
        return FakeEnv({"world": fails_after(10, OSError("too long"))})

    result = certify_on(runtime, make, choose, PERFECT, range(3))
    assert not result
    assert (result.verdict, result.difference) == (Verdict.FAILED_ALIKE, None)
    assert (result.seeds, result.failed) == (3, 3)
    assert result.failure is not None
    assert result.failure.step > 1
    assert re.fullmatch(r"failed alike on 3 of 3 seed\(s\): .* \(seed 0, step \d: OSError: too long\)", str(result)), (
        str(result)
    )


def test_seeds_that_fail_are_told_from_those_that_do_not():
    class Unlucky(FakeEnv):
        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            if seed == 5:
                raise OSError("disk")
            return super().reset(seed=seed, options=options)

    result = certify(Unlucky, choose, PERFECT, [4, 5, 6], runtime="simulation")
    assert (result.verdict, result.seeds, result.failed) == (Verdict.FAILED_ALIKE, 3, 1)
    assert str(result.failure) == "seed 5, step 0: OSError: disk"


class BreaksAtReset(FakeEnv):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        raise OSError("no disk")


def raises(observation: Any) -> int:
    raise ValueError("no idea")


@pytest.mark.parametrize("runtime", ["simulation", "asyncio"])
@pytest.mark.parametrize(
    ("make", "policy", "failure"),
    [
        (FakeEnv, raises, "seed 0, step 1: ValueError: no idea"),
        (FakeEnv, lambda observation: 99, "seed 0, step 1: InvalidAction: 99 is not in"),
        (BreaksAtReset, choose, "seed 0, step 0: OSError: no disk"),
        (lambda: FakeEnv({"world": raises}), choose, "seed 0, step 1: ValueError: no idea"),
    ],
    ids=["policy", "action", "reset", "handler"],
)
def test_where_every_first_step_fails_nothing_was_compared(make, policy, failure, runtime):
    result = certify_on(runtime, make, policy, PERFECT, range(2))
    assert not result
    assert (result.verdict, result.seeds, result.failed) == (Verdict.NOTHING_COMPARED, 2, 2)
    assert str(result.failure).startswith(failure)
    assert str(result).startswith(f"nothing was compared: on all of 2 seed(s) the first step failed ({failure}")


def test_a_control_that_differs_from_itself_proves_nothing():
    count = itertools.count()
    result = certify(lambda: FakeEnv({"world": lambda query: next(count)}), choose, PERFECT, range(5))
    assert not result
    assert result.verdict is Verdict.NONDETERMINISTIC_CONTROL
    assert result.difference is not None
    assert (result.seeds, result.difference.step, result.difference.field) == (1, 1, "observation")
    assert str(result).startswith("nondeterministic control on 1 seed(s) (seed 0, step 1: observation is ';")


class HiddenState:
    """Breaks the rule of handlers: its response depends on how often it was called."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, query: Any) -> int:
        self._count += 1
        return self._count


def test_a_handler_with_hidden_state_diverges():
    def make() -> gym.Env:
        return FakeEnv({"world": with_latency(HiddenState(), 1.0)})

    # Each plain run begins to count anew, so the control is deterministic; calls on branches count as well.
    result = certify(make, with_latency(choose, 1.0), {"policy": Fixed(0, 1, 2)}, [7], runtime="simulation")
    assert result.verdict is Verdict.DIVERGED
    assert result.difference is not None
    assert (result.difference.seed, result.difference.step) == (7, 1)
    assert str(result).startswith("diverged on 1 seed(s) (seed 7, step 1: observation is ")
    assert certify(make, choose, {}, [7], runtime="simulation", max_inflight=0)


class SharedState(CallEnv[int, int]):
    """Breaks the rule of forks: it changes in place what it says that forks may share."""

    shared_on_fork = frozenset({"_log"})
    action_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(4)
    observation_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(1000)

    def __init__(self) -> None:
        super().__init__({"world": pure_response})
        self._log: list[int] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self._log.clear()
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self._log.append(self.ask(Call("world", (action, len(self._log)))))
        return len(self._log), 0.0, len(self._log) >= 5, False, {}


def test_a_fork_that_shares_its_state_diverges():
    result = certify(SharedState, lambda observation: 1, {"world": Answers(pure_response)}, [0], runtime="simulation")
    assert result.verdict is Verdict.DIVERGED
    assert result.difference is not None
    assert result.difference.field == "error"  # warnings are errors here, and the wrapper warns of it


def test_a_policy_with_hidden_state_is_a_nondeterministic_control():
    class Hidden:
        count = 0

        def __call__(self, observation: Any) -> int:
            self.count += 1
            return self.count % 4

    result = certify(FakeEnv, Hidden(), {}, [0], runtime="simulation")
    assert result.verdict is Verdict.NONDETERMINISTIC_CONTROL  # it is not made anew, so the second run goes on counting
    assert result.difference is not None
    assert result.difference.field == "action"


def test_only_the_first_max_steps_are_compared():
    count = itertools.count()

    def world(query: Any) -> int:
        return next(count) if len(query[0]) > 12 else pure_response(query)

    def verdict(max_steps: int) -> Verdict:
        return certify(lambda: FakeEnv({"world": world}), choose, {}, [0], max_steps=max_steps).verdict

    assert verdict(2) is Verdict.LOSSLESS
    assert verdict(10) is Verdict.NONDETERMINISTIC_CONTROL


def test_an_id_is_no_factory():
    with pytest.raises(InvalidConfiguration, match="env_factory must be a callable .*, not 'SpecChess-v0'"):
        certify("SpecChess-v0", str, {}, [0])  # type: ignore[arg-type]


def test_no_seeds_are_no_evidence():
    with pytest.raises(InvalidConfiguration, match="at least one seed"):
        certify(FakeEnv, choose, {}, [])


def test_an_event_loop_is_the_only_runtime_of_certify_async():
    with pytest.raises(InvalidConfiguration, match="has no option 'runtime'"):
        asyncio.run(certify_async(FakeEnv, choose, {}, [0], runtime="simulation"))


def test_every_run_needs_a_runtime_of_its_own():
    with pytest.raises(InvalidConfiguration, match="a callable that makes a runtime for each run, not <"):
        certify(FakeEnv, choose, {}, [0], runtime=SimulationRuntime())


@pytest.mark.parametrize(
    "certified", [certify, lambda *args, **more: asyncio.run(certify_async(*args, **more))], ids=["certify", "async"]
)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": "abc"}, "seeds must be an iterable of integers, .* not 'abc'"),
        ({"seeds": 3}, "seeds must be an iterable of integers, such as range"),
        ({"seeds": [0, math.nan]}, "each of the seeds must be an integer of at least 0, not nan"),
        ({"seeds": [1, -1]}, "each of the seeds .* not -1"),
        ({"max_infligth": 3}, "there is no option 'max_infligth'; there are canonical, .*max_inflight"),
        ({"k": 0}, "k must be an integer of at least 1, not 0"),
        ({"policy": lambda: 0}, "no parameter for the query"),
        ({"guessers": {"policy": Fixed}}, "guessers\\['policy'\\] must be an object, not the class Fixed"),
        ({"seeds": {"1": 2}}, "seeds must be an iterable of integers"),
        ({"max_steps": 0}, "max_steps must be an integer of at least 1, not 0"),
        ({"env_factory": lambda: FakeEnv}, "env_factory must return an environment .*FakeEnv"),
        ({"env_factory": lambda: None}, "env_factory must return an environment .*None"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_arguments_are_named_before_anything_is_played(certified, change, message):
    with pytest.raises(InvalidConfiguration, match=message):
        certified(**{"env_factory": FakeEnv, "policy": choose, "guessers": {}, "seeds": [0]} | change)


@pytest.mark.parametrize(
    ("field", "first", "second", "shown"),
    [
        ("reward", 0.1, 0.2, "reward is 0.1 in one run and 0.2 in the other"),
        ("reward", 1.0, 1, "reward is 1.0 in one run and 1 in the other"),
        ("error", None, "OSError: gone", "error is None in one run and 'OSError: gone' in the other"),
        ("observation", np.arange(6).reshape(2, 3), np.array([[0, 1, 2], [3, 9, 5]]), "observation[1, 1] is "),
        ("info", {"a": [1, 2], "b": 3}, {"a": [1, 5], "b": 3}, "info['a'][1] is 2 in one run and 5 in the other"),
        ("observation", "x" * 500 + "left", "x" * 500 + "right", "xleft' in one run and …"),
    ],
    ids=["float", "type", "error", "array", "info", "text"],
)
def test_a_difference_shows_the_values_where_they_differ(field, first, second, shown):
    text = str(Difference(7, 2, field, first, second))
    assert text.startswith("seed 7, step 2: ")
    assert shown in text
    assert len(text) < 400


def test_values_of_a_difference_are_those_of_the_episode():
    count = itertools.count(1)

    class Drifts(FakeEnv):
        def step(self, action: int) -> Any:
            observation, _, *rest = super().step(action)
            return observation, next(count) / 8, *rest

    result = certify(Drifts, choose, {}, [0], max_steps=1, runtime="simulation")
    assert result.difference is not None
    assert (result.difference.field, result.difference.first, result.difference.second) == ("reward", 0.125, 0.25)
    assert str(result).endswith("(seed 0, step 1: reward is 0.125 in one run and 0.25 in the other)")


def test_a_seed_that_is_made_when_it_is_needed_is_checked_then():
    with pytest.raises(InvalidConfiguration, match="each of the seeds .* not '1'"):
        certify(FakeEnv, choose, {}, iter([0, "1"]), runtime="simulation")  # type: ignore[arg-type]
