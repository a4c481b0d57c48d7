"""``check_fork``: what it accepts, and each of its errors provoked by a broken environment; and ``FakeEnv``."""

import copy
import math
import random
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from spec_envs import Call, CallEnv, Effect, fork
from spec_envs.errors import (
    ForkCheckFailed,
    HandlerFailed,
    InvalidAction,
    InvalidConfiguration,
    ResetNeeded,
    SpecEnvsError,
)
from spec_envs.testing import FakeEnv, check_fork, pure_response, same


class Counter(gym.Env):
    """A correct little environment with a fork of its own, to be broken."""

    observation_space = spaces.Discrete(10_000)
    action_space = spaces.Discrete(3)

    def __init__(self):
        self.count = 0
        self.log = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.count, {}

    def step(self, action):
        self.count += int(action) + int(self.np_random.integers(3))
        return self.count, float(action), self.count > 40, False, {}

    def fork(self):
        twin = copy.copy(self)
        twin._np_random = copy.deepcopy(self._np_random)
        twin.log = list(self.log)
        return twin

    def fingerprint(self):
        return f"{self.count}"


@pytest.mark.parametrize(
    "env",
    [
        Counter(),
        gym.wrappers.TimeLimit(Counter(), 5),
        FakeEnv(),
        FakeEnv(calls_per_step=3, calls_in_reset=2, effects=[Effect.READ, Effect.WRITE], length=4),
        FakeEnv(random=False, calls_per_step=0),
    ],
    ids=["own fork", "wrapped", "fake", "fake with many calls", "fake without calls"],
)
def test_correct_environments_pass(env):
    check_fork(env)


def test_the_chess_environment_passes_with_legal_moves_by_default():
    check_fork(gym.make("spec_envs:SpecChess-v0"), steps=4)


class Masked(Counter):
    """Only one action is allowed, and the info says which."""

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0], self.info()

    def info(self):
        return {"action_mask": np.eye(3, dtype=np.int8)[self.count % 3]}

    def step(self, action):
        if action != self.count % 3:
            raise InvalidAction(f"{action} is not allowed")
        return *super().step(action)[:4], self.info()


class SecretlyMasked(Masked):
    def info(self):
        return {}


def test_an_action_mask_is_kept_to():
    check_fork(Masked())


def test_actions_can_be_chosen_by_the_caller():
    check_fork(SecretlyMasked(), actions=lambda observation, info, rng: observation % 3)
    with pytest.raises(
        ForkCheckFailed, match=r"step\(.*\) raised InvalidAction: . is not allowed; .* function `actions`"
    ):
        check_fork(SecretlyMasked())


def test_wall_clock_figures_in_the_info_do_not_count():
    check_fork(gym.wrappers.RecordEpisodeStatistics(Counter()))


def test_each_query_is_asked_once_and_the_handlers_are_back_afterwards():
    asked = []
    rng = np.random.default_rng(0)

    def moody(query):
        asked.append(query)
        return int(rng.integers(4))

    env = FakeEnv({"llm": moody})
    check_fork(env, steps=8)
    assert len(asked) == len(set(asked)) > 8
    assert env._answer is None


def test_a_failure_is_an_assertion_and_one_of_our_errors():
    assert issubclass(ForkCheckFailed, AssertionError) and issubclass(ForkCheckFailed, SpecEnvsError)


# --- one broken environment for each message -------------------------------------------------------------------


class RaisesBeforeReset(Counter):
    def fork(self):
        return super().fork() if self._np_random is not None else self.nothing  # type: ignore[attr-defined]  # raises


class ResetsTheParent(Counter):
    def fork(self):
        twin = super().fork()
        self.count += 1
        return twin


class ResetsOnFork(Counter):
    def fork(self):
        twin = super().fork()
        if self.np_random:
            twin.count = 0
        return twin

    def step(self, action):
        self.count += 1
        return super().step(action)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 7
        return self.count, {}


class RaisesLater(Counter):
    def fork(self):
        if self._np_random is not None:
            raise KeyError("board")
        return super().fork()


class ForgetsTheGenerator(Counter):
    def fork(self):
        twin = super().fork()
        twin._np_random = np.random.default_rng(5)
        return twin


class SharesTheGenerator(Counter):
    def fork(self):
        twin = super().fork()
        twin._np_random = self._np_random
        return twin


