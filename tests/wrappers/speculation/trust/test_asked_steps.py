"""Environments that ask for their calls, and whose steps or resets use something that their forks share."""

from __future__ import annotations

import itertools
import logging
import random
import threading
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest

from spec_envs import Call, CallEnv, Guess
from spec_envs.errors import NotForkable
from spec_envs.wrappers import Verdict, certify
from spec_envs.wrappers.handlers import with_latency
from spec_envs.wrappers.speculation.trust import rehearsal
from tests.wrappers.loops import RUNTIMES, VIRTUAL, make


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch):
    """A rehearsal that is never too slow, also on a slow machine."""
    monkeypatch.setattr(rehearsal, "BUDGET_S", 1e9)


TOTAL = 0
HISTORY: list[int] = []
SERIES = itertools.count()
SETTINGS = {"scale": 1}


class Desk(CallEnv[Any, int]):
    """Asks once in each step; ``before`` and ``after`` that it does what its subclasses say."""

    observation_space: Any = gym.spaces.Box(-1e9, 1e9, (2,))
    action_space: Any = gym.spaces.Discrete(2)

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__({"world": with_latency(lambda query: query % 3, seconds)})

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = self.x = 0
        self.begin()
        return np.array([float(self.x), 0.0]), {}

    def step(self, action: int) -> Any:
        self.before()
        response = self.ask(Call("world", 7 * self.t + int(action)))
        self.t += 1
        self.x += response + int(self.after())
        return np.array([self.x / 7, self.t]), float(self.x), self.t >= 12, False, {}

    def begin(self) -> None: ...

    def before(self) -> None: ...

    def after(self) -> float:
        return 0


class ModuleNumber(Desk):
    def after(self):
        global TOTAL
        TOTAL += 1
        return TOTAL


class ModuleList(Desk):
    def after(self):
        HISTORY.append(self.t)
        return len(HISTORY)


class ModuleDict(Desk):
    def after(self):
        SETTINGS["scale"] += 1
        return SETTINGS["scale"]


class ModuleIterator(Desk):
    def after(self):
        return next(SERIES)


class ClassNumber(Desk):
    count = 0

    def after(self):
        type(self).count += 1
        return self.count


class ClassList(Desk):
    log: ClassVar[list[int]] = []

    def after(self):
        self.log.append(1)
        return len(self.log)


class UnseenClassNumber(ClassNumber):
    """Changes what nobody sees: for now."""

    def after(self):
        super().after()
        return 0


class LateClassNumber(ClassNumber):
    """First used after the rehearsal, and after most of the early proofs."""

    def after(self):
        return super().after() if self.t >= 6 else 0


class MutableDefault(Desk):
    def after(self, seen=[]):  # noqa: B006  # what is tested
        seen.append(self.t)
        return len(seen)


class SharedOnFork(Desk):
    """Breaks the rule of ``shared_on_fork``: changes in place what it says that forks may share."""

    shared_on_fork = frozenset({"log"})

    def begin(self):
        self.log = []

    def after(self):
        self.log.append(1)
        return len(self.log)


class ShallowFork(Desk):
    """Its own ``fork`` shares a list."""

    log: Any = None

    def begin(self):
        self.log = [0]

    def fork(self):
        twin = super().fork()
        twin.log = self.log
        return twin

    def after(self):
        self.log.append(1)
        return len(self.log)


class SamplesItsSpace(Desk):
    """Draws from its action space, which forks of other environments share."""

    def begin(self):
        self.action_space = gym.spaces.Discrete(2, seed=5)

    def after(self):
        return int(self.action_space.sample())


class GlobalDraws(Desk):
    def after(self):
        return random.randrange(5)


class ForgetfulFork(Desk):
    """Its own ``fork`` leaves something out."""

    def begin(self):
        self.bonus = 3

    def fork(self):
        twin = super().fork()
        twin.bonus = 0
        return twin

    def after(self):
        return getattr(self, "bonus", 0)


class PerThread(Desk):
    """Counts in a variable of the thread."""

    ticks = threading.local()

    def after(self):
        self.ticks.now = getattr(self.ticks, "now", 0) + 1
        return self.ticks.now


class Entropy(Desk):
    """Returns something else each time."""

    def after(self):
        return random.SystemRandom().getrandbits(60)


