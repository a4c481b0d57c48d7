"""Environments that a copy does not hold all of: found before the first episode, or in it, and never harmed."""

from __future__ import annotations

import array
import asyncio
import itertools
import random
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from spec_envs import Call, CallEnv, Effect, Guess
from spec_envs.errors import NotForkable
from spec_envs.testing import FakeEnv
from spec_envs.wrappers import AsyncSpeculativeWrapper, SpeculativeWrapper, Verdict, certify
from spec_envs.wrappers.handlers import with_latency
from spec_envs.wrappers.speculation.trust import rehearsal


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch):
    """A rehearsal that is never too slow, also on a slow machine."""
    monkeypatch.setattr(rehearsal, "BUDGET_S", 1e9)


class Walk(gym.Env):
    """Adds up what ``draw`` returns."""

    observation_space, action_space = gym.spaces.Box(-1e9, 1e9, (2,)), gym.spaces.Discrete(2)
    stepped = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.x = 0, float(self.np_random.random())
        return np.array([self.x, 0.0]), {}

    def step(self, action):
        self.t += 1
        self.x += self.draw() * (1 + action)
        return np.array([self.x, self.t]), self.x, self.t >= 30, False, {}

    def draw(self) -> float:
        return self.np_random.random()


class Both:
    def guess(self, call, k):
        return [Guess(0, 0.5), Guess(1, 0.4)]


def act(observation: Any) -> int:
    return int(observation[0] * 1000) % 2


def wrapped(env: gym.Env, **options: Any) -> Any:
    default: dict[str, Any] = {"guessers": {"policy": Both()}, "runtime": "simulation", "guard": False}
    options = default | options
    seconds = 1.0 if options["runtime"] == "simulation" else 0.0
    return SpeculativeWrapper(env, with_latency(act, seconds), **options)


def plain_episode(env: gym.Env, seed: int = 0) -> list[Any]:
    observation, done, seen = env.reset(seed=seed)[0], False, []
    while not done:
        observation, reward, done, _, _ = env.step(act(observation))
        seen.append((observation.tolist(), reward))
    return seen


def speculative_episode(env: Any, seed: int = 0) -> list[Any]:
    observation, done, seen = env.reset(seed=seed)[0], False, []
    while not done:
        observation, reward, done, _, _ = env.step(env.act(observation))
        seen.append((observation.tolist(), reward))
    return seen


# --- the rehearsal --------------------------------------------------------------------------------------------------

TOTAL = 0.0
SERIES = itertools.count()
HISTORY: list[float] = []
SETTINGS = {"scale": 1.0}
SHARED_DRAWS = random.Random(4)
BUFFER = np.zeros(4)
WORLD: dict[int, float] = {}


class GlobalRandom(Walk):
    def draw(self):
        return random.random()


class GlobalNumpy(Walk):
    def draw(self):
        return np.random.random()


class ReseedsNumpy(Walk):
    def draw(self):
        np.random.seed(self.t)
        return 1.0


class ClassList(Walk):
    log: list[int] = []  # what is tested

    def draw(self):
        self.log.append(1)
        return len(self.log)


class ClassNumber(Walk):
    count = 0

    def draw(self):
        type(self).count += 1
        return self.count


class ClassDict(Walk):
    last: dict[str, float] = {"x": 0.0}  # what is tested

    def draw(self):
        self.last["x"] += 1
        return self.last["x"]


class MutableDefault(Walk):
    def draw(self, seen=[]):  # noqa: B006  # what is tested
        seen.append(self.t)
        return len(seen)


class FunctionAttribute(Walk):
    def draw(self):
        vars(FunctionAttribute.draw)["count"] = vars(FunctionAttribute.draw).get("count", 0) + 1
        return 1.0


FunctionAttribute.draw.count = 0  # type: ignore[attr-defined]


class ModuleNumber(Walk):
    def draw(self):
        global TOTAL
        TOTAL += 1
        return TOTAL