class SharesState(Counter):
    """The child's steps are seen by the parent, by way of a list; not noticed in lockstep at first."""

    def fork(self):
        twin = super().fork()
        twin.log = self.log
        return twin

    def step(self, action):
        self.log.append(action)
        observation, reward, *rest = super().step(action)
        return observation, reward, *rest[:2], {"log": len(self.log)}


class Board:
    """State that is written to by the last one who was forked."""

    def __init__(self):
        self.count = 0


class ParentWritesIntoChild(Counter):
    """The child reads what the parent did; the parent never sees the child."""

    def __init__(self):
        super().__init__()
        self.mine, self.parents = Board(), None

    def fork(self):
        twin = super().fork()
        twin.mine, twin.parents = copy.copy(self.mine), self.mine
        return twin

    def step(self, action):
        self.mine.count += 1
        seen = self.mine.count
        if self.parents is not None and self.parents.count > seen:
            seen = -1
        return *super().step(action)[:4], {"seen": seen}


class LosesReward(Counter):
    forked = False

    def fork(self):
        twin = super().fork()
        twin.forked = True
        return twin

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, math.nan if self.forked else reward, *rest


class ForkOfForkForgets(Counter):
    generation = 0

    def fork(self):
        twin = super().fork()
        twin.generation = self.generation + 1
        return twin

    def step(self, action):
        if self.generation > 1:
            self.count += 1
        return super().step(action)


class Resource:
    open = True


class ClosesForAll(Counter):
    """The first close() closes what all forks use."""

    def __init__(self):
        super().__init__()
        self.engine = Resource()

    def close(self):
        self.engine.open = False

    def step(self, action):
        observation, *rest = super().step(action)
        return (observation if self.engine.open else -1), *rest


class ClosesForItsForks(ClosesForAll):
    """Only the original's close() closes what all forks use."""

    forked = False

    def fork(self):
        twin = super().fork()
        twin.forked = True
        return twin

    def close(self):
        if not self.forked:
            super().close()


class ClosesForItsParents(ClosesForItsForks):
    """A fork's close() closes what its forks use, and only that."""

    def fork(self):
        twin = super().fork()
        if not self.forked:
            twin.engine = Resource()
        return twin

    def close(self):
        if self.forked:
            self.engine.open = False


class RaisesAfterClose(Counter):
    closed = False

    def close(self):
        self.closed = True

    def fork(self):
        if self.closed:
            raise AttributeError("engine")
        return super().fork()


class AsksSomethingElse(FakeEnv):
    """The fork asks another question, to which the answer happens to be the same."""

    def fork(self):
        twin = super().fork()
        twin._seed += 1
        return twin

    def _draw(self):
        return 0


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            RaisesBeforeReset,
            r"fork\(\) before reset\(\) raised AttributeError: .*; it must work, or raise a SpecEnvsError",
        ),
        (
            ResetsTheParent,
            r"fork\(\) before reset\(\) changed the original: fingerprint of ResetsTheParent \(layer 0\)",
        ),
        (ResetsOnFork, r"the fork has another state than the original: fingerprint of ResetsOnFork \(layer 0\)"),
        (RaisesLater, r"fork\(\) raised KeyError: 'board'"),
        (ForgetsTheGenerator, r"in lockstep, step \d+: step\(.*\): observation is \d+, expected \d+"),
        (SharesTheGenerator, r"in lockstep, step \d+: step\(.*\): observation is \d+, expected \d+"),
        (SharesState, r"in lockstep, step 0: step\(.*\): info is {'log': 2}, expected {'log': 1}"),
        (LosesReward, r"in lockstep, step 0: step\(.*\): reward is nan, expected \d\.0"),
        (
            ParentWritesIntoChild,
            r"after the original was stepped, the fork differs in step 0: step\(.*\): info is .*-1",
        ),
        (ForkOfForkForgets, r"after a fork of the fork was stepped, the fork differs in step \d+: .*: observation"),
        (ClosesForAll, r"after its parent was closed, the fork differs in step 0: .*observation is -1, expected \d+"),
        (ClosesForItsForks, r"after the original was closed, the fork differs in step 0: .*observation is -1"),
        (ClosesForItsParents, r"after its parent was closed, the fork differs in step 0: .*observation is -1"),
        (RaisesAfterClose, r"fork\(\) after close\(\) raised AttributeError: engine; it must work"),
    ],
)
def test_a_broken_environment_is_found_out(broken, message):
    with pytest.raises(ForkCheckFailed, match=message):
        check_fork(broken())


