"""The thread runtime. Nothing here sleeps: gates open one after the other, and time-outs are only a safety net."""

from __future__ import annotations

import contextvars
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from spec_envs import Call, CancelToken, Effect, Guess
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.wrappers import HandlerLimit, Limits, SpeculativeWrapper, ThreadRuntime
from spec_envs.wrappers.runtimes.base import Job
from tests.wrappers.loops import PERFECT, Answers, choose, play

SAFETY_S = 30.0


VARIABLE: contextvars.ContextVar[int] = contextvars.ContextVar("VARIABLE", default=0)


def wait_for(event: threading.Event) -> None:
    assert event.wait(SAFETY_S), "a gate did not open: something that should run in parallel does not"


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("speculation-")]


class Gated:
    """A handler whose calls can be held back; counts those that are inside."""

    def __init__(self, function: Callable[[Any], Any] = pure_response) -> None:
        self._function = function
        self._changed = threading.Condition()
        self.open = threading.Event()
        self.threads: list[threading.Thread] = []
        self.inside = 0
        self.most_inside = 0

    def __call__(self, query: Any) -> Any:
        with self._changed:
            self.threads.append(threading.current_thread())
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            self._changed.notify_all()
        try:
            wait_for(self.open)
            return self._function(query)
        finally:
            with self._changed:
                self.inside -= 1
                self._changed.notify_all()

    def wait_until_inside(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.inside >= count, SAFETY_S), f"{self.inside} calls of {count}"


class Any4:
    """Guesses all four responses."""

    def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(response, 0.25) for response in range(4)]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    left = workers()
    for thread in left:  # so that the next test does not fail too
        thread.join(SAFETY_S)
    assert left == []


def let_go(world: Gated) -> None:
    """Let the calls end that were left behind."""
    world.open.set()
    for thread in workers():
        thread.join(SAFETY_S)


def test_the_authoritative_call_runs_in_the_callers_thread():
    threads: list[threading.Thread] = []

    def world(query: Any) -> int:
        threads.append(threading.current_thread())
        return pure_response(query)

    with SpeculativeWrapper(FakeEnv({"world": world}, effects=[Effect.WRITE])) as env:
        env.reset(seed=0)
        for _ in range(3):
            env.step(0)
    assert threads == [threading.current_thread()] * 3


def test_a_guessed_branch_runs_while_the_authoritative_call_is_blocked():
    decided = threading.Event()

    def policy(observation: str) -> int:
        # The answer of the world for the step behind this decision is known before the decision is made.
        wait_for(decided)
        return choose(observation)

    def world(query: Any) -> int:
        decided.set()
        return pure_response(query)

    guessers = {"policy": Answers(choose)}
    with SpeculativeWrapper(FakeEnv({"world": world}), policy, guessers=guessers, guard=False) as env:
        observation, _ = env.reset(seed=0)
        env.act(observation)
        assert env.statistics.hits == 0  # counted when the step is made
        assert env.step(choose(observation))[-1]["speculation"]["hits"] >= 1


def test_a_call_that_ignores_its_token_delays_nobody_and_its_response_is_dropped():
    release, ignoring, ended = threading.Event(), threading.Event(), threading.Event()
    right = choose(";")

    def world(query: Any) -> Any:
        if query[1] != right:
            ignoring.set()
            wait_for(release)
            ended.set()
            return "dropped"
        return pure_response(query)

    def policy(observation: str) -> int:
        if observation == ";":
            wait_for(ignoring)  # the branch on the wrong action is under way
        return right

    env = SpeculativeWrapper(
        FakeEnv({"world": world}), policy, guessers={"policy": Answers(lambda query: right ^ 1)}, guard=False
    )
    assert play(env, env.act) == play(FakeEnv(), lambda observation: right)  # although it still runs
    assert not ended.is_set()
    release.set()
    env.close()  # it waits for the call, and has nothing to warn about
    assert ended.is_set()
    assert env.statistics.calls["open"] == 0
    assert env.statistics.calls["cancelled"] >= 1


