"""LangGraph's ``ToolNode`` with a served model."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool, tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode, tools_condition
from pydantic import SecretStr

from spec_envs import Effect, Guess
from spec_envs.agents import NGramGuesser
from spec_envs.benchmarks.serving import ModelServer
from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers import SpeculativeTools
from spec_envs.wrappers.tools import ToolLimits
from spec_envs.wrappers.tools.langgraph import speculative_node
from tests.wrappers.tools.models import lookup_model

LIMITS = ToolLimits(min_latency_s=0.0)
READS = {"find_person": Effect.READ, "get_city": Effect.READ}
QUESTION: Any = {"messages": [("user", "Where does ann live?")]}


@tool
async def find_person(name: str) -> dict:
    """The id of a person."""
    if name == "nobody":
        raise ValueError("there is no such person")
    return {"person_id": f"p-{name}"}


@tool
async def get_city(person_id: str) -> dict:
    """Where a person lives."""
    return {"city": f"city of {person_id}"}


@tool
async def count_messages(state: Annotated[dict, InjectedState]) -> str:
    """How long this has gone on."""
    return str(len(state["messages"]))


def graph_of(node: ToolNode, model: ChatOpenAI):
    asked = model.bind_tools([find_person, get_city])

    async def think(state: MessagesState):
        return {"messages": [await asked.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", think)
    graph.add_node("tools", node)
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile()


def texts(state) -> list:
    return [(type(message).__name__, message.content) for message in state["messages"]]


def test_agent():
    async def main():
        with ModelServer(lookup_model) as server:
            model = ChatOpenAI(model="model", base_url=server.base_url, api_key=SecretStr("none"))
            plain = await graph_of(ToolNode([find_person, get_city]), model).ainvoke(QUESTION)
            async with SpeculativeTools(READS, NGramGuesser(), limits=LIMITS) as tools:
                graph = graph_of(speculative_node(tools, [find_person, get_city]), model)
                for _ in range(3):
                    async with tools.run("Where does ann live?"):
                        await tools.settle()
                        state = await graph.ainvoke(QUESTION)
                    await tools.settle()
                    assert texts(state) == texts(plain)
                    asked = [call["id"] for m in state["messages"] for call in getattr(m, "tool_calls", [])]
                    assert [m.tool_call_id for m in state["messages"] if isinstance(m, ToolMessage)] == asked
                assert tools.statistics.hits == 4

    asyncio.run(main())


def calling(called: str, **arguments) -> Any:
    call = {"name": called, "args": arguments, "id": "1", "type": "tool_call"}
    return {"messages": [AIMessage("", tool_calls=[call])]}


def alone(node: ToolNode):
    graph = StateGraph(MessagesState)
    graph.add_node("tools", node)
    graph.add_edge(START, "tools")
    return graph.compile()


def test_errors_unknown_tools_and_injected_state_are_as_ever():
    async def main():
        functions = [find_person, count_messages]
        rules = READS | {"count_messages": Effect.READ}
        async with SpeculativeTools(rules, NGramGuesser(), limits=LIMITS) as tools:
            plain = alone(ToolNode(functions, handle_tool_errors=True))
            wrapped = alone(speculative_node(tools, functions, handle_tool_errors=True))
            for called in (calling("find_person", name="nobody"), calling("other"), calling("count_messages")):
                expected = await plain.ainvoke(called)
                for _ in range(2):
                    async with tools.run():
                        await tools.settle()
                        assert texts(await wrapped.ainvoke(called)) == texts(expected)
                    await tools.settle()
            assert not any(entry.tool == "count_messages" for entry in tools.audit)
            assert not any(entry.outcome == "used" for entry in tools.audit)

    asyncio.run(main())


def test_schemas_that_are_dicts():
    """As tools of MCP servers have them in LangChain."""

    async def whereabouts(**arguments):
        return f"city of {arguments['person_id']}"

    schema = {"type": "object", "properties": {"person_id": {"type": "string"}}, "required": ["person_id"]}
    described = StructuredTool.from_function(
        coroutine=whereabouts, name="get_city", description="Where a person lives.", args_schema=schema
    )

    async def main():
        async with SpeculativeTools(READS, NGramGuesser(), limits=LIMITS) as tools:
            wrapped = alone(speculative_node(tools, [described]))
            called = calling("get_city", person_id="p")
            expected = await alone(ToolNode([described])).ainvoke(called)
            for _ in range(2):
                async with tools.run():
                    await tools.settle()
                    assert texts(await wrapped.ainvoke(called)) == texts(expected)
                await tools.settle()
            assert tools.statistics.hits == 1

    asyncio.run(main())


def test_tools_that_are_given_the_configuration_are_left_alone():
    @tool
    async def get_city(person_id: str, config: RunnableConfig) -> str:
        """Where a person lives, as this user may know it."""
        return f"{config.get('configurable', {})['user']} knows"

    async def main():
        async with SpeculativeTools(READS, NGramGuesser(), limits=LIMITS) as tools:
            wrapped = alone(speculative_node(tools, [get_city]))
            for user in ("ann", "bob"):
                async with tools.run():
                    await tools.settle()
                    for _ in range(2):
                        config: RunnableConfig = {"configurable": {"user": user}}
                        state = await wrapped.ainvoke(calling("get_city", person_id="p"), config)
                        assert texts(state)[-1] == ("ToolMessage", f"{user} knows")
                await tools.settle()
            assert tools.statistics.started == tools.statistics.shared == 0

    asyncio.run(main())


def test_what_is_called_ahead_does_not_show_in_the_stream_of_the_graph():
    class Follows:
        """Is asked on the loop, and so from inside of the graph's own call."""

        async def guess(self, call, k):
            foreseen = Guess({"name": "get_city", "arguments": {"person_id": "p"}}, 0.9)
            return [foreseen] if call.query.events else []

    async def main():
        async with SpeculativeTools(READS, Follows(), limits=LIMITS) as tools:
            graph = StateGraph(MessagesState)
            graph.add_node("tools", speculative_node(tools, [find_person, get_city]))
            graph.add_node("settle", settle)
            graph.add_edge(START, "tools")
            graph.add_edge("tools", "settle")
            events = []
            async with tools.run():
                async for event in graph.compile().astream_events(calling("find_person", name="ann"), version="v2"):
                    events += [event["name"]] if "tool" in event["event"] else []
                assert [entry.tool for entry in tools.audit] == ["get_city"]
            assert set(events) == {"find_person"}

    async def settle(state: MessagesState):
        await asyncio.sleep(0.05)
        return {}

    asyncio.run(main())


def test_a_graph_that_is_not_awaited_is_refused():
    for handled in (True, False):  # the model must not be told instead
        node = speculative_node(SpeculativeTools(READS, NGramGuesser()), [find_person], handle_tool_errors=handled)
        with pytest.raises(InvalidConfiguration, match="ainvoke"):
            alone(node).invoke(calling("find_person", name="ann"))
