"""OpenTelemetry: what happens is sent as spans, and the branch that was committed can be told from the others."""

from __future__ import annotations

import asyncio
import collections
import subprocess
import sys
from typing import Any

import gymnasium as gym
import pytest

from spec_envs import CancelToken, Effect, Usage
from spec_envs.agents import ChatModel, ChatPolicy, NGramGuesser
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import declared
from spec_envs.testing import FakeEnv
from spec_envs.wrappers import AsyncSpeculativeWrapper, SpeculativeTools, SpeculativeWrapper
from spec_envs.wrappers.handlers import retry, with_latency
from spec_envs.wrappers.telemetry import Spans
from spec_envs.wrappers.tools import BlockingTools, ToolLimits
from tests.wrappers.loops import Answers, choose, make, play, virtual  # noqa: F401  (a fixture)
from tests.wrappers.test_trace import busy

sdk = pytest.importorskip("opentelemetry.sdk.trace")
export = pytest.importorskip("opentelemetry.sdk.trace.export")
memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")


class Collected:
    """A tracer provider, and what it was sent."""

    def __init__(self) -> None:
        self._exporter = memory.InMemorySpanExporter()
        self.provider = sdk.TracerProvider()
        self.provider.add_span_processor(export.SimpleSpanProcessor(self._exporter))

    def __iter__(self):
        return iter(self._exporter.get_finished_spans())

    def named(self, start: str) -> list[Any]:
        return [span for span in self if span.name.startswith(start)]

    def outcomes(self, start: str) -> collections.Counter[str]:
        return collections.Counter(span.attributes["spec_envs.outcome"] for span in self.named(start))


@pytest.fixture
def collected() -> Collected:
    return Collected()


@pytest.mark.usefixtures("virtual")
class TestEpisodes:
    @pytest.fixture
    def env(self, collected) -> SpeculativeWrapper[Any, Any]:
        return busy(otel=collected.provider)

    def test_are_spans_that_hold_all_others(self, env, collected):
        episodes = collected.named("invoke_agent FakeEnv")
        assert len(episodes) == 3 and all(span.parent is None for span in episodes)
        assert {span.attributes["gen_ai.operation.name"] for span in episodes} == {"invoke_agent"}
        ids = {span.context.span_id for span in episodes}
        others = [span for span in collected if span not in episodes]
        assert others and all(span.parent.span_id in ids for span in others)

    def test_calls_are_spans_with_their_outcomes_times_and_costs(self, env, collected):
        counts = env.statistics.calls
        outcomes = collected.outcomes("call ") + collected.outcomes("execute_tool ")
        assert outcomes["committed"] == counts["committed"] and outcomes["cancelled"] == counts["cancelled"]
        assert outcomes["wasted"] == counts["wasted"] and sum(outcomes.values()) == sum(counts.values())
        done = [span for span in collected.named("call policy") if span.attributes["spec_envs.outcome"] != "cancelled"]
        assert {span.attributes["gen_ai.usage.output_tokens"] for span in done} == {100}
        assert {span.end_time - span.start_time for span in done} == {4_000_000_000}

    def test_the_committed_branch_can_be_told_from_the_others(self, env, collected):
        commits = collected.named("commit ")
        calls = {span.context.span_id: span for span in collected if "spec_envs.speculative" in span.attributes}
        linked = [calls[link.context.span_id] for span in commits for link in span.links]
        assert {span.attributes["spec_envs.outcome"] for span in linked} == {"committed"}
        assert {span.context.span_id for span in linked} == {
            number for number, span in calls.items() if span.attributes["spec_envs.outcome"] == "committed"
        }
        assert {span.attributes["spec_envs.speculative"] for span in linked} == {True, False}
        discarded = [calls[link.context.span_id] for span in collected.named("discard ") for link in span.links]
        assert discarded and not {"committed"} & {span.attributes["spec_envs.outcome"] for span in discarded}

    def test_commits_follow_each_other_without_a_gap(self, env, collected):
        by_episode = collections.defaultdict(list)
        for span in collected.named("commit "):
            by_episode[span.parent.span_id].append(span)
        for spans in by_episode.values():
            assert all(one.end_time == next_one.start_time for one, next_one in zip(spans, spans[1:], strict=False))
        outcomes = collected.outcomes("commit ")
        assert outcomes["hit"] == env.statistics.hits and sum(outcomes.values()) == env.statistics.commits

    def test_nothing_else_changes(self, collected):
        sent, plain = busy(otel=collected.provider), busy()
        assert [event.as_dict() for event in sent.trace] == [event.as_dict() for event in plain.trace]