class Clock(Desk):
    """Returns a time: two of them read alike where they are shown with few digits."""

    def step(self, action):
        _, *rest = super().step(action)
        return np.array([1e9 + random.SystemRandom().random(), self.t]), *rest


class WriteBehind(Desk):
    """A handler changes the environment itself, which forks do not see."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(seconds)
        self.stock = 9
        answer = self.handlers["world"]

        def world(query: int, cancel: Any) -> int:
            self.stock -= 1
            return answer(query, cancel)

        self.handlers = {"world": world}

    def after(self):
        return self.stock


class FailsOnce(Desk):
    """Fails when its class has made its ninth step: forks count, too."""

    count = 0

    def after(self):
        type(self).count += 1
        if self.count == 9:
            raise ValueError("the ninth")
        return 0


HERE = r"tests\.wrappers\.speculation\.trust\.test_asked_steps"

#: What is said, and whether it is said in ``reset`` if nothing forbids the rehearsal.
MISTAKES: dict[type[Desk], str] = {
    ModuleNumber: rf"its steps change {HERE}\.TOTAL, which is shared by all environments",
    ModuleList: rf"its steps change {HERE}\.HISTORY",
    ModuleDict: rf"its steps change {HERE}\.SETTINGS",
    ModuleIterator: rf"its steps change {HERE}\.SERIES",
    ClassNumber: "its steps change ClassNumber.count",
    ClassList: "its steps change ClassList.log",
    UnseenClassNumber: "its steps change UnseenClassNumber.count",
    LateClassNumber: "its steps change LateClassNumber.count",
    MutableDefault: "its steps change MutableDefault.after",
    SharedOnFork: "a step of a fork changes SharedOnFork.log, .* leave it out of shared_on_fork; or, if",
    ShallowFork: "a step of a fork changes ShallowFork.log",
    GlobalDraws: "its steps draw from the global generator `random`",
    ForgetfulFork: "where a fork of it, with the same responses, returned .*leaves something out",
    PerThread: "its steps change PerThread.ticks",
    Entropy: "made twice in one state and with the same responses, a step returned .*, and then returned ",
    Clock: r"a step returned .*\(observation\[0\] .*1000000000\.\d+.*\), and then returned .*\(observation\[0\] ",
    WriteBehind: "where a fork of it, with the same responses, returned .*a handler that changes it",
    FailsOnce: "its steps change FailsOnce.count",
}


def act(observation: Any) -> int:
    return int(observation[0] * 1000) % 2


class Both:
    def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(0, 0.5), Guess(1, 0.4)]


GUESSERS = {"policy": Both(), "world": Both()}


def wrapped(env: gym.Env[Any, Any], runtime: str, **options: Any) -> Any:
    seconds = 0.0 if runtime == "threads" else 1.0
    return make(env, with_latency(act, seconds), guessers=GUESSERS, runtime=runtime, **options)


def episode(env: Any, choose: Callable[[Any], int]) -> list[Any]:
    seen: list[Any] = []
    done = False
    observation, _ = env.reset(seed=0)
    while not done:
        try:
            observation, reward, done, *_ = env.step(choose(observation))
        except ValueError as error:
            return [*seen, str(error)]
        seen.append((observation.tolist(), reward))
    return seen


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("kind", MISTAKES, ids=lambda kind: kind.__name__)
def test_a_wrong_prediction_is_told_once_with_its_reason_and_ends_speculation(kind: type[Desk], runtime: str) -> None:
    with wrapped(kind(0.0 if runtime == "threads" else 1.0), runtime) as env:
        with pytest.warns(
            RuntimeWarning, match=f"(?s)speculation on this environment ends here.*{MISTAKES[kind]}"
        ) as told:
            episode(env, env.act)
        assert len(told) == 1
        statistics = env.statistics
        assert statistics.stopped is not None and statistics.stopped in str(statistics)
        episode(env, env.act)  # is not speculated on, nor warned of again
        assert env.statistics.windows == statistics.windows


class ClassNumberBefore(ClassNumber):
    """Changes its class before it asks."""

    def before(self):
        super().after()

    def after(self):
        return self.count


class CountsEpisodes(ClassNumber):
    def begin(self):
        self.x = super().after()

    def after(self):
        return 0


class SharedBefore(SharedOnFork):
    def before(self):
        super().after()

    def after(self):
        return len(self.log)


IN_RESET: dict[type[Desk], str] = {
    ClassNumberBefore: "its steps change ClassNumberBefore.count",
    CountsEpisodes: "its steps change CountsEpisodes.count",
    SharedBefore: "a step of a fork changes SharedBefore.log",
}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("kind", IN_RESET, ids=lambda kind: kind.__name__)
def test_what_shows_before_the_first_call_is_found_before_anything_is_returned(kind: type[Desk], runtime: str) -> None:
    calls: list[Any] = []
    env = kind()
    env.handlers = {"world": calls.append}
    with wrapped(env, runtime) as speculative, pytest.raises(NotForkable, match=IN_RESET[kind]):
        speculative.reset(seed=0)
    assert not calls and env.t == 0


def test_certify_says_so() -> None:
    result = certify(SharedBefore, act, GUESSERS, range(2), runtime="simulation")
    assert result.verdict is Verdict.NOT_FORKABLE and "SharedBefore.log" in str(result)


@pytest.mark.parametrize("runtime", VIRTUAL)
def test_the_user_may_know_better(runtime: str) -> None:
    with wrapped(UnseenClassNumber(1.0), runtime) as env:
        with pytest.warns(RuntimeWarning, match="decides nothing .* pass rehearse=False, prove_every=0"):
            episode(env, env.act)
    with wrapped(UnseenClassNumber(1.0), runtime, rehearse=False, prove_every=0) as env:
        assert episode(env, env.act) == episode(Desk(), act)
        assert env.statistics.rehearsal == "none" and env.statistics.proofs == 0 and env.statistics.stopped is None


class Faithful(Desk):
    """Fills a cache of its class, makes a thing that is made once, and draws from its own generator."""

    cache: ClassVar[dict[int, float]] = {}
    screen: Any = None

    def after(self):
        type(self).screen = self.screen or object()
        return self.cache.setdefault(self.t, 1.5) + self.np_random.integers(3)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_environments_that_keep_to_the_rules_are_proven_and_go_on(runtime: str) -> None:
    with wrapped(Faithful(0.0 if runtime == "threads" else 1.0), runtime) as env:
        assert episode(env, env.act) == episode(Faithful(), act)
        statistics = env.statistics
        assert (statistics.rehearsal, statistics.proofs, statistics.proof_differences) == ("passed", 4, 0)
        assert statistics.divergences == 0 and statistics.stopped is None


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_environment_that_samples_its_own_space_goes_on_as_in_the_plain_loop(runtime: str, guard: bool) -> None:
    with wrapped(SamplesItsSpace(0.0 if runtime == "threads" else 1.0), runtime, guard=guard) as env:
        assert episode(env, env.act) == episode(SamplesItsSpace(), act)
        assert env.statistics.divergences == 0 and env.statistics.stopped is None


class HeldByTheModule(Desk):
    """The wrapper and the environment are variables of the module in which the environment is defined."""


def test_a_wrapper_in_a_variable_of_the_module_is_no_change() -> None:
    global WRAPPER, GUESSERS_HERE
    GUESSERS_HERE = {"policy": Both(), "world": Learns()}
    with make(HeldByTheModule(), with_latency(act, 0.0), guessers=GUESSERS_HERE, runtime="threads") as WRAPPER:
        assert episode(WRAPPER, WRAPPER.act) == episode(Desk(), act)
        assert WRAPPER.statistics.stopped is None


class Learns(Both):
    """A guesser that keeps what it has seen, on worker threads."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def observe(self, call: Call, response: Any) -> None:
        self.seen.append(response)


