"""A graph of LangGraph whose tools are called while its model thinks: no key needed."""

import asyncio
import uuid
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import tools_condition

from spec_envs import Effect
from spec_envs.agents import PatternGuesser
from spec_envs.wrappers import SpeculativeTools
from spec_envs.wrappers.tools.langgraph import speculative_node


@tool
async def get_weather(city: str) -> str:
    """The weather in a city."""
    await asyncio.sleep(0.1)
    return f"Sun in {city}"


async def think(state: MessagesState) -> dict[str, Any]:
    """Stands in for a language model: asks for the weather in the city that the user names, then tells it."""
    await asyncio.sleep(0.3)
    last = state["messages"][-1]
    if last.type == "tool":
        return {"messages": [AIMessage(last.content)]}
    arguments = {"city": str(last.content).split()[-1]}
    return {
        "messages": [AIMessage("", tool_calls=[{"name": "get_weather", "args": arguments, "id": uuid.uuid4().hex}])]
    }


async def main() -> None:
    """Five questions; what is learned from the first ones saves time in the later ones."""
    async with SpeculativeTools({"get_weather": Effect.READ}, PatternGuesser()) as tools:
        graph = StateGraph(MessagesState)
        graph.add_node("model", think)
        graph.add_node("tools", speculative_node(tools, [get_weather]))
        graph.add_edge(START, "model")
        graph.add_conditional_edges("model", tools_condition)
        graph.add_edge("tools", "model")
        agent = graph.compile()
        for city in ("Rome", "Oslo", "Lima", "Bonn", "Cork"):
            question = f"What is the weather in {city}"
            async with tools.run(question):
                state = await agent.ainvoke({"messages": [HumanMessage(question)]})
                print(state["messages"][-1].content)
        print(tools.statistics)
        assert tools.statistics.hits > 0


if __name__ == "__main__":
    asyncio.run(main())