def test_a_policy_that_prompts_a_model_is_a_chat(collected):
    def policy(observation: Any, cancel: CancelToken) -> int:
        cancel.spend(Usage(7, 3, 0.5))
        return choose(observation)

    policy.model_name = "gpt-5"  # type: ignore[attr-defined]
    with SpeculativeWrapper(FakeEnv(), policy, otel=collected.provider, max_inflight=0) as env:
        play(env, env.act, 0, steps=2)
    chats, tools = collected.named("chat gpt-5"), collected.named("call world")
    assert len(chats) == 2 and {span.kind.name for span in chats} == {"CLIENT"}
    about = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5"}
    spent = {"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 3, "spec_envs.money": 0.5}
    assert all((about | spent).items() <= dict(span.attributes).items() for span in chats)
    assert len(tools) == 2 and collected.outcomes("c") == {"committed": 4, "unguessed": 4}


@pytest.mark.parametrize("decorate", [lambda it: it, lambda it: it.__call__, lambda it: retry(it, attempts=2)])
def test_the_model_of_a_policy_is_known_through_decorators(decorate):
    with ChatModel("gpt-5", base_url="http://127.0.0.1:9/v1") as model:
        for handler in (model, ChatPolicy(model, "chess"), ChatPolicy(with_latency(model, 0.1), "chess")):
            assert declared(decorate(handler), "model_name") == "gpt-5"


def test_a_failure_has_its_type(collected):
    def broken(observation: Any) -> int:
        raise OSError("no answer")

    with SpeculativeWrapper(FakeEnv(), broken, otel=collected.provider) as env:
        observation, _ = env.reset(seed=0)
        with pytest.raises(OSError, match="no answer"):
            env.act(observation)
    (span,) = collected.named("call policy")
    assert span.attributes["error.type"] == "OSError" and span.attributes["spec_envs.outcome"] == "failed"
    assert span.status.status_code.name == "ERROR"


def test_episodes_are_inside_of_the_callers_span(collected):
    tracer = collected.provider.get_tracer("caller")
    with SpeculativeWrapper(FakeEnv(length=2), choose, otel=collected.provider, guard=False) as env:
        with tracer.start_as_current_span("mine") as mine:
            play(env, env.act, 0)
        (episode,) = collected.named("invoke_agent")  # it ended with the episode, before the wrapper was closed
    assert episode.parent.span_id == mine.get_span_context().span_id


def test_the_async_wrapper_sends_them_too(collected):
    async def main() -> None:
        async with AsyncSpeculativeWrapper(
            FakeEnv(length=4), choose, guessers={"world": Answers(lambda query: 0)}, otel=collected.provider
        ) as env:
            observation, _ = await env.reset(seed=0)
            for _ in range(4):
                observation, *_ = await env.step(await env.act(observation))
            assert env.statistics.commits == len(collected.named("commit "))

    asyncio.run(main())
    assert len(collected.named("invoke_agent FakeEnv")) == 1


async def _find(name: str) -> dict[str, str]:
    return {"id": name[::-1]}


async def _read(id: str) -> str:
    if id == "broken":
        raise OSError("broken")
    return f"text of {id}"


class TestTools:
    def test_runs_executions_and_what_agents_got(self, collected):
        async def main() -> SpeculativeTools:
            rules, limits = {"find": Effect.READ, "read": Effect.READ}, ToolLimits(min_latency_s=0.0)
            async with SpeculativeTools(rules, NGramGuesser(), limits=limits, otel=collected.provider) as tools:
                tools.add("find", _find)
                tools.add("read", _read)
                for name in ("a", "a", "a", "broken"):
                    async with tools.run("go"):
                        await tools.settle()
                        await tools.call("find", {"name": name})
                        await tools.settle()
                        await tools.call("read", {"id": name[::-1]})
            return tools

        tools = asyncio.run(main())
        executions, commits = collected.named("execute_tool "), collected.named("commit ")
        assert tools.statistics.hits == collected.outcomes("commit ")["hit"] > 0
        assert len(commits) == tools.statistics.calls and len(collected.named("invoke_agent")) == 4
        assert collected.outcomes("execute_tool ")["wasted"] == tools.statistics.wasted > 0
        assert len(collected.named("discard ")) == tools.statistics.wasted
        by_id = {span.context.span_id: span for span in executions}
        for commit in commits:
            (link,) = commit.links
            execution = by_id[link.context.span_id]
            assert execution.attributes["spec_envs.outcome"] == "committed"
            assert execution.attributes["spec_envs.speculative"] == (commit.attributes["spec_envs.outcome"] == "hit")
            assert execution.attributes["gen_ai.tool.name"] == commit.attributes["gen_ai.tool.name"]

    def test_failures_are_told_and_blocking_tools_send_them_too(self, collected):
        with BlockingTools({"read": Effect.READ}, NGramGuesser(), otel=collected.provider) as tools:
            tools.tools.add("read", _read)
            with tools.run("go"), pytest.raises(OSError, match="broken"):
                tools.call("read", {"id": "broken"})
            tools.call("read", {"id": "outside of all runs"})
        assert collected.outcomes("execute_tool read") == {"failed": 1, "committed": 1}
        assert len(collected.named("invoke_agent")) == 1


def test_off_by_default_and_nothing_is_imported():
    code = "import sys, spec_envs.wrappers; assert 'opentelemetry' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    env = make(FakeEnv(), choose)
    assert env.trace._listener is None
    env.close()


def test_a_provider_that_fails_hinders_nothing(caplog):
    class Broken:
        def get_tracer(self, *_: Any, **__: Any) -> Any:
            return self

        def start_span(self, *_: Any, **__: Any) -> Any:
            raise OSError("no collector")

    with SpeculativeWrapper(FakeEnv(length=2), choose, otel=Broken()) as env:
        play(env, env.act, 0)
    assert "OpenTelemetry failed, and the episode goes on: OSError('no collector')" in caplog.text


@pytest.mark.parametrize("otel", [1, "yes", None])
def test_what_is_no_provider_is_refused(otel):
    with pytest.raises(InvalidConfiguration, match="otel must be True, False or a TracerProvider, not"):
        SpeculativeWrapper(gym.make("CartPole-v1"), otel=otel)


def test_of_very_many_calls_the_oldest_are_settled(collected, monkeypatch):
    monkeypatch.setattr("spec_envs.wrappers.telemetry._MOST", 2)
    spans = Spans(collected.provider, "agent")
    for number in range(4):
        spans.started(float(number), number, f"call {number}", {})
        spans.ended(float(number), number, "wasted", {}, None)
    assert [span.name for span in collected] == ["call 0", "call 1"]
    assert spans.links_to(1) == [] and len(spans.links_to(2)) == 1
