"""When the branch is not quite what happened: forks that are unfaithful, and matches that are loose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spec_envs import Call, CancelToken, Guess
from spec_envs.testing import FakeEnv
from tests.wrappers import guessers_for_tests as kinds
from tests.wrappers.loops import VIRTUAL, certify_on, make

if TYPE_CHECKING:
    from spec_envs.wrappers import SpeculativeWrapper


class Forgetful(FakeEnv):
    """Breaks the rules: a fork forgets what makes the real environment's answers different."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.bias = 1

    def fork(self) -> Forgetful:
        twin = super().fork()
        twin.bias = 0
        return twin

    def ask(self, call: Call) -> Any:
        return super().ask(call) + self.bias


def last_digit(observation: str) -> int:
    return int(observation.rstrip(";")[-1]) % 4 if observation.rstrip(";") else 0


def play(env: SpeculativeWrapper[Any, Any], steps: int) -> str:
    observation, _ = env.reset(seed=0)
    for _ in range(steps):
        observation, *_ = env.step(env.act(observation))
    return str(observation)


@pytest.mark.parametrize("runtime", VIRTUAL)
def test_a_fork_that_does_something_else_is_dropped_counted_and_told(runtime: str) -> None:
    guessers = {"policy": kinds.perfect(lambda call: last_digit(call.query)), "world": kinds.empty(lambda call: 0)}
    with make(Forgetful(length=5), last_digit, guessers=guessers, runtime=runtime) as env:
        with pytest.warns(RuntimeWarning, match="ends here.*where a fork of it, with the same responses, ") as told:
            speculative = play(env, 5)
        assert len(told) == env.statistics.divergences == 1  # then it is played plainly
        assert [event.kind for event in env.trace].count("divergence") == 1
        assert "STOPPED   speculation on this environment ended" in str(env.statistics)
    plain = Forgetful(length=5)
    observation, _ = plain.reset(seed=0)
    for _ in range(5):
        observation, *_ = plain.step(last_digit(observation))
    assert speculative == observation
    with pytest.warns(RuntimeWarning, match="ends here"):
        assert certify_on(runtime, lambda: Forgetful(length=5), last_digit, guessers, range(3))


def slow_world(query: Any, cancel: CancelToken) -> int:
    cancel.sleep(5.0)
    return 3


def slow_policy(observation: str, cancel: CancelToken) -> int:
    cancel.sleep(5.0)
    return len(observation) % 4


@pytest.mark.parametrize("runtime", VIRTUAL)
def test_a_loose_match_saves_time_is_counted_and_checked_now_and_then(runtime: str) -> None:
    guessers = {"world": kinds.Scripted(lambda call, k: [Guess(2, 1.0)])}
    figures = {}
    for canonical in ({}, {"world": lambda response: response // 2}):
        with make(
            FakeEnv({"world": slow_world}, length=6),
            slow_policy,
            guessers=guessers,
            runtime=runtime,
            canonical=canonical,
            shadow_every=2,
        ) as env:
            play(env, 6)
            figures[bool(canonical)] = env.statistics
    exact, loose = figures[False], figures[True]
    assert (exact.loose_matches, exact.hits) == (0, 0)
    assert loose.loose_matches == 5  # the sixth response ends the episode
    assert loose.shadow_checks == 2
    assert loose.shadow_differences == 0  # the policy looks at the length alone
    assert loose.waited_s < exact.waited_s
    assert "LOSSY" in str(loose) and "LOSSY" not in str(exact)
