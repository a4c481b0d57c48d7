"""``certify``: its three verdicts, on environments that keep the rules and on some that break them."""

from __future__ import annotations

import itertools
from typing import Any

import gymnasium as gym
import pytest

from spec_envs import Call, CallEnv, Guess
from spec_envs.agents import FrequencyGuesser
from spec_envs.errors import InvalidConfiguration
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.wrappers import SimulationRuntime, ThreadRuntime, Verdict, certify
from spec_envs.wrappers.handlers import with_latency
from tests.wrappers.loops import PERFECT, Answers, Counter, choose


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


def test_errors_are_compared_like_everything_else():
    def world(query: Any) -> int:
        if len(query[0]) > 10:
            raise OSError("too long")
        return pure_response(query)

    assert certify(lambda: FakeEnv({"world": world}), choose, PERFECT, range(3), runtime="simulation")


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
    assert result.difference.field in ("action", "observation", "terminated", "end")


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
