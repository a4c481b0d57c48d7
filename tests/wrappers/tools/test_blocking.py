"""``BlockingTools``: agents without an event loop, also LangGraph's graphs that are invoked."""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode, tools_condition
from langgraph.types import Command, interrupt

from spec_envs import Effect, Guess
from spec_envs.agents import NGramGuesser
from spec_envs.errors import EnvClosed, InvalidConfiguration
from spec_envs.wrappers import SpeculativeTools
from spec_envs.wrappers.tools import BlockingTools, Port, ToolLimits
from spec_envs.wrappers.tools.langgraph import speculative_node

READ, SAMPLE, WRITE = Effect.READ, Effect.SAMPLE, Effect.WRITE
LIMITS = ToolLimits(min_latency_s=0.0)


@tool
def find_person(name: str) -> dict:
    """The id of a person."""
    if name == "nobody":
        raise ValueError("there is no such person")
    return {"person_id": f"p-{name}"}


@tool
def get_city(person_id: str) -> dict:
    """Where a person lives."""
    return {"city": f"city of {person_id}"}


@tool
def count_messages(state: Annotated[dict, InjectedState]) -> str:
    """How long this has gone on."""
    return str(len(state["messages"]))


TOOLS = [find_person, get_city, count_messages]
READS = {"find_person": READ, "get_city": READ, "count_messages": READ}


def agent_of(node, script, **options):
    """A graph whose model makes the calls of ``script``, one turn after the other."""

    def think(state: MessagesState):
        turn = sum(isinstance(message, AIMessage) for message in state["messages"])
        calls = [
            {"name": name, "args": arguments, "id": f"{turn}-{number}", "type": "tool_call"}
            for number, (name, arguments) in enumerate(script[turn] if turn < len(script) else [])
        ]
        return {"messages": [AIMessage("" if calls else "done", tool_calls=calls)]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", think)
    graph.add_node("tools", node)
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile(**options)


def texts(state):
    return [(type(each).__name__, each.content, getattr(each, "tool_call_id", "")) for each in state["messages"]]


SCRIPTS = {
    "no call": [],
    "one call": [[("find_person", {"name": "ann"})]],
    "one after the other": [[("find_person", {"name": "ann"})], [("get_city", {"person_id": "p-ann"})]],
    "two at once": [[("find_person", {"name": "ann"}), ("find_person", {"name": "bob"})]],
    "equal calls at once": [[("find_person", {"name": "ann"}), ("find_person", {"name": "ann"})]],
    "equal calls in turn": [[("find_person", {"name": "ann"})], [("find_person", {"name": "ann"})]],
    "an error": [[("find_person", {"name": "nobody"})], [("find_person", {"name": "ann"})]],
    "an error among others": [[("find_person", {"name": "nobody"}), ("find_person", {"name": "ann"})]],
    "unknown tool": [[("find_persn", {"name": "ann"})], [("find_person", {"name": "ann"})]],
    "wrong arguments": [[("find_person", {"nam": "ann"})], [("find_person", {"name": "ann"})]],
    "state of the graph": [[("count_messages", {})], [("count_messages", {})]],
    "eight at once": [[("find_person", {"name": str(number)}) for number in range(8)]],
}


@pytest.mark.parametrize("stream", [False, True], ids=["invoke", "stream"])
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_graph_that_is_invoked_works_as_without_speculation(script, stream):
    question: Any = {"messages": [("user", "Who lives where?")]}
    expected = texts(agent_of(ToolNode(TOOLS, handle_tool_errors=True), script).invoke(question))
    with BlockingTools(READS, NGramGuesser(), limits=LIMITS) as tools:
        graph = agent_of(speculative_node(tools, TOOLS, handle_tool_errors=True), script)
        for _ in range(3):
            with tools.run("Who lives where?"):
                tools.settle()
                if stream:
                    *_, state = graph.stream(question, stream_mode="values")
                else:
                    state = graph.invoke(question)
            tools.settle()
            assert texts(state) == expected
        is_predictable = bool(script) and script[0][0][0] == "find_person" and script[0][0][1].get("name") == "ann"
        assert tools.statistics.hits > 0 or not is_predictable
        assert all(entry.tool != "count_messages" for entry in tools.audit)
    assert not [each for each in threading.enumerate() if each.name == "BlockingTools"]


@tool
def ask_human(question: str) -> str:
    """What somebody says."""
    return f"they said {interrupt(question)}"


def test_a_graph_that_a_person_interrupts_goes_on_with_the_answer():
    script = [[("find_person", {"name": "ann"})], [("ask_human", {"question": "Sure?"})]]
    limits = ToolLimits(min_latency_s=0.0, doubt_s=0.0)  # a WRITE that is interrupted is in doubt, as one that fails
    with BlockingTools(READS | {"ask_human": WRITE}, NGramGuesser(), limits=limits) as tools:
        graph = agent_of(speculative_node(tools, [*TOOLS, ask_human]), script, checkpointer=InMemorySaver())
        for number in range(3):
            thread: Any = {"configurable": {"thread_id": str(number)}}
            question: Any = {"messages": [("user", "Who lives where?")]}
            with tools.run("Who lives where?"):
                tools.settle()
                asked = graph.invoke(question, thread)
                assert [each.value for each in asked["__interrupt__"]] == ["Sure?"]
                state = graph.invoke(Command(resume="yes"), thread)
            tools.settle()
            assert [each.content for each in state["messages"][-2:]] == ["they said yes", "done"]
        assert tools.statistics.hits > 0


def test_graphs_that_are_invoked_in_threads_share_a_run():
    script = [[("find_person", {"name": "ann"}), ("get_city", {"person_id": "p-bob"})]]
    questions: Any = [{"messages": [("user", "Who lives where?")]} for _ in range(4)]
    expected = agent_of(ToolNode(TOOLS), script).invoke(questions[0])
    with BlockingTools(READS, NGramGuesser(), limits=LIMITS) as tools, tools.run("Who lives where?"):
        states = agent_of(speculative_node(tools, TOOLS), script).batch(questions)
        assert [texts(state) for state in states] == [texts(expected)] * 4
        assert tools.statistics.calls == 8


class Always:
    def __init__(self, *names):
        self._names = names

    async def guess(self, call, k):
        return [Guess({"name": name, "arguments": {}}, 0.9) for name in self._names]


def test_own_calls_are_made_in_the_calling_thread_and_calls_ahead_beside_it():
    threads = []

    async def ahead(arguments, context):
        threads.append((context, threading.current_thread()))
        return "ahead"

    with BlockingTools({"read": READ}, Always("read"), limits=LIMITS) as tools:
        tools.tools.add("read", Port(execute=ahead))
        assert tools.call("read", {}, threading.current_thread) is threading.current_thread()
        with tools.run(context="mine") as run:
            tools.settle()
            assert tools.call("read", {}, lambda: "own") == "ahead"
            assert tools.call("read", {}) == "ahead"
            assert len(run.events) == 4
        assert run.is_over and tools.statistics.hits == 1 and len(list(tools.audit)) == 1
        assert threads[0][0] == "mine" and threads[0][1] is not threading.current_thread()
        assert tools.call("read", {}) == "ahead"
        assert len(threads) == 2


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("y"), TimeoutError(), KeyboardInterrupt(), SystemExit(3), StopIteration(4)]
)
def test_errors_of_own_calls_reach_the_caller(error):
    async def never(arguments, context):
        raise AssertionError

    def fails():
        raise error

    with BlockingTools({"write": WRITE}, Always()) as tools:
        tools.tools.add("write", Port(execute=never))
        for _ in range(2):
            with pytest.raises(type(error)) as caught, tools.run():
                tools.call("write", {}, fails)
            assert caught.value is error
        with tools.run():
            assert tools.call("write", {}, lambda: 3) == 3