class ModuleIterator(Walk):
    def draw(self):
        return next(SERIES)


class ModuleList(Walk):
    def draw(self):
        HISTORY.append(self.x)
        return 1.0


class ModuleDict(Walk):
    def draw(self):
        SETTINGS["scale"] += 1
        return 1.0


class ModuleGenerator(Walk):
    def draw(self):
        return SHARED_DRAWS.random()


class ModuleArray(Walk):
    def draw(self):
        BUFFER[0] += 1
        return 1.0


def _counter() -> Any:
    count = 0

    def counted() -> int:
        nonlocal count
        count += 1
        return count

    return counted


COUNTED = _counter()
LEGACY_DRAWS = np.random.RandomState(4)
NUMBERS = array.array("l", [0])


class ModuleClosure(Walk):
    def draw(self):
        return COUNTED() * 0 + 1.0


class ModuleRandomState(Walk):
    def draw(self):
        return LEGACY_DRAWS.random_sample() * 0 + 1.0


class ModuleNumbers(Walk):
    def draw(self):
        NUMBERS[0] += 1
        return 1.0


class Handle(Walk):
    """Keeps its state behind a number, as physics clients do."""

    def reset(self, *, seed=None, options=None):
        result = super().reset(seed=seed)
        self.handle = 7
        WORLD[7] = self.x
        return result

    def draw(self):
        WORLD[self.handle] += 1
        return WORLD[self.handle]


class UsesUpMidway(Walk):
    """Has a generator from its second step on."""

    def draw(self):
        if self.t == 2:
            self.ids = (i for i in range(9))
        return 1.0


class Numbered(Walk):
    """Finds its parts by ``id()``, as a cache does: copies of the parts have others."""

    def reset(self, *, seed=None, options=None):
        self.parts = [[1.0], [2.0]]
        self.numbers = self.numbered()
        return super().reset(seed=seed)

    def numbered(self) -> Any:
        return {id(part): part for part in self.parts}


class NumberedList(Numbered):
    def numbered(self):
        return [("first", id(self.parts[0]))]


class NumberedSet(Numbered):
    def numbered(self):
        return {id(part) for part in self.parts}


class NumberedAttribute(Numbered):
    def numbered(self):
        return id(self.parts)


HERE = r"tests\.wrappers\.speculation\.trust\.test_trust"
NOT_INDEPENDENT: dict[type[Walk], str] = {
    GlobalRandom: "its steps draw from the global generator `random`; use self.np_random",
    GlobalNumpy: "its steps draw from the global generator of `np.random`; use self.np_random",
    ReseedsNumpy: "its steps draw from the global generator of `np.random`",
    ClassList: "its steps change ClassList.log, which is shared by all environments; keep it in the environment",
    ClassNumber: "its steps change ClassNumber.count",
    ClassDict: "its steps change ClassDict.last",
    MutableDefault: "its steps change MutableDefault.draw",
    FunctionAttribute: "its steps change FunctionAttribute.draw",
    ModuleNumber: rf"its steps change {HERE}\.TOTAL",
    ModuleIterator: rf"its steps change {HERE}\.SERIES",
    ModuleList: rf"its steps change {HERE}\.HISTORY",
    ModuleDict: rf"its steps change {HERE}\.SETTINGS",
    ModuleGenerator: rf"its steps change {HERE}\.SHARED_DRAWS",
    ModuleArray: rf"its steps change {HERE}\.BUFFER",
    ModuleClosure: rf"its steps change {HERE}\.COUNTED",
    ModuleRandomState: rf"its steps change {HERE}\.LEGACY_DRAWS",
    ModuleNumbers: rf"its steps change {HERE}\.NUMBERS",
    Handle: rf"its steps change {HERE}\.WORLD",
    Numbered: r"Numbered\.numbers key \d+ is the id\(\) of another part",
    NumberedList: r"NumberedList\.numbers\[0\]\[1\] is the id\(\) of another part",
    NumberedSet: r"NumberedSet\.numbers member \d+ is the id\(\) of another part",
    NumberedAttribute: r"NumberedAttribute\.numbers is the id\(\) of another part",
    UsesUpMidway: r"env\.ids is a builtins.generator, which cannot be copied",
}


