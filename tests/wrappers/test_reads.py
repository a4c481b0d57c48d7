"""Equal ``READ`` calls share one execution, but never a stale result."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest

from spec_envs import Call, CallEnv, CancelToken, Effect, Guess
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.wrappers import Limits
from spec_envs.wrappers.handlers import with_latency
from tests.wrappers.loops import VIRTUAL, certify_on, make


class Account:
    """The outside world: a balance, and how often it was looked at."""

    def __init__(self) -> None:
        self.balance = 0
        self.looks = 0

    def read(self, query: str) -> int:
        self.looks += 1
        return self.balance

    def write(self, query: tuple[str, int]) -> None:
        self.balance += query[1]


class BankEnv(CallEnv[int, int]):
    """Each step looks at the balance, pays in (unless the action is 0), and looks again."""

    def __init__(self, account: Account) -> None:
        super().__init__({"look": account.read, "pay": account.write})
        self.observation_space: gym.Space[Any] = gym.spaces.Discrete(1000)
        self.action_space: gym.Space[Any] = gym.spaces.Discrete(5)
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        before = self.ask(Call("look", "balance", Effect.READ))
        if action:
            self.ask(Call("pay", ("in", action), Effect.WRITE))
        after = self.ask(Call("look", "balance", Effect.READ))
        self._steps += 1
        return after, float(after - before), self._steps >= 4, False, {}


@pytest.mark.parametrize("runtime", VIRTUAL)
def test_a_read_after_a_write_sees_what_was_written(runtime: str) -> None:
    limits = Limits(read_ttl_s=1e9)
    certificate = certify_on(
        runtime,
        lambda: BankEnv(Account()),
        lambda observation: 1 + observation % 4,
        {},
        [0],
        limits=limits,
    )
    assert certificate, str(certificate)


def slow(observation: int, cancel: CancelToken) -> int:
    cancel.sleep(10.0)
    return 0


@pytest.mark.parametrize("runtime", VIRTUAL)
@pytest.mark.parametrize(("ttl_s", "looks"), [(100.0, 1), (5.0, 4)])
def test_a_result_is_shared_while_it_is_young(runtime: str, ttl_s: float, looks: int) -> None:
    account = Account()
    with make(BankEnv(account), slow, limits=Limits(read_ttl_s=ttl_s), runtime=runtime) as env:
        observation, _ = env.reset(seed=0)
        for _ in range(4):  # two looks a step, ten seconds apart
            observation, *_ = env.step(env.act(observation))
        assert account.looks == looks
        assert env.statistics.shared == 8 - looks


class Constant:
    """Guesses one response, right or wrong, whatever the call."""

    def __init__(self, response: Any) -> None:
        self.response = response

    def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(self.response, 0.9)]


@pytest.mark.parametrize("runtime", VIRTUAL)
@pytest.mark.parametrize("guessed", [pure_response(("", None, 0, 0)), 7], ids=["right", "wrong"])
@pytest.mark.parametrize("ttl_s", [0.0, 60.0])
def test_every_step_may_make_the_same_read(runtime: str, guessed: int, ttl_s: float) -> None:
    certificate = certify_on(
        runtime,
        lambda: FakeEnv({"world": with_latency(pure_response, 10.0)}, effects=(Effect.READ,), length=5, repeats=True),
        lambda observation: 1,
        {"world": Constant(guessed), "policy": Constant(1)},
        range(3),
        limits=Limits(read_ttl_s=ttl_s),
    )
    assert certificate, str(certificate)
