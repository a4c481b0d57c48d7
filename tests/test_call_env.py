"""``CallEnv``: asking, scripts, forks, and the handlers that an environment owns."""

import gc
import itertools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from spec_envs import Call, CallEnv, CancelToken
from spec_envs.call_env import Script
from spec_envs.errors import CallPending, EnvClosed, InvalidConfiguration, NotForkable, UnknownHandler
from spec_envs.testing import FakeEnv


class Resource:
    """A handler that knows whether it was closed."""

    def __init__(self):
        self.closed = 0

    def __call__(self, query):
        return 0

    def close(self):
        self.closed += 1


@pytest.fixture
def resource():
    return Resource()


@pytest.fixture
def owner(resource):
    env = FakeEnv({"world": resource}, owned=["world"])
    env.reset(seed=0)
    return env


def test_fake_env_passes_gymnasiums_own_check():
    check_env(FakeEnv(calls_in_reset=1, calls_per_step=2), skip_render_check=True)


def test_ask_runs_the_handler_with_the_query():
    env: CallEnv = CallEnv({"double": lambda query: 2 * query})
    assert env.ask(Call("double", 21)) == 42


def test_a_handler_with_a_cancel_parameter_gets_a_token():
    env: CallEnv = CallEnv({"tool": lambda query, cancel: isinstance(cancel, CancelToken)})
    assert env.ask(Call("tool", 1)) is True


def test_an_unknown_handler_is_named_with_those_there_are():
    env: CallEnv = CallEnv({"tool": str, "fetch": str})
    with pytest.raises(UnknownHandler, match="CallEnv has no handler 'user'; it has: fetch, tool"):
        env.ask(Call("user", 1))
    with pytest.raises(UnknownHandler, match="it has: none"):
        CallEnv({}).handler("user")


def test_owned_names_must_be_handlers():
    with pytest.raises(InvalidConfiguration, match=r"owned names \['engine'\], but the handlers are \['tool'\]"):
        CallEnv({"tool": str}, owned=["engine"])


def test_a_script_answers_in_order_and_then_says_which_call_is_pending():
    env: CallEnv = CallEnv({"tool": str})
    env.answer_with(Script(["a", "b"]))
    assert [env.ask(Call("tool", 1)), env.ask(Call("tool", 2))] == ["a", "b"]
    with pytest.raises(CallPending) as pending:
        env.ask(Call("tool", 3))
    assert pending.value.call == Call("tool", 3)
    env.answer_with(None)
    assert env.ask(Call("tool", 4)) == "4"


def test_call_pending_is_not_swallowed_by_an_except_exception():
    assert not issubclass(CallPending, Exception)


def test_a_step_is_replayed_from_its_snapshot_with_a_longer_script():
    env = FakeEnv(calls_per_step=3)
    env.reset(seed=5)
    snapshot = env.fork()
    expected = env.step(2)
    script: list[int] = []
    asked = []
    while True:
        branch = snapshot.fork()
        branch.answer_with(Script(script))
        try:
            assert branch.step(2) == expected
            break
        except CallPending as pending:
            asked.append(pending.call)
            script.append(env.handler("world")(pending.call.query, CancelToken()))
    assert len(asked) == 3
    assert branch.fingerprint() == env.fingerprint()


def test_an_error_of_a_handler_leaves_the_environment_as_it_was():
    env = FakeEnv({"world": lambda query: 1 / 0})
    env.reset(seed=0)
    before = env.fingerprint()
    with pytest.raises(ZeroDivisionError):
        env.step(0)
    assert env.fingerprint() == before


def test_a_closed_environment_refuses_everything_but_close(owner):
    owner.close()
    owner.close()
    with pytest.raises(EnvClosed, match="FakeEnv was closed; make a new one"):
        owner.step(0)
    with pytest.raises(EnvClosed, match="FakeEnv was closed and cannot be forked"):
        owner.fork()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_owned_handlers_are_closed_once_with_the_last_fork_in_any_order(owner, resource, order):
    envs = [owner, owner.fork()]
    envs.append(envs[1].fork())
    for number in order:
        assert resource.closed == 0
        envs[number].close()
    assert resource.closed == 1


