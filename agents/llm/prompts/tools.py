"""The prompt for guesses of any agent's next tool call."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from spec_envs.agents.llm.messages import ChatRequest
from spec_envs.agents.llm.prompts.base import GuessPrompt, Past, best_first, json_line, tool_call, user_message
from spec_envs.conversation import AssistantMessage, Conversation, ToolCall, ToolResult, UserMessage

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


def _request(query: Any, k: int, past: Past) -> ChatRequest:
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


def _read(line: str, query: Any) -> dict[str, Any]:
    call = json_line(line)
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise ValueError(f"{line[:200]} is no tool call")
    return tool_call(call["name"], call.get("arguments", {}), sorted(tool.name for tool in query.tools) or None)


#: For ``ChatGuesser``: the next call of an agent, by the ``Conversation`` so far.
TOOL_GUESSES = {"policy": GuessPrompt(request=_request, read=_read)}