@pytest.mark.parametrize("kind", NOT_INDEPENDENT, ids=lambda kind: kind.__name__)
def test_what_steps_share_is_found_before_anything_is_returned(kind):
    generators = random.getstate(), repr(np.random.get_state())
    env = kind()
    with wrapped(env) as speculative, pytest.raises(NotForkable, match=NOT_INDEPENDENT[kind]):
        speculative.reset(seed=0)
    assert env.t == 0  # the user's own environment was reset, and not stepped
    assert (random.getstate(), repr(np.random.get_state())) == generators


class SeedsNumpy(GlobalNumpy):
    def reset(self, *, seed=None, options=None):
        np.random.seed(seed)
        return super().reset(seed=seed)


class ClearsList(ClassList):
    def reset(self, *, seed=None, options=None):
        self.log.clear()
        return super().reset(seed=seed)


@pytest.mark.parametrize("kind", [SeedsNumpy, ClearsList, UsesUpMidway], ids=lambda kind: kind.__name__)
def test_certify_says_that_it_cannot_be_forked(kind):
    result = certify(kind, act, {"policy": Both()}, range(2), runtime="simulation")
    assert result.verdict is Verdict.NOT_FORKABLE and not result
    assert str(result.reason) in str(result) and "not forkable on 1 seed(s)" in str(result)


def test_certify_says_so_of_what_is_refused_at_once():
    class Threaded(Walk):
        def __init__(self):
            self.ids = (i for i in range(9))

    result = certify(Threaded, act, {"policy": Both()}, range(2), runtime="simulation")
    assert result.verdict is Verdict.NOT_FORKABLE and "builtins.generator" in str(result)


class Caches(Walk):
    """Fills a cache, makes a thing that is made once, and warns once: nothing that a later step could see."""

    cache: dict[int, float] = {}  # what is tested
    told: set[int] = set()  # what is tested
    screen: Any = None

    def draw(self):
        type(self).screen = self.screen or object()
        self.told.add(self.t)
        return self.cache.setdefault(self.t, 1.5)


class HoldsAnEnvironment(Walk):
    """Plays a game of its own, with all the wrappers that Gymnasium puts around it."""

    def reset(self, *, seed=None, options=None):
        self.inner = gym.make("CartPole-v1")
        self.inner.reset(seed=seed)
        return super().reset(seed=seed)

    def draw(self):
        observation, _, terminated, _, _ = self.inner.step(self.t % 2)
        if terminated:
            self.inner.reset()
        return float(observation[2])


class HoldsLargeNumbers(Walk):
    """Holds numbers that are as large as an address, and are none."""

    def draw(self):
        self.numbers = {2**47 + self.t: id(int)}  # a class is no part of the environment: the copy has the same
        return 1.0


@pytest.mark.parametrize("kind", [Walk, Caches, HoldsAnEnvironment, HoldsLargeNumbers], ids=lambda kind: kind.__name__)
def test_independent_environments_pass(kind):
    with wrapped(kind()) as env:
        assert env.statistics.rehearsal == "due"
        assert speculative_episode(env) == plain_episode(kind())
        assert env.statistics.rehearsal == "passed" and env.statistics.divergences == 0


def test_masks_of_actions_are_kept_to():
    class Masked(Walk):
        action_space = gym.spaces.Discrete(50)

        def reset(self, *, seed=None, options=None):
            observation, _ = super().reset(seed=seed)
            return observation, {"action_mask": np.array([1] + [0] * 49, np.int8)}

        def step(self, action):
            assert action == 0
            return *super().step(action)[:4], {"action_mask": np.array([1] + [0] * 49, np.int8)}

    with wrapped(Masked()) as env:
        env.reset(seed=0)
        assert env.statistics.rehearsal == "passed"


