"""Retail and search as tasks of inspect-ai, with scorers, and tools of inspect-ai behind ``SpeculativeTools``.

Needs the extra ``inspect``. ``inspect eval`` finds the tasks by their names: ``inspect eval spec_envs/search
--model …``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spec_envs.conversation import Tool as ToolSeen
from spec_envs.extras import needed
from spec_envs.integrations.tool_episodes import SEARCH, Domain, ToolEpisode, Wrap, retail_for
from spec_envs.integrations.wire import plain
from spec_envs.wrappers.tools import Port, SpeculativeTools

with needed("spec_envs.integrations.inspect_tasks", "inspect"):
    from anyio import to_thread
    from inspect_ai import Task, task
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser
    from inspect_ai.scorer import Score, mean, scorer, stderr
    from inspect_ai.solver import solver
    from inspect_ai.tool import Tool, ToolDef, ToolParams

__all__ = ["retail", "search", "speculative_tool", "tools_of"]


@task
def search(split: str | None = "dev", limit: int | None = None, wrap: Wrap | None = None, **options: Any) -> Task:
    """``SpecSearch-v0``: answer questions with the tools ``search``, ``lookup`` and ``finish``; scored by EM and F1.

    Args:
        split: The split of the embedded or generated questions; ``None``: all questions.
        limit: The number of questions, from the first one on; ``None``: all.
        wrap: Adds wrappers to the environment, such as ``SpeculativeWrapper`` with guessers, which runs ahead while the
            model thinks.
        **options: Other options of the environment, such as ``questions`` and ``backend``.
    """
    make = functools.partial(ToolEpisode, SEARCH, wrap, split=split, **options)
    samples = _samples("question", make, lambda env: [each.id for each in env.questions][:limit])
    return Task(samples, solver=play(SEARCH, make), scorer=answers())


@task
def retail(
    split: str | None = "dev",
    limit: int | None = None,
    wrap: Wrap | None = None,
    data: str = "embedded",
    **options: Any,
) -> Task:
    """``SpecRetail-v0``: serve customers with the tools of the shop and ``respond``; scored as in the benchmark.

    The tools are those of tau-bench or τ³-bench, depending on the data. If the model writes text and calls no tool, the
    text is a message to the customer.

    Args:
        split: The split of the tasks; ``None``: all tasks.
        limit: The number of tasks, from the first one on; ``None``: all.
        wrap: See ``search``.
        data: "embedded", "generated", or the data of a benchmark, as for the environment.
        **options: Other options of the environment, such as ``tasks``, ``customer`` and ``judge``.
    """
    domain = retail_for(data)
    make = functools.partial(ToolEpisode, domain, wrap, split=split, data=data, **options)
    samples = _samples("task", make, lambda env: [each.name for each in env.tasks][:limit])
    return Task(samples, solver=play(domain, make), scorer=service())


def tools_of(episode: ToolEpisode, domain: Domain) -> list[Tool]:
    """The tools of an episode as tools of inspect-ai. Steps run on a thread, since they may block."""
    return [_tool(episode, schema["function"]) for schema in domain.schemas]


def speculative_tool(tools: SpeculativeTools, tool: Tool) -> Tool:
    """A copy of a tool whose calls go through ``tools``, under the tool's name, and so may be made ahead of time.

    This is for tools that reach the outside world, such as a search engine or a database. The rules of ``tools``
    declare which tools may be called ahead; a tool without a rule counts as a ``WRITE``.
    """
    known = ToolDef(tool)

    async def ahead(arguments: dict[str, Any], context: Any) -> Any:
        return await tool(**arguments)

    async def execute(**kwargs: Any) -> Any:
        return await tools.call(known.name, kwargs, functools.partial(tool, **kwargs))

    schema = ToolSeen(known.name, known.description, known.parameters.model_dump(exclude_none=True))
    tools.add(known.name, Port(execute=ahead, source=tool, takes_context=False), schema=schema)
    options = {"parallel": known.parallel, "viewer": known.viewer, "max_output": known.max_output}
    return ToolDef(execute, known.name, known.description, known.parameters, **options).as_tool()


@solver
def play(domain: Domain, make: functools.partial[ToolEpisode]) -> Any:
    """Lets the model call the tools of an episode until the episode ends, or the model stops calling tools."""

    async def solve(state: Any, generate: Any) -> Any:
        episode = make()
        try:
            await to_thread.run_sync(episode.begin, state.metadata)
            state.tools = tools_of(episode, domain)
            while not episode.is_over and not state.completed:
                state = await generate(state, tool_calls="single")
                said = next(each for each in reversed(state.messages) if isinstance(each, ChatMessageAssistant))
                if not said.tool_calls:
                    if domain.says is None or not said.text.strip():
                        break
                    heard = await to_thread.run_sync(episode.call, domain.says, {"content": said.text})
                    state.messages.append(ChatMessageUser(content=heard))
            state.store.set("episode", {"reward": episode.reward, **plain(episode.info)})
        finally:
            await to_thread.run_sync(episode.close)
        return state

    return solve


@scorer(metrics={"em": [mean(), stderr()], "f1": [mean(), stderr()]})
def answers() -> Any:
    """HotpotQA's exact match and F1; 0 if no answer was given."""

    async def score(state: Any, target: Any) -> Any:
        told: Mapping[str, Any] = state.store.get("episode", {})
        return Score(value={name: told.get(name, 0.0) for name in ("em", "f1")}, answer=told.get("answer"))

    return score


@scorer(metrics={"reward": [mean(), stderr()], "database": [mean(), stderr()]})
def service() -> Any:
    """The benchmark's reward, and whether the data at the end are those after the gold actions.

    For τ³-bench, the metadata hold the parts of the score (``parts``), and the parts that nobody has judged
    (``unscored``).
    """

    async def score(state: Any, target: Any) -> Any:
        told: Mapping[str, Any] = state.store.get("episode", {})
        value = {"reward": float(told.get("reward", 0.0)), "database": float(bool(told.get("database")))}
        parts = {name: told[name] for name in ("parts", "unscored") if name in told}
        return Score(value=value, explanation=str(told.get("outcome")), metadata=parts or None)

    return score


def _samples(name: str, make: functools.partial[ToolEpisode], ids: Callable[[Any], Sequence[str]]) -> list[Any]:
    """A sample for each id that ``ids`` finds in an environment, with the first text of its episode."""
    episode = make()
    try:
        rows = [{name: each, "seed": 0} for each in ids(episode.env.unwrapped)]
        return [Sample(input=episode.begin(row), id=row[name], metadata=row) for row in rows]
    finally:
        episode.close()


def _tool(episode: ToolEpisode, function: Mapping[str, Any]) -> Tool:
    name = function["name"]

    async def execute(**kwargs: Any) -> str:
        return str(await to_thread.run_sync(episode.call, name, kwargs))

    return ToolDef(execute, name, function["description"], ToolParams(**function["parameters"])).as_tool()
