"""DESIGN's invariants over environments, runtimes, guessers, policies and limits."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs import Call, CancelToken, Effect, Guess, Usage
from spec_envs.testing import FakeEnv
from spec_envs.wrappers import HandlerLimit, Limits, Trace
from tests.wrappers import guessers_for_tests as kinds
from tests.wrappers.loops import RUNTIMES, VIRTUAL, certify_on, make, shows_no_difference

EFFECTS = st.lists(st.sampled_from(Effect), min_size=1, max_size=3).map(tuple)


def number(query: Any, below: int) -> int:
    """A hash of the query that is the same in every process."""
    return int.from_bytes(hashlib.blake2b(repr(query).encode(), digest_size=4).digest(), "big") % below


class World:
    """A handler that is a function of its query: its response, its time and its tokens."""

    def __init__(self, *, latency: bool, failing: bool = False) -> None:
        self._latency = latency
        self._failing = failing
        self.calls: collections.Counter[str] = collections.Counter()

    def __call__(self, query: Any, cancel: CancelToken) -> int:
        self.calls[repr(query)] += 1
        if self._latency:
            cancel.sleep(number(("seconds", query), 10), spending=Usage(tokens_in=10, tokens_out=20))
        if self._failing and number(("fails", query), 5) == 0:
            raise ConnectionError(f"no answer to {query}")
        return self.truth(query)

    @staticmethod
    def truth(query: Any) -> int:
        return number(query, 4)


class Policy:
    """Pure: the seed makes it look random, and it is right to be called on any thread."""

    def __init__(self, seed: int, *, latency: bool, failing: bool = False) -> None:
        self._world = World(latency=latency, failing=failing)
        self._seed = seed

    def __call__(self, observation: str, cancel: CancelToken) -> int:
        return self._world((self._seed, observation), cancel)

    def truth(self, observation: str) -> int:
        return World.truth((self._seed, observation))


class StatefulPolicy:
    """Counts its own decisions; offers ``fork``."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def __call__(self, observation: str) -> int:
        self.count += 1
        return number((observation, self.count), 4)

    def fork(self) -> StatefulPolicy:
        return StatefulPolicy(self.count)


LIMITS = st.builds(
    Limits,
    max_inflight=st.integers(0, 6),
    max_nodes=st.integers(2, 40),
    max_depth=st.none() | st.integers(0, 4),
    min_probability=st.sampled_from([0.0, 0.01, 0.3]),
    per_handler=st.sampled_from(
        [{}, {"world": HandlerLimit(max_inflight=2)}, {"policy": HandlerLimit(max_calls=3, per_s=10.0)}]
    ),
    max_tokens=st.sampled_from([None, 0.0, 100.0]),
    read_ttl_s=st.sampled_from([0.0, 5.0, 1e9]),
    windows_ahead=st.booleans(),
)

SETUPS = st.fixed_dictionaries(
    {
        "calls_per_step": st.integers(0, 2),
        "calls_in_reset": st.integers(0, 2),
        "effects": EFFECTS,
        "length": st.integers(1, 5),
        "random": st.booleans(),
        "repeats": st.booleans(),
    }
)


def guessers_of(world_kind: Callable[..., Any], policy_kind: Callable[..., Any], policy: Policy) -> dict[str, Any]:
    return {
        "world": world_kind(lambda call: World.truth(call.query)),
        "policy": policy_kind(lambda call: policy.truth(call.query)),
    }


@pytest.mark.parametrize("runtime", VIRTUAL)
@settings(max_examples=100, deadline=None)
@given(
    setup=SETUPS,
    limits=LIMITS,
    world_kind=st.sampled_from(kinds.KINDS),
    policy_kind=st.sampled_from(kinds.KINDS),
    seed=st.integers(0, 1000),
    failing=st.booleans(),
    k=st.integers(1, 4),
)
def test_speculation_in_virtual_time_changes_nothing_but_time(
    runtime: str,
    setup: dict[str, Any],
    limits: Limits,
    world_kind: Any,
    policy_kind: Any,
    seed: int,
    failing: bool,
    k: int,
) -> None:
    policy = Policy(seed, latency=True, failing=failing)
    certificate = certify_on(
        runtime,
        lambda: FakeEnv({"world": World(latency=True, failing=failing)}, **setup),
        policy,
        guessers_of(world_kind, policy_kind, policy),
        [seed],
        limits=limits,
        k=k,
    )
    assert shows_no_difference(certificate), str(certificate)