def test_an_action_that_is_not_allowed_ends_the_rehearsal_only():
    class Picky(Walk):
        def step(self, action):
            raise ValueError("not now")

    with wrapped(Picky()) as env:
        env.reset(seed=0)
        assert env.statistics.rehearsal == "passed"


def test_slow_environments_are_said_to_be_unrehearsed(monkeypatch):
    monkeypatch.setattr(rehearsal, "BUDGET_S", -1.0)
    with wrapped(Walk()) as env:
        env.reset(seed=0)
        assert env.statistics.rehearsal == "too slow"
        assert "unrehearsed" in str(env.statistics)


def test_warnings_of_the_rehearsal_are_not_the_users():
    class Warns(Walk):
        def draw(self):
            warnings.warn("drawn", UserWarning, stacklevel=2)
            return 1.0

    with wrapped(Warns()) as env:
        env.reset(seed=0)  # warnings are errors here


def test_without_a_rehearsal_the_proof_finds_it_and_speculation_ends():
    with wrapped(ClassDict(), rehearse=False, prove_every=3) as env:
        assert env.statistics.rehearsal == "none"
        with pytest.warns(
            RuntimeWarning, match="speculation on this environment ends here.*had another outcome"
        ) as told:
            speculative_episode(env)
        assert len(told) == 1
        assert env.statistics.proofs == env.statistics.proof_differences == 1
        assert "speculation on this environment ended" in str(env.statistics)
        windows = env.statistics.windows
        speculative_episode(env, seed=1)  # is not speculated on, nor warned of again
        assert env.statistics.windows == windows


def test_calls_that_an_environment_asks_for_need_no_rehearsal():
    with SpeculativeWrapper(FakeEnv(), act, guessers={"policy": Both()}, guard=False) as env:
        assert isinstance(env.unwrapped, CallEnv) and env.statistics.rehearsal == "none"


# --- where there is nothing to speculate on -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [GlobalNumpy, ClassList, UsesUpMidway], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("options", [{"guessers": {}}, {"max_inflight": 0}], ids=["no guesser", "no slots"])
def test_without_guesses_the_environment_makes_its_steps_itself(kind, options):
    ClassList.log.clear()
    np.random.seed(3)
    expected = plain_episode(kind())
    ClassList.log.clear()
    np.random.seed(3)
    env = kind()
    with wrapped(env, **options) as speculative:
        assert speculative_episode(speculative) == expected
        assert speculative.env is env and env.t == 30


def test_an_environment_whose_steps_act_on_the_outside_world_says_so():
    class Robot(Walk):
        step_effect = Effect.WRITE

        def __init__(self):
            self.wire = (i for i in range(100))  # which could not be forked, and need not be

        def draw(self):
            return next(self.wire)

    env = Robot()
    with wrapped(gym.wrappers.TimeLimit(env, 100)) as speculative:
        assert speculative_episode(speculative) == plain_episode(Robot())
        assert speculative.statistics.rehearsal == "none" and env.t == 30


# --- steps of forks that raise errors ---------------------------------------------------------------------------


class Stumbles(Walk):
    """Fails now and then, and has changed by then."""

    def draw(self):
        if self.t % 4 == 2:
            self.x += 0.5
            raise ValueError(f"stumbled at {self.t}")
        return self.np_random.random()


BY_ID: dict[int, float] = {}


class KeptById(Walk):
    """Keeps its state where its fork does not find it."""

    def reset(self, *, seed=None, options=None):
        BY_ID[id(self)] = 0.0
        return super().reset(seed=seed)

    def draw(self):
        BY_ID[id(self)] += 1.0
        return BY_ID[id(self)]


def episode_with_errors(env: Any, decide: Any, seed: int) -> list[Any]:
    observation, done, seen = env.reset(seed=seed)[0], False, list[Any]()
    while not done:
        try:
            observation, reward, done, _, _ = env.step(decide(observation))
            seen.append((observation.tolist(), reward))
        except ValueError as error:
            seen.append(str(error))
    return seen


