"""verifiers plays the environments through OpenEnv: its taskset loads, and its loop plays an episode to the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import pytest

import spec_envs  # noqa: F401  (registers the environments)
from spec_envs.asgi_server import Served

openenv: Any = pytest.importorskip("verifiers.v1.tasksets.openenv", reason="needs verifiers: make hubs")
pytest.importorskip("openenv", reason="needs the extra openenv: make hubs")
from spec_envs.integrations.openenv import openenv_app  # noqa: E402

pytestmark = [pytest.mark.hubs, pytest.mark.filterwarnings("ignore")]


class Player:
    """Stands in for verifiers' agent: says what it is told to, and keeps what it was shown."""

    def __init__(self, *says: str) -> None:
        self.says, self.shown = iter(says), list[Any]()
        self.rewards: dict[str, float] = {}
        self.trace = SimpleNamespace(record_reward=self.rewards.__setitem__, stop=lambda why: None)

    @contextlib.asynccontextmanager
    async def interaction(self, task: Any) -> AsyncIterator[Player]:
        yield self

    async def turn(self, text: str) -> Any:
        self.shown.append(json.loads(text))
        return SimpleNamespace(terminated=False, last_reply=next(self.says))


def test_a_taskset_of_a_served_environment_is_played(closing):
    address = closing(Served(openenv_app(lambda: gym.make("SpecSearch-v0")), websockets=True)).address
    resets = [{"seed": 0, "options": {"question": "test-1"}}, {"seed": 3}]
    tasks = list(openenv.OpenEnvTaskset(openenv.OpenEnvConfig(base_url=address, resets=resets)).load())
    assert [task.data.reset for task in tasks] == resets
    player = Player("search[Tallow]", '```\n{"action": "lookup[a]"}\n```', '{"action": "finish[Nobody]"}')
    loop = openenv.OpenEnvEnv.run  # without verifiers' models and its servers, which it does not use
    asyncio.run(loop(None, tasks[0], SimpleNamespace(player=player)))
    assert player.rewards == {"openenv_reward": 0.0}
    schema, last = player.shown[0]["action_schema"], player.shown[-1]["observation"]
    assert schema["required"] == ["action"] and schema["properties"]["action"]["type"] == ["string", "object"]
    assert [each["action"] for each in json.loads(last["observation"]["transcript"])] == ["search[Tallow]", "lookup[a]"]
