"""An environment behind a server of OpenEnv is the same environment, step by step and error by error."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import spec_envs
from spec_envs import Guess
from spec_envs.agents import ScriptedSearchPolicy
from spec_envs.asgi_server import Served
from spec_envs.errors import InvalidAction, InvalidConfiguration, NotForkable, ResetNeeded
from spec_envs.integrations.wire import plain
from spec_envs.search.loading import load_corpus
from spec_envs.testing import FakeEnv
from spec_envs.wrappers import AsyncSpeculativeWrapper, SpeculativeWrapper
from tests.commands import run
from tests.sources import ROOT

core: Any = pytest.importorskip("openenv.core", reason="needs the extra openenv: make hubs")
from spec_envs.integrations.openenv import RemoteEnv, openenv_app  # noqa: E402

pytestmark = pytest.mark.hubs

Make = Callable[[], Any]


@pytest.fixture
def serve(closing: Any) -> Callable[..., str]:
    def served(make: Make, **options: Any) -> str:
        return str(closing(Served(openenv_app(make, **options), websockets=True)).address)

    return served


ENVIRONMENTS: dict[str, Make] = {
    "chess": lambda: gym.make("SpecChess-v0"),
    "chess planes": lambda: gym.make("SpecChess-v0", observation="planes", action_format="index", illegal="forfeit"),
    "retail": lambda: gym.make("SpecRetail-v0"),
    "search": lambda: gym.make("SpecSearch-v0"),
    "tuning": lambda: gym.make("SpecTuning-v0"),
    "tuning box": lambda: gym.make("SpecTuning-v0", action_format="box"),
    "CartPole": lambda: gym.make("CartPole-v1"),
    "Blackjack": lambda: gym.make("Blackjack-v1"),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_remote_episode_equals_a_local_one(name, serve, closing):
    make = ENVIRONMENTS[name]
    local, remote = closing(make()), closing(RemoteEnv(serve(make)))
    for seed in (0, 1):
        here, there = local.reset(seed=seed), remote.reset(seed=seed)
        local.action_space.seed(seed)
        for _ in range(12):
            assert plain(here) == plain(there)
            assert there[0] in remote.observation_space
            for one, other in zip(leaves(here[0]), leaves(there[0]), strict=True):
                assert np.asarray(one).dtype == np.asarray(other).dtype or isinstance(other, int)
            if len(here) == 5 and (here[2] or here[3]):
                break
            action = local.action_space.sample()
            here, there = local.step(action), remote.step(action)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict | tuple):
        return [leaf for part in (value.values() if isinstance(value, dict) else value) for leaf in leaves(part)]
    return [value]


def test_mappings_are_actions_as_they_are(serve, closing):
    """Also one with a key of the name under which actions are sent."""
    remote = closing(RemoteEnv(serve(lambda: gym.make("SpecSearch-v0"))))
    local = closing(gym.make("SpecSearch-v0"))
    actions: list[Any] = [
        {"name": "search", "arguments": {"entity": "Tallow"}, "thought": "Who?"},
        {"action": "search[Tallow]"},
        {"action": {"action": 1}},
    ]
    assert plain(remote.reset(seed=0)) == plain(local.reset(seed=0))
    for action in actions:
        assert plain(remote.step(action)) == plain(local.step(action))


def test_options_of_reset_and_its_other_arguments(serve):
    address = serve(lambda: gym.make("SpecSearch-v0"))
    with core.GenericEnvClient(base_url=address).sync() as client:
        told = client.reset(seed=3, episode_id="mine", options={"question": "test-2"})
        assert told.observation["info"]["question"] == "test-2" and not told.done and told.reward is None
        assert client.state() == {"episode_id": "mine", "step_count": 0, "speculation": None}
        with pytest.raises(RuntimeError, match="reset takes seed, episode_id and options, and was given 'question'"):
            client.reset(question="test-2")


class TestErrors:
    def test_an_action_that_cannot_be_read_changes_nothing(self, serve, closing):
        remote = closing(RemoteEnv(serve(lambda: gym.make("SpecTuning-v0"))))
        first, _ = remote.reset(seed=0)
        for action in ({"slice_ms": "fast"}, {"nothing": 1}, "not JSON", [1, 2, 3]):
            with pytest.raises(InvalidAction):
                remote.step(action)
        local = closing(gym.make("SpecTuning-v0"))
        local.reset(seed=0)
        assert plain(remote.step({"slice_ms": 5.0})) == plain(local.step({"slice_ms": 5.0}))
        assert first["window"] == 0

    def test_there_is_no_step_before_reset_and_none_after_the_end(self, serve, closing):
        remote = closing(RemoteEnv(serve(lambda: gym.make("SpecSearch-v0"))))
        with pytest.raises(ResetNeeded):
            remote.step("search[Tallow]")
        with core.GenericEnvClient(base_url=serve(lambda: gym.make("SpecSearch-v0"))).sync() as client:
            with pytest.raises(RuntimeError, match="ResetNeeded: there is no episode"):
                client.step({"action": "search[Tallow]"})
        remote.reset(seed=0)
        assert remote.step("finish[x]")[2]
        with pytest.raises(ResetNeeded):
            remote.step("finish[x]")

    def test_an_observation_that_json_cannot_hold_is_told_all_the_same(self, serve, closing):
        class Odd(gym.Env[Any, Any]):
            action_space = observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)

            def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
                return np.array([np.nan, np.inf]), {"self": self, "text": "\ud800"}

            def step(self, action: Any) -> Any:
                return action, float("nan"), False, False, {}

        remote = closing(RemoteEnv(serve(Odd)))
        observation, info = remote.reset()
        assert str(observation) == "[nan inf]" and info == {"self": "<Odd>", "text": "?"}
        seen, reward, *_ = remote.step(np.array([-np.inf, 1.0]))
        assert str(seen) == "[-inf   1.]" and str(reward) == "nan"

    def test_a_server_of_something_else(self, serve):
        with pytest.raises(InvalidConfiguration, match="is no server of openenv_app"):
            RemoteEnv("http://127.0.0.1:1")

    def test_an_environment_that_cannot_be_made_says_why_in_reset(self, serve):
        made: list[int] = []

        def make() -> Any:
            made.append(1)
            return gym.make("SpecSearch-v0", max_steps=1 if len(made) == 1 else 0)

        remote = RemoteEnv(serve(make, max_sessions=1))
        with pytest.raises(InvalidConfiguration, match="max_steps"):
            remote.reset()
        remote.close()

    def test_sessions_beyond_the_greatest_number_are_refused(self, serve, closing):
        address = serve(lambda: gym.make("SpecSearch-v0"), max_sessions=1)
        first, second = closing(RemoteEnv(address)), closing(RemoteEnv(address))
        first.reset(seed=0)
        with pytest.raises(Exception, match="capacity|1000"):
            second.reset(seed=0)

    def test_a_session_is_not_copied(self, serve, closing):
        remote = closing(RemoteEnv(serve(lambda: gym.make("SpecSearch-v0"))))
        for use in (spec_envs.fork, lambda env: SpeculativeWrapper(env, len)):
            with pytest.raises(NotForkable, match="put SpeculativeWrapper into the server"):
                use(remote)


class Fetching:
    """Pages, and who asked for which."""

    effect = spec_envs.Effect.READ

    def __init__(self) -> None:
        self._corpus = load_corpus("embedded")
        self.asked: list[str] = []
        self.changed = threading.Condition()
        self.closed = threading.Event()

    def __call__(self, query: Any) -> Any:
        with self.changed:
            self.asked.append(query.text)
            self.changed.notify_all()
        return self._corpus(query)

    def wait_for(self, entity: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: entity in self.asked, timeout=60)


class Foresight:
    """Guesses that ``Tallow`` is searched."""

    def guess(self, call: Any, k: int) -> list[Guess]:
        return [Guess("search[Tallow]", 0.9)]


def speculating(fetching: Fetching) -> Make:
    def make() -> Any:
        env = gym.make("SpecSearch-v0", backend=fetching)
        return SpeculativeWrapper(env, guessers={"policy": Foresight()}, guard=False)

    return make


class TestSpeculation:
    def test_it_runs_ahead_while_the_client_thinks(self, serve, closing):
        fetching = Fetching()
        remote = closing(RemoteEnv(serve(speculating(fetching))))
        remote.reset(seed=0)
        fetching.wait_for("Tallow")  # the client has not said anything
        here = remote.step("search[Tallow]")
        assert fetching.asked.count("Tallow") == 1  # nor was it asked again
        local = closing(gym.make("SpecSearch-v0"))
        local.reset(seed=0)
        there = local.step("search[Tallow]")
        here[4].pop("speculation")
        assert plain(here) == plain(there)
        told = remote.statistics
        assert told["hits"] == 1 and "1 of 1 responses guessed" in told["summary"]

    def test_the_client_is_a_policy_loop(self, serve, closing):
        """The policies of this library, and loops of others, play a remote environment as it is."""
        remote = closing(RemoteEnv(serve(speculating(Fetching()))))
        policy, done, reward = ScriptedSearchPolicy(), False, 0.0
        observation, _ = remote.reset(seed=0)
        while not done:
            observation, reward, terminated, truncated, _ = remote.step(policy(observation))
            done = terminated or truncated
        assert reward in (0.0, 1.0)

    @pytest.mark.parametrize("how", ["leaves", "vanishes"])
    def test_a_session_ends_with_its_client(self, how, serve):
        ended, reached = threading.Event(), threading.Event()

        def hanging(query: Any, cancel: Any) -> Any:
            cancel.on_cancel(ended.set)
            reached.set()
            ended.wait(60)
            cancel.raise_if_cancelled()

        def make() -> Any:
            env = gym.make("SpecSearch-v0", backend=hanging)
            return SpeculativeWrapper(env, guessers={"policy": Foresight()}, guard=False)

        client = core.GenericEnvClient(base_url=serve(make)).sync()
        client.reset(seed=0)
        assert reached.wait(60)  # the call that was made ahead hangs
        if how == "leaves":
            client.close()
        else:  # no goodbye, and no closing handshake
            client.async_client._ws.transport.abort()
        assert ended.wait(60)
        client.close()

    def test_sessions_end_with_the_server(self):
        closed = threading.Event()

        class Env(FakeEnv):
            def close(self) -> None:
                closed.set()
                super().close()

        made: list[Any] = []

        def make() -> Any:
            closed.clear()
            made.append(SpeculativeWrapper(Env(), guessers={}))
            return made[-1]

        server = Served(openenv_app(make), websockets=True)
        remote = RemoteEnv(server.address)
        remote.reset(seed=0)
        server.close()
        assert closed.wait(60)
        remote.close()

    def test_episodes_in_parallel(self, serve, closing):
        """Each session has an environment of its own, also when all of them step at once."""
        address = serve(speculating(Fetching()), max_sessions=8)
        results: dict[int, list[Any]] = {}

        def play(seed: int) -> None:
            remote = RemoteEnv(address)
            told: list[Any] = [remote.reset(seed=seed)]
            told += [remote.step(action)[:4] for action in ("search[Tallow]", "lookup[a]", "finish[x]")]
            remote.close()
            results[seed] = plain(told)

        threads = [threading.Thread(target=play, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        for seed in range(8):
            local = closing(gym.make("SpecSearch-v0"))
            told: list[Any] = [local.reset(seed=seed)]
            told += [local.step(action)[:4] for action in ("search[Tallow]", "lookup[a]", "finish[x]")]
            told[0][1]["speculation"] = results[seed][0][1].get("speculation")
            assert results[seed] == plain(told)


async def slowly(query: Any) -> int:
    await asyncio.sleep(0)
    return len(str(query))


def test_wrappers_of_an_event_loop_run_on_the_servers(serve, closing):
    remote = closing(RemoteEnv(serve(lambda: AsyncSpeculativeWrapper(FakeEnv({"world": slowly})))))
    local = closing(FakeEnv({"world": lambda query: len(str(query))}))
    here, there = remote.reset(seed=0), local.reset(seed=0)
    here[1].pop("speculation", None)
    assert plain(here) == plain(there)
    for _ in range(3):
        action = local.action_space.sample()
        here, there = remote.step(action), local.step(action)
        here[4].pop("speculation")
        assert plain(here) == plain(there)
    remote.close()


def test_the_example_runs(tmp_path):
    done = run(sys.executable, "-W", "error", ROOT / "examples/hubs/openenv_search.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "10 equal episodes" in done.stdout