@pytest.mark.parametrize("runtime", ["simulation", "threads"])
def test_after_a_step_that_failed_the_episode_goes_on_from_what_it_left(runtime):
    with wrapped(Stumbles(), runtime=runtime) as env:
        for seed in range(2):
            expected = episode_with_errors(Stumbles(), act, seed)
            assert episode_with_errors(env, env.act, seed) == expected


def test_a_step_that_fails_on_forks_alone_is_made_by_the_environment_itself():
    env = KeptById()
    with wrapped(env) as speculative:
        with pytest.warns(RuntimeWarning, match="a fork of it has raised KeyError.*environment itself can"):
            assert speculative_episode(speculative) == plain_episode(KeptById())
        assert speculative.env is env


# --- values that cannot be copied -------------------------------------------------------------------------------


class Shows(Walk):
    """Returns something that cannot be copied, from a step on."""

    shown, since = "info", 0

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        made = (i for i in range(3)) if self.t >= self.since else None
        if self.shown == "info":
            return observation, reward, terminated, truncated, {"made": made}
        return {"x": observation, "made": made}, reward, terminated, truncated, info

    def reset(self, *, seed=None, options=None):
        observation, _ = super().reset(seed=seed)
        return (observation if self.shown == "info" else {"x": observation, "made": None}), {}


def test_an_info_that_cannot_be_copied_is_the_users_as_it_is():
    with wrapped(Shows()) as env:
        env.reset(seed=0)
        for _ in range(3):
            assert list(env.step(0)[-1]["made"]) == [0, 1, 2]
        assert env.statistics.proofs == 2


class ShowsLate(Shows):
    shown, since = "observation", 8


def test_where_an_observation_cannot_be_copied_the_episode_goes_on_plainly():
    def decide(observation: Any) -> int:
        return act(observation["x"])

    plain = ShowsLate()
    observation, done, expected = plain.reset(seed=0)[0], False, []
    while not done:
        observation, reward, done, _, _ = plain.step(decide(observation))
        expected.append((observation["x"].tolist(), reward))
    with SpeculativeWrapper(
        ShowsLate(), with_latency(decide, 1.0), guessers={"policy": Both()}, runtime="simulation"
    ) as env:
        observation, done, seen = env.reset(seed=0)[0], False, []
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            while not done:
                observation, reward, done, _, _ = env.step(env.act(observation))
                seen.append((observation["x"].tolist(), reward))
        assert seen == expected
        ends = [str(each.message) for each in told if "speculation on this environment ends here" in str(each.message)]
        assert len(ends) == 1 and "holds a generator" in ends[0]


# --- forks that fail in the middle of an episode --------------------------------------------------------------------


class Late(Walk):
    """Cannot be forked from its twelfth step on, which the rehearsal does not see."""

    def draw(self):
        if self.t == 12:
            self.ids = (i for i in range(9))
        return self.np_random.random()


ENDS = "speculation on this environment ends here, and the episode goes on without it: .*builtins.generator"


@pytest.mark.parametrize("runtime", ["simulation", "threads"])
def test_where_forks_fail_the_episode_goes_on_plainly(runtime):
    with wrapped(Late(), runtime=runtime) as env:
        with pytest.warns(RuntimeWarning, match=ENDS) as told:
            assert speculative_episode(env) == plain_episode(Late())
        assert len(told) == 1 and env.statistics.fork_failures == 1
        assert speculative_episode(env, seed=1) == plain_episode(Late(), seed=1)  # without another warning


def test_where_forks_fail_the_awaited_episode_goes_on_plainly():
    async def episode() -> list[Any]:
        async with AsyncSpeculativeWrapper(Late(), act, guessers={"policy": Both()}, guard=False) as env:
            observation, done, seen = (await env.reset(seed=0))[0], False, []
            while not done:
                observation, reward, done, _, _ = await env.step(await env.act(observation))
                seen.append((observation.tolist(), reward))
            assert env.statistics.fork_failures == 1
            return seen

    with pytest.warns(RuntimeWarning, match=ENDS):
        assert asyncio.run(episode()) == plain_episode(Late())


