"""A graph of LangGraph whose tools are called while its model thinks: no key or paid model needed.

Needs: pip install "spec-envs[examples]"
"""

import asyncio

from pydantic import SecretStr

from spec_envs import Effect
from spec_envs.agents import PatternGuesser
from spec_envs.benchmarks.serving import ModelServer, Pace
from spec_envs.extras import needed
from spec_envs.wrappers import SpeculativeTools

with needed("this example", "examples", script=True):
    from langchain_core.messages import HumanMessage
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI
    from langgraph.graph import MessagesState, StateGraph
    from langgraph.prebuilt import tools_condition

    from spec_envs.wrappers.tools.langgraph import speculative_node


@tool
async def get_weather(city: str) -> str:
    """The weather in a city."""
    await asyncio.sleep(0.1)
    return f"Sun in {city}"


async def main(base_url: str) -> None:
    """Ask five questions; the guesser learns from the first ones, which saves time in the later ones."""
    model = ChatOpenAI(model="tools", base_url=base_url, api_key=SecretStr("none")).bind_tools([get_weather])

    async def think(state: MessagesState) -> MessagesState:
        return {"messages": [await model.ainvoke(state["messages"])]}

    tools = SpeculativeTools({"get_weather": Effect.READ}, PatternGuesser())
    graph = StateGraph(MessagesState).add_node("model", think).add_node("tools", speculative_node(tools, [get_weather]))
    graph.set_entry_point("model").add_conditional_edges("model", tools_condition).add_edge("tools", "model")
    agent = graph.compile()
    async with tools:
        for city in ("Rome", "Oslo", "Lima", "Bonn", "Cork"):
            async with tools.run(f"What is the weather in {city}?"):
                state = await agent.ainvoke({"messages": [HumanMessage(f"What is the weather in {city}?")]})
                print(state["messages"][-1].content)
    print(tools.statistics)
    assert tools.statistics.hits > 0


if __name__ == "__main__":
    with ModelServer("tools", pace=Pace(first_token_s=0.3)) as served:  # stands in for a paid model
        asyncio.run(main(served.base_url))