def test_a_fork_that_asks_another_question_is_found_out():
    with pytest.raises(ForkCheckFailed, match=r"another state|in lockstep, step 0: .*: calls made is .*, expected"):
        check_fork(AsksSomethingElse({"world": lambda query: 0}))


class Courier(CallEnv):
    """Keeps the rules for its calls, to be broken: it goes where two handlers say."""

    observation_space = spaces.Discrete(10_000)
    action_space = spaces.Discrete(3)

    def __init__(self, way=pure_response):
        super().__init__({"way": way})
        self.place, self.luck, self.asked = 0, 0, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.luck = 0, int(self.np_random.integers(9))
        return self.place, {}

    def step(self, action):
        first = self.ask(Call("way", (self.place, int(action), self.luck)))
        second = self.ask(Call("way", (first, self.luck)))
        self.place, self.luck = self.place + first + second, int(self.np_random.integers(9))
        return self.place, 0.0, self.place > 50, False, {}


class MovesTooSoon(Courier):
    def step(self, action):
        self.place += 1
        return super().step(action)


class MovesBetween(Courier):
    def step(self, action):
        first = self.ask(Call("way", (self.place, int(action))))
        self.place += first
        self.place += self.ask(Call("way", self.place))
        return self.place, 0.0, self.place > 50, False, {}


class DrawsTooSoon(Courier):
    def step(self, action):
        self.luck = int(self.np_random.integers(9))
        return super().step(action)


class CountsItsTries(Courier):
    """Which shows only in a later step."""

    def step(self, action):
        self.asked += 1
        observation, *rest = super().step(action)
        return observation, *rest[:-1], {"asked": self.asked if self.place > 8 else None}


class Forgives(Courier):
    """Makes something of an error, and goes on."""

    def step(self, action):
        try:
            return super().step(action)
        except HandlerFailed:
            self.place += 1
            return self.place, -1.0, False, False, {}


class DrawsInVain(Counter):
    """Draws from a global generator what nobody sees."""

    def step(self, action):
        self.log = [random.random()]
        return super().step(action)


class DrawsAtReset(Courier):
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.start = np.random.rand()
        return self.place, {}


class DrawsBetweenCalls(Courier):
    def step(self, action):
        self.ask(Call("way", "look"))
        self.mood = np.random.normal()
        self.ask(Call("way", "go"))
        return super().step(action)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (MovesTooSoon, r"in step 0, after each of its calls had failed once \(.*\): step\(.*\): observation is"),
        (MovesBetween, r"in step 0, after each of its calls had failed once"),
        (
            DrawsTooSoon,
            r"in step \d+, after each of its calls had failed once .* self.np_random, only after its last ask",
        ),
        (CountsItsTries, r"in step \d+, after each of its calls had failed once .*: info is"),
        (DrawsInVain, r"step\(.*\) draws from the global generator `random`, which forks share; use self.np_random"),
        (DrawsAtReset, r"reset\(\) draws from the global generator of `np.random`"),
        (DrawsBetweenCalls, r"step\(.*\) draws from the global generator of `np.random`"),
    ],
)
def test_an_environment_that_breaks_a_rule_is_found_out(broken, message):
    with pytest.raises(ForkCheckFailed, match=message):
        check_fork(gym.wrappers.TimeLimit(broken(), 50))


def draws_itself(query):
    return random.randrange(4)


@pytest.mark.parametrize("kind", [Courier, Forgives])
def test_handlers_may_draw_and_errors_may_be_made_something_of(kind):
    check_fork(kind(draws_itself))
    check_fork(gym.wrappers.TimeLimit(kind(), 50))


class WithState(gym.Wrapper):
    env: Any

    def __init__(self, env):
        super().__init__(env)
        self.elapsed, self.history = 3, [1]


class DropsALayer(WithState):
    def fork(self):
        twin = copy.copy(self)
        twin.env = fork(self.env.env)
        return twin


class SharesALayer(WithState):
    def fork(self):
        return copy.copy(self)


class ForgetsTheState(WithState):
    """Its class is copied by ``fork`` itself; an inner attribute forgets."""

    def fork(self):
        twin = copy.copy(self)
        twin.env = fork(self.env)
        twin.env.elapsed = 0
        return twin


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: DropsALayer(WithState(Counter())),
            r"the fork of <DropsALayer<WithState<.* has other layers: <DropsALayer",
        ),
        (lambda: SharesALayer(Counter()), "the original and the fork share the layer Counter"),
        (
            lambda: ForgetsTheState(WithState(Counter())),
            r"the fork has another state than the original: elapsed of WithState \(layer 1\)",
        ),
    ],
)
def test_a_broken_wrapper_is_found_out(make, message):
    with pytest.raises(ForkCheckFailed, match=message):
        check_fork(make())