class LateDesk(CallEnv):
    """Asks for its calls, and cannot be forked from its fifth step on."""

    observation_space, action_space = gym.spaces.Box(-1e9, 1e9, (2,)), gym.spaces.Discrete(2)

    def __init__(self):
        super().__init__({"world": lambda query: query % 3})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.x = 0, 0
        return np.array([0.0, 0.0]), {}

    def step(self, action):
        self.t += 1
        self.x += self.ask(Call("world", 7 * self.t + int(action)))
        if self.t == 5:
            self.ids = (i for i in range(9))
        return np.array([self.x / 7, self.t]), float(self.x), self.t >= 30, False, {}


DESK: dict[str, Any] = {"guessers": {"policy": Both(), "world": Both()}}


@pytest.mark.parametrize("runtime", ["simulation", "threads"])
def test_where_forks_fail_an_environment_that_asks_goes_on_plainly(runtime):
    with wrapped(LateDesk(), runtime=runtime, **DESK) as env:
        with pytest.warns(RuntimeWarning, match=ENDS) as told:
            assert speculative_episode(env) == plain_episode(LateDesk())
        assert len(told) == 1 and env.statistics.fork_failures == 1
        assert speculative_episode(env) == plain_episode(LateDesk())


def test_where_forks_fail_an_awaited_environment_that_asks_goes_on_plainly():
    async def episode() -> list[Any]:
        async with AsyncSpeculativeWrapper(LateDesk(), act, **DESK, guard=False) as env:
            for _ in range(2):
                observation, done, seen = (await env.reset(seed=0))[0], False, []
                while not done:
                    observation, reward, done, _, _ = await env.step(await env.act(observation))
                    seen.append((observation.tolist(), reward))
            return seen

    with pytest.warns(RuntimeWarning, match=ENDS):
        assert asyncio.run(episode()) == plain_episode(LateDesk())


def test_a_later_episode_may_be_refused_in_reset():
    class Grows(Walk):
        episodes = 0

        def reset(self, *, seed=None, options=None):
            self.episodes += 1
            if self.episodes == 2:
                self.ids = (i for i in range(9))
            return super().reset(seed=seed)

    with wrapped(Grows()) as env:
        speculative_episode(env)
        with pytest.raises(NotForkable, match=r"env\.ids is a builtins.generator"):
            env.reset()


def test_proofs_that_agree_change_nothing():
    with wrapped(Walk(), prove_every=2) as env:
        assert speculative_episode(env) == plain_episode(Walk())
        assert env.statistics.proofs == 16 and env.statistics.proof_differences == 0


@pytest.mark.parametrize(("prove_every", "proofs"), [(0, 0), (1, 30), (3, 2 + 10), (10, 4 + 3), (30, 5 + 1), (100, 5)])
def test_proofs_come_soon_and_then_each_so_many_steps(prove_every, proofs):
    with wrapped(Walk(), prove_every=prove_every) as env:
        speculative_episode(env)  # 30 steps
        assert env.statistics.proofs == proofs


def test_class_state_that_changes_only_after_the_rehearsal_is_found_by_an_early_proof():
    class Late(Walk):
        drawn = {"number": 0}  # what is tested

        def draw(self):
            if self.t < 10:
                return 0.0
            self.drawn["number"] += 1
            return self.drawn["number"]

    with wrapped(Late()) as env:
        observation, _ = env.reset(seed=0)
        assert env.statistics.rehearsal == "passed"
        with pytest.warns(RuntimeWarning, match="speculation on this environment ends here.*had another outcome"):
            for _ in range(16):
                observation = env.step(env.act(observation))[0]
        assert env.statistics.proofs == 5 and env.statistics.proof_differences == 1
