"""Prompts for guesses: of agents that search or call tools, and of the responses of any handler."""

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from spec_envs.agents.llm.messages import ChatRequest
from spec_envs.agents.llm.prompts.base import (
    GuessPrompt,
    Past,
    best_first,
    bracketed,
    json_line,
    tool_call,
    user_message,
)
from spec_envs.conversation import AssistantMessage, Conversation, ToolCall, ToolResult, UserMessage

_ACTION = re.compile(r"\b(search|lookup|finish)\s*\[", re.IGNORECASE)


def _search_request(observation: Any, k: int, past: Past) -> ChatRequest:
    steps = json.loads(observation["transcript"])
    seen = [f"Action: {step['action']}\nObservation: {' '.join(step['observation'].split())}" for step in steps]
    what = (
        "An agent answers a question with an encyclopedia. Its actions: search[entity] shows the page of that name, "
        "lookup[keyword] the next sentence on it with the keyword, finish[answer] ends with the answer."
    )
    text = "\n".join([what, "", f"Question: {observation['question']}", *seen, ""])
    return ChatRequest(messages=(user_message(f"{text}\n{best_first(k, 'next actions', 'such as search[Earth]')}"),))


def _read_search(line: str, observation: Any) -> str:
    found = _ACTION.search(line)
    if found is None:
        raise ValueError(f"{line[:200]!r} is not one of search[entity], lookup[keyword] and finish[answer]")
    return f"{found[1].lower()}[{' '.join(bracketed(line, found.end() - 1).split())}]"


#: For ``ChatGuesser``: the agent's next action, as text.
SEARCH_GUESSES = {"policy": GuessPrompt(request=_search_request, read=_read_search)}


#: The greatest number of characters of a result that are shown.
_MAX_RESULT = 2000


def _line(event: Any) -> str:
    match event:
        case UserMessage(text):
            return f"User: {json.dumps(text)}"
        case AssistantMessage(text):
            return f"Agent: {json.dumps(text)}"
        case ToolCall(name, arguments):
            return f"Call: {json.dumps({'name': name, 'arguments': dict(arguments)})}"
        case ToolResult(content):
            return f"Result: {json.dumps(content, default=str)[:_MAX_RESULT]}"
    raise TypeError(f"{event!r} is not an event of a conversation")


def _tools_request(query: Any, k: int, past: Past) -> ChatRequest:
    if not isinstance(query, Conversation):
        raise TypeError(f"{type(query).__name__} is not a Conversation")
    tools = json.dumps([dataclasses.asdict(tool) for tool in query.tools], default=str)
    happened = "\n".join(map(_line, query.events)) or "nothing"
    text = (
        f"You predict what an agent with tools does next.\n\nIts tools (JSON):\n{tools}\n\n"
        f"What happened so far:\n{happened}\n\n"
        + best_first(k, "next tool calls of the agent", 'as JSON: {"name": "…", "arguments": {…}}')
    )
    return ChatRequest(messages=(user_message(text),))


def _read_call(line: str, query: Any) -> dict[str, Any]:
    call = json_line(line)
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise ValueError(f"{line[:200]} is no tool call")
    return tool_call(call["name"], call.get("arguments", {}), sorted(tool.name for tool in query.tools) or None)


#: For ``ChatGuesser``: the next call of an agent, by the ``Conversation`` so far.
TOOL_GUESSES = {"policy": GuessPrompt(request=_tools_request, read=_read_call)}


#: The greatest number of characters of a query that are shown.
_SHOWN = 4000


def _generic_request(query: Any, k: int, past: Past) -> ChatRequest:
    examples = [f"Query: {_text(past_query)}\nResponse: {_text(response)}" for past_query, response in past]
    text = "\n".join(["Something answers queries. What will it answer to the last one?", "", *examples, ""])
    form = "as JSON" + ("" if past else ' (a text in quotes: "…")')
    text += f"Query: {_text(query)}\n\n{best_first(k, 'responses to the last query', form)}"
    return ChatRequest(messages=(user_message(text),))


def _text(value: Any) -> str:
    text = json.dumps(value, default=_plain, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"…{text[-_SHOWN:]}"


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.repr}
    return repr(value)


def _json(line: str, query: Any) -> Any:
    return json_line(line)


#: For handlers whose responses are JSON data: text, numbers, lists, objects.
GENERIC = GuessPrompt(request=_generic_request, read=_json)