def test_a_bridge_that_was_closed_and_nodes_of_the_wrong_kind():
    tools = BlockingTools(READS, NGramGuesser())
    tools.close()
    tools.close()
    with pytest.raises(EnvClosed):
        tools.call("find_person", {}, dict)
    with pytest.raises(EnvClosed), tools.run():
        pass
    question: Any = {"messages": [("user", "Who?")]}
    script = SCRIPTS["one call"]
    with BlockingTools(READS, NGramGuesser()) as tools:
        with pytest.raises(InvalidConfiguration, match="use invoke or stream"):
            asyncio.run(agent_of(speculative_node(tools, TOOLS), script).ainvoke(question))
        with pytest.raises(InvalidConfiguration, match="BlockingTools"):
            agent_of(speculative_node(SpeculativeTools(READS, NGramGuesser()), TOOLS), script).invoke(question)


@pytest.mark.parametrize(
    "metadata",
    [
        {"readOnlyHint": True},
        {"readOnlyHint": True, "destructiveHint": True},
        {"readOnlyHint": "true"},
        {"readOnlyHint": False},
        {"readOnlyHint": None},
        {},
        None,
    ],
)
@pytest.mark.parametrize("trusted", [True, False])
def test_hints_of_mcp_servers_arrive_with_langchains_tools(metadata, trusted):
    seen = []

    @tool
    def now() -> str:
        """The time."""
        seen.append(1)
        return str(len(seen))

    now.metadata = metadata
    question: Any = {"messages": [("user", "What time is it?")]}
    with BlockingTools({}, Always("now"), limits=LIMITS) as tools:
        graph = agent_of(speculative_node(tools, [now], trust_annotations=trusted), [[("now", {})]] * 4)
        with tools.run():
            tools.settle()
            state = graph.invoke(question)
        answers = [message.content for message in state["messages"] if isinstance(message, ToolMessage)]
        assert len(set(answers)) == 4  # each poll has an answer of its own
        assert (tools.statistics.started > 0) == (trusted and metadata == {"readOnlyHint": True})