def test_owned_handlers_are_closed_when_the_last_fork_is_dropped(owner, resource):
    twin = owner.fork()
    owner.close()  # and still held by the test
    assert resource.closed == 0
    del twin
    gc.collect()
    assert resource.closed == 1


def test_handlers_are_not_closed_while_a_fork_of_a_dropped_parent_lives(resource):
    env = FakeEnv({"world": resource}, owned=["world"])
    twin = env.fork()
    del env
    gc.collect()
    assert resource.closed == 0
    twin.close()
    assert resource.closed == 1


def test_handlers_that_are_not_owned_stay_open(resource):
    env = FakeEnv({"world": resource})
    env.fork().close()
    env.close()
    assert resource.closed == 0


def test_all_owned_handlers_are_closed_when_one_of_them_fails(resource):
    class Broken(Resource):
        def close(self):
            raise OSError("stuck")

    env: CallEnv = CallEnv({"a": resource, "b": Broken(), "c": (third := Resource())}, owned=["a", "b", "c"])
    with pytest.raises(OSError, match="stuck"):
        env.close()
    assert (resource.closed, third.closed) == (1, 1)


def test_a_fork_draws_what_its_parent_draws():
    env = FakeEnv()
    env.reset(seed=3)
    twin = env.fork()
    assert [env.np_random.random() for _ in range(5)] == [twin.np_random.random() for _ in range(5)]
    assert env.np_random_seed == twin.np_random_seed == 3


def test_a_generator_is_built_only_for_a_fork_that_draws():
    env = FakeEnv()
    env.reset(seed=3)
    twin = env.fork().fork()
    assert twin._np_random is None
    assert twin.rng_state() == env.rng_state()
    assert twin._np_random is None
    twin.np_random.random()
    assert twin.rng_state() != env.rng_state()


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_any_bit_generator_is_copied_exactly_with_what_it_spawns(bits):
    env = FakeEnv()
    env.np_random = np.random.Generator(bits(7))
    env.np_random.integers(10, dtype=np.int32)  # leaves half a draw in the buffer
    env.np_random.spawn(1)
    twin = env.fork()
    assert env.np_random.integers(10, size=9, dtype=np.int32).tolist() == (
        twin.np_random.integers(10, size=9, dtype=np.int32).tolist()
    )
    assert env.np_random.spawn(1)[0].random() == twin.np_random.spawn(1)[0].random()


def test_fork_before_reset_works_and_creates_no_generator():
    env = FakeEnv()
    twin = env.fork()
    assert env._np_random is None and env.rng_state() is None
    assert env.reset(seed=1) == twin.reset(seed=1)
    assert env.step(1) == twin.step(1)


class Rich(CallEnv):
    """Keeps all sorts of state."""

    shared_on_fork = frozenset({"book"})

    def __init__(self):
        super().__init__({})
        self.action_space = self.observation_space = gym.spaces.Discrete(2)
        self.book = ["never changed"]
        self.moves = ["e4"]
        self.same_moves = self.moves
        self.on_move = self.moves.append
        self.count = lambda: len(self.moves)


def test_a_fork_copies_what_changes_and_shares_what_does_not():
    env = Rich()
    twin = env.fork()
    assert twin.book is env.book and twin.action_space is env.action_space and twin.handlers is env.handlers
    assert twin.moves is twin.same_moves and twin.moves is not env.moves
    twin.on_move("e5")
    assert (twin.moves, env.moves) == (["e4", "e5"], ["e4"])
    assert (twin.count(), env.count()) == (2, 1)


def test_an_attribute_that_cannot_be_copied_is_named():
    env: Any = Rich()
    env.lines = (line for line in "ab")
    with pytest.raises(NotForkable, match=r"Rich.lines is a builtins.generator, which cannot be copied"):
        env.fork()