WRAPPER: Any = None
GUESSERS_HERE: dict[str, Any] = {}


class GoesOn(Desk):
    """Goes on without the response where its handler has failed: no fork could know that."""

    def step(self, action: int) -> Any:
        try:
            response = self.ask(Call("world", self.t))
        except OSError:
            response = self.ask(Call("world", -1 - self.t))
        self.t += 1
        self.x += response
        return np.array([self.x / 7, self.t]), float(self.x), self.t >= 12, False, {}


@pytest.mark.parametrize("runtime", VIRTUAL)
def test_a_failed_call_that_the_environment_catches_is_nobodys_fault(runtime: str) -> None:
    def world(query: int, cancel: Any = None) -> int:
        if query >= 0 and query % 3 == 1:
            raise OSError("offline")
        return query % 5

    plain, env = GoesOn(), GoesOn()
    plain.handlers = {"world": world}
    env.handlers = {"world": with_latency(world, 1.0)}
    with wrapped(env, runtime) as speculative:  # warnings are errors here
        assert episode(speculative, speculative.act) == episode(plain, act)
        assert speculative.statistics.divergences > 0 and speculative.statistics.stopped is None


@pytest.mark.parametrize("is_limited", [False, True])
@pytest.mark.parametrize("runtime", VIRTUAL)
def test_what_the_user_changes_is_nobodys_fault_and_looked_for_once_it_has_shown(
    runtime: str, is_limited: bool
) -> None:
    """The user has the environment from before it was wrapped, and changes it before or after the policy decides."""
    plain, held = Desk(), Desk(1.0)
    with wrapped(gym.wrappers.TimeLimit(held, 99) if is_limited else held, runtime) as env:
        for _ in range(2):
            observation, expected = env.reset(seed=0)[0], plain.reset(seed=0)[0]
            for number in range(8):
                plain.x += number % 4 * 5
                held.x += number % 4 * 5 * (number % 2)
                action = env.act(observation)
                held.x += number % 4 * 5 * (1 - number % 2)
                observation, expected = env.step(action)[0], plain.step(act(expected))[0]
                assert observation.tolist() == expected.tolist()
        assert env.statistics.divergences == 1 and env.statistics.stopped is None
        assert env.statistics.hits > 16


