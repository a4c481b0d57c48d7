"""Several tool calls in one streamed answer: their reads start as each is complete, and change nothing but time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import pytest

from spec_envs import CancelToken
from spec_envs.agents import ChatPolicy
from spec_envs.agents.llm import ChatModel, ChatRequest, Completion, ToolRequest
from spec_envs.asgi_server import Served
from spec_envs.benchmarks.serving import ModelServer
from spec_envs.retail.queries import ToolQuery, instant_tools
from spec_envs.retail.tools.tool import ToolResponse
from spec_envs.wrappers import SpeculativeWrapper
from tests.agents.fixed_server import delta, sse

NOBODY = ToolRequest("find_user_id_by_email", '{"email": "nobody@example.com"}')
NO_ORDER = ToolRequest("get_order_details", '{"order_id": "#W0"}')
CALLS = (NOBODY, NO_ORDER)


class Tools:
    """The shop's tools; knows which of them have begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.changed = threading.Condition()

    def __call__(self, query: ToolQuery) -> ToolResponse:
        with self.changed:
            self.begun.append(query.name)
            self.changed.notify_all()
        return instant_tools(query)

    def have_begun(self, *names: str) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: set(names) <= set(self.begun), 60.0)


class GatedServer:
    """A model that says the calls one by one, each only when the tools before it have begun, and then ends."""

    def __init__(self, tools: Tools, *, gated: bool) -> None:
        self.tools = tools
        self.gated = gated
        self.was_early = True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body", False):
            pass
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for index, call in enumerate(CALLS):
            piece = {"index": index, "id": f"id{index}", "function": {"name": call.name, "arguments": call.arguments}}
            body = sse(delta(tool_calls=[piece]), done=False)
            await send({"type": "http.response.body", "body": body, "more_body": True})
            if self.gated:
                early = await asyncio.to_thread(self.tools.have_begun, *(each.name for each in CALLS[: index + 1]))
                self.was_early = self.was_early and early
        await send({"type": "http.response.body", "body": sse(delta("tool_calls"))})


@contextlib.contextmanager
def shop(*, gated: bool) -> Iterator[tuple[Tools, GatedServer, gym.Env[Any, Any], ChatPolicy]]:
    tools = Tools()
    server = GatedServer(tools, gated=gated)
    env = gym.make("SpecRetail-v0", task_index=0, tools=tools)
    with Served(server) as served, ChatModel("m", base_url=f"{served.address}/v1") as model:
        yield tools, server, env, ChatPolicy(model, "retail-calls")


def messages_after_a_step(env: gym.Env[Any, Any], act: Any) -> list[Any]:
    observation, _ = env.reset(seed=0)
    observation, *_ = env.step(act(observation))
    return list(json.loads(observation["dialogue"]))


def test_reads_start_while_the_model_still_writes() -> None:
    with shop(gated=False) as (tools, _, env, policy):
        plain = messages_after_a_step(env, policy)
        assert tools.begun == [call.name for call in CALLS]
    with shop(gated=True) as (tools, server, env, policy):
        prefetchers = {"policy": policy.prefetcher()}
        with SpeculativeWrapper(env, policy, prefetchers=prefetchers, guard=False) as wrapped:
            assert messages_after_a_step(wrapped, wrapped.act) == plain
        assert server.was_early
        assert sorted(tools.begun) == sorted(call.name for call in CALLS)  # each read is made once
        assert wrapped.statistics.prefetch_used == wrapped.statistics.prefetched == len(CALLS)
    assert [message["role"] for message in plain] == ["user", *["assistant", "tool"] * len(CALLS)]


def test_the_served_model_says_several_calls() -> None:
    def model(request: ChatRequest) -> Completion:
        return Completion(tool_calls=CALLS, finish_reason="tool_calls")

    env = gym.make("SpecRetail-v0", task_index=0)
    with ModelServer(model, name="m") as server, ChatModel("m", base_url=server.base_url) as chat:
        policy = ChatPolicy(chat, "retail-calls")
        plain = messages_after_a_step(env, policy)
        with SpeculativeWrapper(
            gym.make("SpecRetail-v0", task_index=0), policy, prefetchers={"policy": policy.prefetcher()}, guard=False
        ) as wrapped:
            assert messages_after_a_step(wrapped, wrapped.act) == plain
        assert policy(env.reset(seed=0)[0]) == [
            {"name": call.name, "arguments": json.loads(call.arguments)} for call in CALLS
        ]
        single = ChatPolicy(chat, "retail")
        assert single(env.reset(seed=0)[0]) == {"name": NOBODY.name, "arguments": json.loads(NOBODY.arguments)}


@pytest.mark.parametrize("failing", [False, True])
def test_an_answer_that_is_of_no_use_ends_the_prefetching(failing: bool) -> None:
    def model(request: ChatRequest, cancel: CancelToken) -> Completion:
        cancel.tell(ToolRequest("no_such_tool", "{}"))
        cancel.tell(NOBODY)
        if failing:
            raise ValueError("broken")
        return Completion(text="Hello.")

    policy = ChatPolicy(model, "retail-calls")
    with SpeculativeWrapper(
        gym.make("SpecRetail-v0", task_index=0), policy, prefetchers={"policy": policy.prefetcher()}, guard=False
    ) as wrapped:
        observation, _ = wrapped.reset(seed=0)
        if failing:
            with pytest.raises(ValueError, match="broken"):
                wrapped.act(observation)
        else:
            assert wrapped.act(observation) == "Hello."


def test_a_policy_with_a_prefetcher_can_be_pickled() -> None:
    policy = ChatPolicy(ChatModel("m", base_url="http://127.0.0.1:1"), "retail-calls")
    policy.prefetcher()
    twin = pickle.loads(pickle.dumps(policy))
    assert twin.prefetcher() is twin.prefetcher() is not policy.prefetcher()