@pytest.mark.parametrize("runtime", ["threads", "loop"])
@settings(max_examples=30, deadline=None)
@given(
    setup=SETUPS,
    limits=LIMITS,
    world_kind=st.sampled_from(kinds.KINDS),
    policy_kind=st.sampled_from(kinds.KINDS),
    seed=st.integers(0, 1000),
    failing=st.booleans(),
)
def test_threaded_speculation_changes_nothing_but_time(
    runtime: str, setup: dict[str, Any], limits: Limits, world_kind: Any, policy_kind: Any, seed: int, failing: bool
) -> None:
    policy = Policy(seed, latency=False, failing=failing)
    limits = Limits(limits.max_inflight, limits.max_nodes, limits.max_depth, limits.min_probability)
    certificate = certify_on(
        runtime,
        lambda: FakeEnv({"world": World(latency=False, failing=failing)}, **setup),
        policy,
        guessers_of(world_kind, policy_kind, policy),
        [seed],
        limits=limits,
    )
    assert shows_no_difference(certificate), str(certificate)


@pytest.mark.parametrize("runtime", [*RUNTIMES, "loop"])
@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: kind.__name__)
def test_a_policy_with_state_is_forked_with_the_episode(runtime: str, kind: Any) -> None:
    guessers = {"world": kind(lambda call: World.truth(call.query)), "policy": kind(lambda call: 1)}
    certificate = certify_on(
        runtime,
        lambda: FakeEnv({"world": World(latency=False)}, calls_per_step=2),
        StatefulPolicy(),
        guessers,
        range(3),
        k=2,
    )
    assert certificate, str(certificate)


class Watched:
    """An episode in virtual time, played to its end and closed, with everything that can be seen of it."""

    def __init__(self, setup: dict[str, Any], runtime: str, limits: Limits, kind: Any, seed: int) -> None:
        self.world = World(latency=True)
        policy = Policy(seed, latency=True)
        self.max_nodes_seen = 0
        self.env = make(
            FakeEnv({"world": self.world}, **setup),
            policy,
            guessers=guessers_of(kind, kind, policy),
            limits=limits,
            runtime=runtime,
        )
        with self.env:
            observation, _ = self.env.reset(seed=seed)
            done = False
            while not done:
                observation, _, terminated, truncated, _ = self.env.step(self.env.act(observation))
                done = terminated or truncated
            self.observation = observation
        self.trace: Trace = self.env.trace


EPISODES = {
    "setup": SETUPS,
    "limits": LIMITS,
    "kind": st.sampled_from(kinds.KINDS),
    "seed": st.integers(0, 1000),
}


@pytest.mark.parametrize("runtime", VIRTUAL)
@settings(max_examples=60, deadline=None)
@given(**EPISODES)
def test_a_write_is_made_once_and_never_ahead_of_time(
    runtime: str, setup: dict[str, Any], limits: Limits, kind: Any, seed: int
) -> None:
    setup = setup | {"effects": (Effect.WRITE,), "random": True}
    episode = Watched(setup, runtime, limits, kind, seed)
    starts = [event for event in episode.trace if event.kind == "start" and event.handler == "world"]
    assert not any(event.speculative for event in starts)
    expected = setup["calls_in_reset"] + setup["calls_per_step"] * setup["length"]
    assert len(starts) == sum(episode.world.calls.values()) == expected


@pytest.mark.parametrize("runtime", VIRTUAL)
@settings(max_examples=60, deadline=None)
@given(**EPISODES)
def test_calls_in_flight_stay_within_the_limits(
    runtime: str, setup: dict[str, Any], limits: Limits, kind: Any, seed: int
) -> None:
    episode = Watched(setup, runtime, limits, kind, seed)
    inflight: dict[int, str] = {}
    begun: list[float] = []
    for event in episode.trace:
        if event.kind == "start":
            assert event.call is not None
            inflight[event.call] = event.handler
            if event.handler == "policy":
                begun.append(event.time_s)
        elif event.kind == "end":
            assert event.call is not None
            del inflight[event.call]
        assert len(inflight) <= limits.max_inflight + 1
        for name, limit in limits.per_handler.items():
            if limit.max_inflight is not None:
                assert sum(1 for handler in inflight.values() if handler == name) <= limit.max_inflight
    rate = limits.per_handler.get("policy")
    if rate is not None and rate.max_calls is not None:
        for first, last in zip(begun, begun[rate.max_calls :], strict=False):
            assert last >= first + rate.per_s - 1e-9


