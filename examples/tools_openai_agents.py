"""An agent of the OpenAI Agents SDK whose tools are called while its model thinks: no key or paid model needed."""

import asyncio
import json

from openai import AsyncOpenAI

from agents import Agent, OpenAIChatCompletionsModel, RunConfig, Runner, function_tool
from spec_envs import Effect
from spec_envs.agents import PatternGuesser
from spec_envs.agents.llm import ChatRequest, Completion, ToolRequest
from spec_envs.benchmarks.serving import ModelServer, Pace
from spec_envs.wrappers import SpeculativeTools
from spec_envs.wrappers.tools.openai_agents import speculative_tool


@function_tool  # type: ignore[untyped-decorator]
async def get_weather(city: str) -> str:
    """The weather in a city."""
    await asyncio.sleep(0.1)
    return f"Sun in {city}"


def model(request: ChatRequest) -> Completion:
    """Stands in for a language model: asks for the weather in the city that the user names, then tells it."""
    if request.messages[-1]["role"] == "tool":
        return Completion(text=str(request.messages[-1]["content"]))
    city = str(request.messages[-1]["content"]).split()[-1]
    return Completion(tool_calls=(ToolRequest("get_weather", json.dumps({"city": city})),), finish_reason="tool_calls")


async def main() -> None:
    """Five questions; what is learned from the first ones saves time in the later ones."""
    with ModelServer(model, pace=Pace(first_token_s=0.3)) as server:
        async with (
            SpeculativeTools({"get_weather": Effect.READ}, PatternGuesser()) as tools,
            AsyncOpenAI(base_url=server.base_url, api_key="none") as client,
        ):
            served = OpenAIChatCompletionsModel("model", client)
            agent = Agent("guide", model=served, tools=[speculative_tool(tools, get_weather)])
            for city in ("Rome", "Oslo", "Lima", "Bonn", "Cork"):
                question = f"What is the weather in {city}"
                async with tools.run(question):
                    print((await Runner.run(agent, question, run_config=RunConfig(tracing_disabled=True))).final_output)
            print(tools.statistics)
            assert tools.statistics.hits > 0


if __name__ == "__main__":
    asyncio.run(main())