@pytest.mark.parametrize("runtime", VIRTUAL)
def test_a_reset_that_draws_from_entropy_is_no_fault(runtime: str) -> None:
    class Begins(Desk):
        def begin(self):
            self.x = int(np.random.default_rng().integers(10**6))

    with wrapped(Begins(1.0), runtime) as env, warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            episode(env, env.act)
        assert env.statistics.stopped is None


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record.getMessage())


LOG = logging.Logger("of the desk")
LOG.addHandler(Records())


class Logs(Desk):
    """Logs its steps, in a logger of its module whose handler keeps them."""

    def before(self):
        LOG.info("asks")

    def after(self):
        LOG.info("has asked")
        return 0


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_is_logged_is_no_change(runtime: str) -> None:
    with wrapped(Logs(0.0 if runtime == "threads" else 1.0), runtime) as env, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert episode(env, env.act) == episode(Desk(), act)
        assert env.statistics.stopped is None and env.statistics.rehearsal == "passed"


def test_what_other_threads_change_is_not_the_steps() -> None:
    """Handlers count their calls in the module in which the environment is defined."""

    def world(query: int, cancel: Any = None) -> int:
        HISTORY.append(query)
        return query % 3

    env = Desk()
    env.handlers = {"world": world}
    with wrapped(env, "threads") as speculative, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert episode(speculative, speculative.act) == episode(Desk(), act)


class DrawsOften(Desk):
    """Draws in each step, and keeps objects of its own: forks of it look different, and are not."""

    def begin(self):
        self.kept: list[Any] = [Both(), {"seen": {1, 2}}, np.zeros(3)]

    def after(self):
        self.kept[2][0] += 1
        return int(self.np_random.integers(3))


@pytest.mark.parametrize("runtime", VIRTUAL)
def test_a_change_by_the_user_is_told_apart_from_a_fork_that_leaves_something_out(runtime: str) -> None:
    held = DrawsOften(1.0)
    with wrapped(held, runtime) as env, warnings.catch_warnings():
        warnings.simplefilter("error")
        observation, _ = env.reset(seed=0)
        for _ in range(8):
            held.x += 5
            observation, *_ = env.step(env.act(observation))
        assert env.statistics.stopped is None and env.statistics.divergences == 1
    with wrapped(ForgetfulFork(1.0), runtime) as env, pytest.warns(RuntimeWarning, match="leaves something out"):
        env.step(env.act(env.reset(seed=0)[0]))
    assert env.statistics.divergences == 1