def test_close_warns_about_a_call_that_still_runs(monkeypatch):
    monkeypatch.setattr("spec_envs.wrappers.runtimes.threads._CLOSE_S", 0.0)
    world = Gated()
    env = SpeculativeWrapper(FakeEnv({"world": world}), guessers={"policy": Answers(choose)}, guard=False)
    env.reset(seed=0)
    world.wait_until_inside(1)
    with pytest.warns(
        RuntimeWarning, match="call\\(s\\) ignore their cancel token and still run after close\\(\\): .*world"
    ):
        env.close()
    let_go(world)
    assert env.statistics.calls == {"committed": 0, "wasted": 0, "cancelled": 1, "failed": 0, "open": 0}


def test_a_warning_turned_into_an_error_leaves_nothing_open(monkeypatch):
    monkeypatch.setattr("spec_envs.wrappers.runtimes.threads._CLOSE_S", 0.0)
    closed = threading.Event()

    class Env(FakeEnv):
        def close(self) -> None:
            super().close()
            closed.set()

    world = Gated()
    env = SpeculativeWrapper(Env({"world": world}), guessers={"policy": Answers(choose)}, guard=False)
    env.reset(seed=0)
    closed.clear()  # forks were closed
    world.wait_until_inside(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            env.close()
    let_go(world)
    assert closed.is_set()


@pytest.mark.parametrize("cooperates", [True, False])
def test_a_hanging_guesser_delays_nobody(cooperates):
    release, asked = threading.Event(), threading.Event()

    class Hanging:
        def guess(self, call: Call, k: int, cancel: CancelToken) -> list[Guess]:
            asked.set()
            if cooperates:
                cancel.sleep(float("inf"))
            wait_for(release)
            return []

    env = SpeculativeWrapper(FakeEnv(), choose, guessers={"world": Hanging(), "policy": Hanging()}, guard=False)
    assert play(env, env.act) == play(FakeEnv(), choose)
    wait_for(asked)
    release.set()
    env.close()
    assert env.statistics.guesses["open"] == 0


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_max_inflight_is_honoured_and_the_authoritative_call_has_its_own_place(limit):
    world = Gated()
    env = SpeculativeWrapper(
        FakeEnv({"world": world}), guessers={"policy": Any4()}, k=4, max_inflight=limit, guard=False
    )
    env.reset(seed=0)
    world.wait_until_inside(limit)  # all places are taken, and blocked
    done = threading.Event()
    # The last guess of equal probability has no place, unless there are four.
    before = len(world.threads)
    stepper = threading.Thread(target=lambda: (env.step(3), done.set()))
    stepper.start()
    world.wait_until_inside(limit + 1)
    assert world.threads[before] is stepper  # at once, in the caller's thread
    world.open.set()
    wait_for(done)
    stepper.join(SAFETY_S)
    assert world.most_inside <= limit + 1
    env.close()


def test_a_limit_of_one_handler_keeps_a_place_for_the_authoritative_call():
    world = Gated()
    limits = Limits(max_inflight=10, per_handler={"world": HandlerLimit(max_inflight=3)})
    env = SpeculativeWrapper(FakeEnv({"world": world}), guessers={"policy": Any4()}, k=4, limits=limits, guard=False)
    env.reset(seed=0)
    world.wait_until_inside(2)
    stepper = threading.Thread(target=env.step, args=[3])
    stepper.start()
    world.wait_until_inside(3)
    assert world.threads[2] is stepper
    world.open.set()
    stepper.join(SAFETY_S)
    assert world.most_inside == 3
    env.close()


def test_ctrl_c_in_the_authoritative_call_leaves_a_usable_wrapper():
    interrupt = [True]

    def policy(observation: str) -> int:
        if threading.current_thread() is threading.main_thread() and interrupt:
            interrupt.clear()
            raise KeyboardInterrupt
        return choose(observation)

    with SpeculativeWrapper(FakeEnv(), policy, guessers={"world": Answers(pure_response)}, max_inflight=0) as env:
        observation, _ = env.reset(seed=0)
        with pytest.raises(KeyboardInterrupt):
            env.act(observation)
        assert env.act(observation) == choose(observation)
        assert play(env, env.act, 1) == play(FakeEnv(), choose, 1)


def test_ctrl_c_in_a_step_leaves_a_usable_wrapper():
    interrupt = [True]

    def world(query: Any) -> int:
        if interrupt:
            interrupt.clear()
            raise KeyboardInterrupt
        return pure_response(query)

    with SpeculativeWrapper(FakeEnv({"world": world}), choose, max_inflight=0) as env:
        other = FakeEnv()
        observation, _ = env.reset(seed=0)
        action = env.act(observation)
        with pytest.raises(KeyboardInterrupt):
            env.step(action)
        other.reset(seed=0)
        assert env.step(action)[:4] == other.step(action)[:4]


@pytest.mark.parametrize("has_started", [False, True])
def test_ctrl_c_while_a_worker_starts_leaves_a_usable_wrapper(has_started, monkeypatch):
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if threading.current_thread() is not threading.main_thread():
            return start(thread)
        if has_started:
            start(thread)
        signal.raise_signal(signal.SIGINT)

    env = SpeculativeWrapper(FakeEnv(), choose, guessers=PERFECT, max_inflight=3, guard=False)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(threading.Thread, "start", interrupted)
        play(env, env.act, 1)
    assert play(env, env.act, 2) == play(FakeEnv(), choose, 2)
    env.close()
    assert workers() == []


def test_two_wrappers_at_once():
    both = threading.Barrier(2)
    seen: dict[int, Any] = {}

    def episode(seed: int) -> None:
        def policy(observation: str) -> int:
            if observation == ";":
                both.wait(SAFETY_S)  # each waits for the other one's policy
            return choose(observation)

        with SpeculativeWrapper(FakeEnv(), policy, guessers={"world": Answers(pure_response)}, guard=False) as env:
            seen[seed] = play(env, env.act, seed)

    threads = [threading.Thread(target=episode, args=[seed]) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SAFETY_S)
    assert seen == {seed: play(FakeEnv(), choose, seed) for seed in (1, 2)}


def test_learning_that_fails_or_takes_long_disturbs_nobody():
    release, taught = threading.Event(), threading.Event()

    class Slow(Any4):
        def observe(self, call: Call, response: Any) -> None:
            taught.set()
            wait_for(release)
            raise RuntimeError("and it learns nothing")

    env = SpeculativeWrapper(FakeEnv(), choose, guessers={"world": Slow()}, k=4, guard=False)
    assert play(env, env.act) == play(FakeEnv(), choose)
    wait_for(taught)
    assert not release.is_set()
    release.set()
    env.close()
    assert env.statistics.guesses["not_learned"] >= 1


def test_a_guesser_is_taught_in_order():
    learned: list[Any] = []

    class Learner(Any4):
        def observe(self, call: Call, response: Any) -> None:
            learned.append((call.query, response))

    with SpeculativeWrapper(FakeEnv(), choose, guessers={"world": Learner()}, k=4, guard=False) as env:
        play(env, env.act)
    assert [query[0].count(":") for query, _ in learned] == list(range(10))
    assert all(pure_response(query) == response for query, response in learned)


def test_threads_are_bounded_and_end_with_close():
    runtime = ThreadRuntime()
    env = SpeculativeWrapper(FakeEnv(), choose, guessers=PERFECT, max_inflight=2, runtime=runtime, guard=False)
    for seed in range(5):
        play(env, env.act, seed)
        # Two calls, three guessers, one that teaches; a worker that has just delivered may not be idle again yet.
        assert len(workers()) <= 4 * (2 + 3 + 1)
    env.close()
    assert workers() == []


def test_workers_have_the_context_variables_of_whoever_starts_a_job() -> None:
    runtime, seen, over = ThreadRuntime(), list[int](), threading.Event()

    def function(token: CancelToken) -> int:
        VARIABLE.set(VARIABLE.get() + 1)  # nobody else sees it
        return VARIABLE.get()

    def deliver(value: Any, error: BaseException | None) -> None:
        seen.extend((value, VARIABLE.get()))
        if len(seen) == 4:
            over.set()
        else:
            runtime.spawn(Job("second", function, deliver, runtime.token()))

    variables = contextvars.copy_context()
    variables.run(VARIABLE.set, 7)
    variables.run(lambda: runtime.spawn(Job("first", function, deliver, runtime.token())))
    wait_for(over)
    runtime.close()
    assert seen == [8, 7, 8, 7]
    assert VARIABLE.get() == 0