def test_a_fork_that_changes_a_wrapper_of_the_original_is_found_out():
    class Ages(Counter):
        def fork(self):
            if self._np_random is not None:
                holder.history.append(2)
            return super().fork()

    holder = WithState(Ages())
    with pytest.raises(ForkCheckFailed, match=r"fork\(\) changed the original: history of WithState \(layer 0\)"):
        check_fork(holder)


def test_what_cannot_be_forked_is_said_with_its_reason():
    env: Any = WithState(Counter())
    env.lines = (line for line in "")
    with pytest.raises(ForkCheckFailed, match=r"fork\(\) raised NotForkable: WithState in .*WithState.lines is a"):
        check_fork(env)


# --- FakeEnv and same ------------------------------------------------------------------------------------------


def test_fake_env_tells_everything_that_happened():
    env = FakeEnv({"a": lambda q: q[2], "b": lambda q: 2}, calls_per_step=2, calls_in_reset=1, length=2)
    assert env.reset(seed=0) == ("0;", {"responses": (0,)})
    assert env.step(2) == ("0;2:0,2;", 0.5, False, False, {"responses": (0, 2)})
    sampled: Any = np.int64(1)
    assert env.step(sampled) == ("0;2:0,2;1:0,2;", 0.0, True, False, {"responses": (0, 2)})
    with pytest.raises(ResetNeeded, match=r"FakeEnv has done 2 of 2 steps; call reset\(\)"):
        env.step(0)


def test_fake_env_asks_its_handlers_and_effects_in_turn():
    env = FakeEnv({"a": str, "b": str}, calls_per_step=3, effects=[Effect.READ, Effect.WRITE], length=1)
    env.reset(seed=0)
    asked = []
    env.answer_with(lambda call: asked.append((call.handler, call.effect)))
    env.step(0)
    assert asked == [("a", Effect.READ), ("b", Effect.WRITE), ("a", Effect.READ)]


def test_fake_env_needs_something_to_ask():
    with pytest.raises(InvalidConfiguration, match="needs at least one handler and one effect"):
        FakeEnv({})
    FakeEnv({}, calls_per_step=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"effects": ["read"]}, "each of the effects must be Effect.READ, .* not 'read'"),
        ({"calls_per_step": -1}, "calls_per_step must be an integer of at least 0, not -1"),
        ({"calls_in_reset": "2"}, "calls_in_reset must be an integer of at least 0, not '2'"),
        ({"length": 0}, "length must be an integer of at least 1, not 0"),
        ({"random": "no"}, "random must be True or False, not 'no'"),
        ({"owned": "world"}, "owned must be names of handlers, such as \\('world',\\), not 'world'"),
        ({"owned": 3}, "owned must be names of handlers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_fake_env_names_what_makes_no_sense(given, message):
    with pytest.raises(InvalidConfiguration, match=message):
        FakeEnv(**given)


def test_fake_env_refuses_unknown_actions_and_keeps_its_state():
    env = FakeEnv(num_actions=2)
    env.reset(seed=0)
    before = env.fingerprint()
    with pytest.raises(InvalidAction, match=r"2 is not in Discrete\(2\)"):
        env.step(2)
    assert env.fingerprint() == before


def test_fake_env_draws_a_seed_for_each_query_unless_told_not_to():
    def queries(**options):
        seen = []
        env = FakeEnv({"world": lambda query: seen.append(query) or 0}, **options)
        for seed in (0, 1):
            env.reset(seed=seed)
            env.step(0)
        return seen

    random = queries()
    assert random[0] != random[1]
    fixed = queries(random=False)
    assert fixed[0] == fixed[1] == (";", 0, 0, 0)


def test_pure_response_depends_on_the_query_alone():
    assert [pure_response((";", 0, 0, seed)) for seed in range(8)] == [pure_response((";", 0, 0, s)) for s in range(8)]
    assert {pure_response(seed) for seed in range(50)} == {0, 1, 2, 3}


def test_same_compares_by_value_and_type():
    assert same({"a": np.array([math.nan])}, {"a": np.array([math.nan])})
    assert not same(1, True)
    assert not same([1], (1,))
