"""Reads made ahead while nobody knows what comes next: on side branches, from real results, and nothing but reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs import Call, CallEnv, CancelToken, Effect, Guess
from spec_envs.errors import InvalidConfiguration, UnknownHandler
from spec_envs.wrappers import Limits, SpeculativeWrapper, certify


class Library:
    """The outside world: shelves, on each the number of another one, and a reader. Notes what it is asked."""

    def __init__(self, *, asker: Effect = Effect.WRITE) -> None:
        self.shelves = {number: (number * 7 + 3) % 10 for number in range(10)}
        self.asked: list[tuple[str, Any]] = []
        self.asker = asker

    def look(self, shelf: int, cancel: CancelToken) -> int:
        self.asked.append(("look", shelf))
        cancel.sleep(2.0)
        return self.shelves[shelf]

    def put(self, query: tuple[int, int], cancel: CancelToken) -> None:
        self.asked.append(("put", query))
        cancel.sleep(1.0)
        self.shelves[query[0]] = query[1]

    def ask(self, query: tuple[int, ...], cancel: CancelToken) -> int:
        self.asked.append(("ask", query))
        cancel.sleep(10.0)
        return sum(query) % 10


class LibraryEnv(CallEnv[str, tuple[str, int]]):
    """Actions: look at a shelf, put a number on it, or ask a reader a question and wait. Observes all that happened."""

    def __init__(self, library: Library, length: int = 6) -> None:
        super().__init__({"look": library.look, "put": library.put, "ask": library.ask})
        self.observation_space: gym.Space[Any] = gym.spaces.Text(10_000)
        self.action_space: gym.Space[Any] = gym.spaces.Discrete(2)
        self._asker, self._length = library.asker, length
        self._past: tuple[int, ...] = ()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self._past = ()
        return "", {}

    def step(self, action: tuple[str, int]) -> tuple[str, float, bool, bool, dict[str, Any]]:
        what, number = action
        if what == "look":
            found = self.ask(Call("look", number, Effect.READ, touches="shelves"))
        elif what == "put":
            self.ask(Call("put", (number, number), Effect.WRITE, touches="shelves"))
            found = number
        else:
            found = self.ask(Call("ask", (number, *self._past), self._asker, touches="reader"))
        self._past = (*self._past, found)
        return self._observation(), 0.0, len(self._past) >= self._length, False, {}

    def _observation(self) -> str:
        return ",".join(map(str, self._past))


class Names:
    """Names what a function of the situation gives, as actions that are needed with probability 0.9."""

    def __init__(self, function: Callable[[Any], Sequence[tuple[str, int]]], seconds: float = 0.0) -> None:
        self.function = function
        self.seconds = seconds

    def prefetch(self, situation: Any, k: int, cancel: CancelToken) -> list[Guess]:
        cancel.sleep(self.seconds)
        return [Guess(action, 0.9) for action in self.function(situation)[:k]]


def script(*actions: tuple[str, int]) -> Callable[[str], tuple[str, int]]:
    return lambda observation: actions[len(observation.split(",")) if observation else 0]


def play(env: SpeculativeWrapper[Any, Any], steps: int) -> str:
    observation, _ = env.reset(seed=0)
    for _ in range(steps):
        observation, *_ = env.step(env.act(observation))
    return str(observation)


def prefetching(library: Library, policy: Any, prefetcher: Any, **options: Any) -> SpeculativeWrapper[Any, Any]:
    options.setdefault("limits", Limits(max_inflight=2))
    return SpeculativeWrapper(
        LibraryEnv(library), policy, prefetchers={"ask": prefetcher}, runtime="simulation", **options
    )


def test_a_read_that_was_named_is_there_when_it_is_needed() -> None:
    library = Library()
    with prefetching(library, script(("ask", 1), ("look", 5)), Names(lambda situation: [("look", 5)])) as env:
        assert play(env, 2) == "1,8"
        assert env.statistics.waited_s == 10.0  # of 12
        assert library.asked.count(("look", 5)) == 1
        assert (env.statistics.prefetched, env.statistics.prefetch_used) == (1, 1)
        assert env.statistics.calls["wasted"] == 0


def test_the_prefetcher_is_told_what_is_known() -> None:
    heard = []

    def names(situation: Any) -> list[tuple[str, int]]:
        heard.append(situation)
        return [("look", 5)] if situation.now == situation.before else []

    with prefetching(Library(), script(("look", 1), ("ask", 4)), Names(names)) as env:
        play(env, 2)
    assert [(each.before, each.action, each.now) for each in heard] == [
        ("0", ("ask", 4), "0"),
        ("0", ("ask", 4), "0,8"),
    ]
    assert {each.call.handler for each in heard} == {"ask"}


def test_it_goes_on_from_real_results() -> None:
    """Shelf 5 says 8, shelf 8 says 9, shelf 9 says 6: nobody but the shelves knows."""
    library = Library()

    def next_shelf(situation: Any) -> list[tuple[str, int]]:
        return [("look", int(situation.now.rpartition(",")[2]))] if situation.now else [("look", 5)]

    policy = script(("ask", 1), ("look", 9), ("look", 8), ("look", 5))
    with prefetching(library, policy, Names(next_shelf)) as env:
        assert play(env, 4) == "1,6,9,8"
        assert env.statistics.waited_s == 10.0
        assert env.statistics.prefetch_used == 3


def test_each_read_is_named_once_on_a_side_branch() -> None:
    library, heard = Library(), []

    def all_of_them(situation: Any) -> list[tuple[str, int]]:
        heard.append(situation.now)
        return [("look", 1), ("look", 2), ("look", 3)]

    with prefetching(library, script(("ask", 1)), Names(all_of_them)) as env:
        play(env, 1)
    assert sorted(library.asked) == [("ask", (1,)), ("look", 1), ("look", 2), ("look", 3)]
    assert len(heard) == 4  # before any of them, and after each; not in all the orders that there are


@pytest.mark.parametrize("asker", [Effect.WRITE, Effect.SAMPLE, Effect.READ])
def test_only_reads_are_made(asker: Effect) -> None:
    library = Library(asker=asker)
    names = Names(lambda situation: [("put", 1), ("ask", 2), ("look", 3), ("nonsense", 0)])
    with prefetching(library, script(("ask", 1), ("look", 3)), names, k=4) as env:
        play(env, 1)
        made = sorted(what for what, _ in library.asked)
    assert made == (["ask", "ask", "ask", "look"] if asker is Effect.READ else ["ask", "look"])


def test_what_a_write_has_touched_is_read_again() -> None:
    library = Library()
    names = Names(lambda situation: [("look", 5), ("look", 6)])
    policy = script(("ask", 1), ("put", 5), ("look", 5))
    with prefetching(library, policy, names, limits=Limits(max_inflight=2, read_ttl_s=math.inf)) as env:
        assert play(env, 3) == "1,5,5"
        assert library.asked.count(("look", 5)) == 2
        assert env.statistics.prefetch_used == 0


def test_a_result_outlives_the_side_branch_that_it_was_made_for() -> None:
    library = Library()
    names = Names(lambda situation: [("look", 5)] if not situation.before else [])
    policy = script(("ask", 1), ("ask", 2), ("ask", 3), ("look", 5))
    with prefetching(library, policy, names) as env:
        play(env, 4)
        assert library.asked.count(("look", 5)) == 1
        assert env.statistics.prefetch_used == 1


def test_while_the_policy_thinks_reads_are_prefetched_too() -> None:
    def policy(observation: str, cancel: CancelToken) -> tuple[str, int]:
        cancel.sleep(5.0)
        return ("look", 4)

    names = Names(lambda situation: [("look", 4)] if situation.action is None else [])
    env = SpeculativeWrapper(LibraryEnv(Library()), policy, prefetchers={"policy": names}, runtime="simulation")
    play(env, 1)
    assert env.statistics.waited_s == 5.0  # of 7
    env.close()


def test_a_broken_prefetcher_costs_nothing_but_its_failures() -> None:
    def broken(situation: Any) -> list[tuple[str, int]]:
        raise RuntimeError("broken")

    with prefetching(Library(), script(("ask", 1)), Names(broken)) as env:
        assert play(env, 1) == "1"
        assert env.statistics.guesses["failed"] == 1


def test_prefetchers_are_checked() -> None:
    with pytest.raises(UnknownHandler, match=r"prefetchers has 'user', but the calls here are: ask, look, policy, put"):
        SpeculativeWrapper(LibraryEnv(Library()), prefetchers={"user": Names(lambda situation: [])})
    with pytest.raises(InvalidConfiguration, match="which has no method prefetch"):
        SpeculativeWrapper(LibraryEnv(Library()), prefetchers={"ask": object()})  # type: ignore[dict-item]


# -- whatever the prefetcher names -----------------------------------------------------------------------------------

ACTIONS = st.tuples(st.sampled_from(["look", "look", "put", "ask"]), st.integers(0, 9))
NAMED = st.dictionaries(st.integers(0, 9), st.lists(ACTIONS | st.just(("nonsense", 0)), max_size=4), max_size=5)
SETUPS = st.fixed_dictionaries(
    {
        "actions": st.lists(ACTIONS, min_size=6, max_size=6),
        "named": NAMED,
        "seconds": st.sampled_from([0.0, 1.0, math.inf]),
        "asker": st.sampled_from(Effect),
        "limits": st.builds(
            Limits,
            max_inflight=st.integers(0, 4),
            max_nodes=st.integers(2, 20),
            max_depth=st.none() | st.integers(0, 4),
            read_ttl_s=st.sampled_from([0.0, 5.0, 1e9]),
        ),
        "guessed": st.booleans(),
    }
)


def build(setup: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A policy, and options: prefetchers that name by the last thing seen, and perhaps a guesser that is right."""
    choose = script(*setup["actions"])

    def policy(observation: str, cancel: CancelToken) -> tuple[str, int]:
        cancel.sleep(3.0)
        return choose(observation)

    class Guesses:
        def guess(self, call: Call, k: int) -> list[Guess]:
            return [Guess(choose(call.query), 0.8)]

    names = Names(lambda situation: setup["named"].get(int(situation.now[-1:] or 0), []), setup["seconds"])
    options: dict[str, Any] = {"prefetchers": {"ask": names, "policy": names}, "limits": setup["limits"]}
    return policy, options | {"guessers": {"policy": Guesses()} if setup["guessed"] else {}}