@pytest.mark.parametrize("runtime", VIRTUAL)
@settings(max_examples=60, deadline=None)
@given(**EPISODES)
def test_every_call_started_is_accounted_for(
    runtime: str, setup: dict[str, Any], limits: Limits, kind: Any, seed: int
) -> None:
    episode = Watched(setup, runtime, limits, kind, seed)
    started = [event.call for event in episode.trace if event.kind == "start"]
    ended = [event.call for event in episode.trace if event.kind == "end"]
    statistics = episode.env.statistics
    assert sorted(started) == sorted(ended) and len(set(started)) == len(started)  # type: ignore[type-var]
    assert sum(statistics.calls.values()) == len(started)
    assert statistics.calls["open"] == 0
    assert statistics.divergences == 0
    committed = sum(1 for event in episode.trace if event.kind == "commit")
    assert statistics.calls["committed"] + statistics.shared == committed == statistics.commits


@pytest.mark.parametrize("runtime", VIRTUAL)
@settings(max_examples=60, deadline=None)
@given(**EPISODES)
def test_speculation_is_never_later_than_the_plain_loop(
    runtime: str, setup: dict[str, Any], limits: Limits, kind: Any, seed: int
) -> None:
    if any(limit.max_calls is not None for limit in limits.per_handler.values()):
        return  # the plain loop would wait for the rate too
    statistics = Watched(setup, runtime, limits, kind, seed).env.statistics
    assert statistics.waited_s <= statistics.sequential_s + 1e-9


@pytest.mark.parametrize("runtime", VIRTUAL)
@settings(max_examples=50, deadline=None)
@given(**EPISODES)
def test_wasted_tokens_stay_within_the_budget(
    runtime: str, setup: dict[str, Any], limits: Limits, kind: Any, seed: int
) -> None:
    statistics = Watched(setup, runtime, limits, kind, seed).env.statistics
    if limits.max_tokens is not None:
        assert statistics.wasted.tokens <= limits.max_tokens + 1e-6


@pytest.mark.parametrize("runtime", VIRTUAL)
@settings(max_examples=50, deadline=None)
@given(**EPISODES)
def test_equal_reads_share_one_execution(
    runtime: str, setup: dict[str, Any], limits: Limits, kind: Any, seed: int
) -> None:
    limits = Limits(max(1, limits.max_inflight), read_ttl_s=1e9, max_depth=limits.max_depth)
    episode = Watched(setup | {"effects": (Effect.READ,)}, runtime, limits, kind, seed)
    # An execution that was cancelled to make room may be begun again; one that was left alone is not.
    cancelled = sum(1 for event in episode.trace if event.kind == "cancel" and event.handler == "world")
    assert sum(episode.world.calls.values()) <= len(episode.world.calls) + cancelled


@pytest.mark.parametrize("runtime", VIRTUAL)
def test_a_failure_on_a_branch_is_made_good_by_calling_again(runtime: str) -> None:
    class FailsFirst:
        """Fails the first time that it hears a query."""

        def __init__(self) -> None:
            self.heard: set[str] = set()

        def __call__(self, query: Any, cancel: CancelToken) -> int:
            cancel.sleep(1.0)
            if repr(query) not in self.heard:
                self.heard.add(repr(query))
                raise ConnectionError("first time")
            return World.truth(query)

    policy = Policy(0, latency=True)
    env = make(
        FakeEnv({"world": FailsFirst()}, length=3),
        policy,
        guessers={"policy": kinds.perfect(lambda call: policy.truth(call.query))},
        runtime=runtime,
    )
    observation, _ = env.reset(seed=0)
    for _ in range(3):  # the action is guessed, so every call to the world is first made, and fails, on a branch
        observation, *_ = env.step(env.act(observation))
    assert env.statistics.calls["failed"] == 3
    env.close()


@pytest.mark.parametrize("runtime", VIRTUAL)
def test_a_guess_of_an_equal_next_call_is_a_hit(runtime: str) -> None:
    """What the policy sees decides: a response that differs without a trace in the next query is as good as guessed."""

    class Rounding(FakeEnv):
        def ask(self, call: Call) -> Any:
            return super().ask(call) // 2  # this environment only looks at half of the response

    policy = Policy(0, latency=True)
    env = make(
        Rounding({"world": lambda query, cancel: (cancel.sleep(5.0), 3)[1]}, length=4),
        policy,
        guessers={"world": kinds.Scripted(lambda call, k: [Guess(2, 1.0)])},
        runtime=runtime,
    )
    observation, _ = env.reset(seed=0)
    done = False
    while not done:
        observation, _, done, _, _ = env.step(env.act(observation))
    assert env.statistics.hits == 3  # the fourth response ends the episode: no next call that it could lead to
    env.close()
