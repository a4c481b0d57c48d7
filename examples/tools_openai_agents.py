"""An agent of the OpenAI Agents SDK whose tools are called while its model thinks: no key or paid model needed.

Needs: pip install "spec-envs[openai-agents,servers]"
"""

import asyncio

from openai import AsyncOpenAI

from spec_envs import Effect
from spec_envs.agents import PatternGuesser
from spec_envs.benchmarks.serving import ModelServer, Pace
from spec_envs.extras import needed
from spec_envs.wrappers import SpeculativeTools

with needed("this example", "openai-agents", "servers", script=True):
    from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
    from spec_envs.wrappers.tools.openai_agents import speculative_tool


@function_tool  # type: ignore[untyped-decorator]
async def get_weather(city: str) -> str:
    """The weather in a city."""
    await asyncio.sleep(0.1)
    return f"Sun in {city}"


async def main(base_url: str) -> None:
    """Ask five questions; the guesser learns from the first ones, which saves time in the later ones."""
    tools = SpeculativeTools({"get_weather": Effect.READ}, PatternGuesser())
    async with tools, AsyncOpenAI(base_url=base_url, api_key="none") as client:
        model = OpenAIChatCompletionsModel("tools", client)
        agent = Agent("guide", model=model, tools=[speculative_tool(tools, get_weather)])
        for city in ("Rome", "Oslo", "Lima", "Bonn", "Cork"):
            async with tools.run(f"What is the weather in {city}?"):
                print((await Runner.run(agent, f"What is the weather in {city}?")).final_output)
    print(tools.statistics)
    assert tools.statistics.hits > 0


if __name__ == "__main__":
    set_tracing_disabled(True)
    with ModelServer("tools", pace=Pace(first_token_s=0.3)) as served:  # stands in for a paid model
        asyncio.run(main(served.base_url))