@settings(max_examples=150, deadline=None)
@given(setup=SETUPS)
def test_prefetching_changes_nothing_but_time(setup: dict[str, Any]) -> None:
    policy, options = build(setup)
    certificate = certify(
        lambda: LibraryEnv(Library(asker=setup["asker"])),
        policy,
        options.pop("guessers"),
        [0],
        runtime="simulation",
        **options,
    )
    assert certificate, str(certificate)


@settings(max_examples=150, deadline=None)
@given(setup=SETUPS)
def test_prefetching_is_bounded_accounted_and_without_effect(setup: dict[str, Any]) -> None:
    policy, options = build(setup)
    library = Library(asker=setup["asker"])
    env = SpeculativeWrapper(LibraryEnv(library), policy, runtime="simulation", **options)
    play(env, 6)
    env.close()
    inflight: set[int | None] = set()
    starts = []
    for event in env.trace:
        if event.kind == "start":
            starts.append(event)
            inflight.add(event.call)
        elif event.kind == "end":
            inflight.remove(event.call)
        assert len(inflight) <= setup["limits"].max_inflight + 1
    assert not inflight
    writes = [event for event in starts if event.handler == "put"]
    assert len(writes) == sum(what == "put" for what, _ in setup["actions"])
    assert not any(event.speculative or event.prefetch for event in writes)
    prefetched = [event for event in starts if event.prefetch]
    assert all(event.speculative for event in prefetched)
    assert {event.handler for event in prefetched} <= ({"look", "ask"} if setup["asker"] is Effect.READ else {"look"})
    figures = env.statistics
    assert figures.prefetch_used <= figures.prefetched == len(prefetched)
    assert sum(figures.calls.values()) == len(starts) and figures.calls["open"] == 0
    assert figures.calls["committed"] + figures.shared == figures.commits
