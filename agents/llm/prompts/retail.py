"""Prompts for the shop: for the agent's action, and for guesses of the agent's and of the customer's next message."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from spec_envs.agents.llm.messages import ChatRequest, Completion, ToolRequest
from spec_envs.agents.llm.prompts.base import (
    GuessPrompt,
    Past,
    PolicyPrompt,
    best_first,
    json_line,
    tool_call,
    user_message,
)
from spec_envs.agents.llm.written_calls import unwrapped, written_calls


def _request(observation: Mapping[str, str]) -> ChatRequest:
    policy = {"role": "system", "content": observation["policy"]}
    # The environment's messages have OpenAI's form, except for the name in a tool's result, which some servers refuse.
    dialogue = [
        {key: value for key, value in message.items() if key != "name"}
        for message in json.loads(observation["dialogue"])
    ]
    return ChatRequest(messages=[policy, *dialogue], tools=json.loads(observation["tools"]), one_call=True)


def _read(completion: Completion, observation: Mapping[str, str]) -> str | dict[str, Any]:
    """Return the first tool call, or else the message: the shop's policy allows one call at a time."""
    tools = json.loads(observation["tools"])
    if calls := _calls(completion, tools):
        return _call(calls[0].name, json_line(calls[0].arguments or "{}", whole=True), tools)
    if not (said := unwrapped(completion.text)):
        raise ValueError("the answer is empty; write to the customer or call a tool")
    return said


def _request_calls(observation: Mapping[str, str]) -> ChatRequest:
    return dataclasses.replace(_request(observation), one_call=False)


def _read_calls(completion: Completion, observation: Mapping[str, str]) -> str | dict[str, Any] | list[Any]:
    """Return all tool calls of the answer, or the message."""
    calls = _calls(completion, json.loads(observation["tools"]))
    if len(calls) < 2:
        return _read(completion, observation)
    return [_read(Completion(tool_calls=(call,)), observation) for call in calls]


def _calls(completion: Completion, tools: Sequence[Any]) -> Sequence[ToolRequest]:
    return completion.tool_calls or written_calls(completion.text, _schemas(tools))


def _schemas(tools: Sequence[Any]) -> dict[str, Any]:
    return {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in tools}


def _call(name: str, arguments: Any, tools: Sequence[Any]) -> dict[str, Any]:
    """Return a tool call with its arguments in the order of the schema, whatever their order in the answer."""
    schemas = _schemas(tools)
    call = tool_call(name, arguments, schemas)
    known = [key for key in schemas[name].get("properties", {}) if key in arguments]
    rest = sorted(arguments.keys() - set(known))
    return call | {"arguments": {key: arguments[key] for key in (*known, *rest)}}


def _action_request(observation: Any, k: int, past: Past) -> ChatRequest:
    system = (
        "You predict what the agent of an online shop does next.\n\n"
        f"The agent's policy:\n{observation['policy']}\n\nIts tools (JSON):\n{observation['tools']}"
    )
    form = 'as JSON: a tool call as {"name": "…", "arguments": {…}}, a message to the customer as "…"'
    text = (
        f"The dialogue so far (JSON):\n{observation['dialogue']}\n\n{best_first(k, 'next actions of the agent', form)}"
    )
    return ChatRequest(messages=({"role": "system", "content": system}, user_message(text)))


def _read_action(line: str, observation: Any) -> str | dict[str, Any]:
    action = json_line(line)
    if isinstance(action, dict) and isinstance(action.get("name"), str):
        return _call(action["name"], action.get("arguments", {}), json.loads(observation["tools"]))
    if not isinstance(action, str) or not action.strip():
        raise ValueError(f"{line[:200]} is neither a tool call nor a message in quotes")
    return action.strip()


def _reply_request(query: Any, k: int, past: Past) -> ChatRequest:
    # The model sees only what was said: an agent does not know the customer's task.
    if not isinstance(getattr(query, "said", None), tuple):
        raise TypeError(f"{type(query).__name__} holds no conversation with a customer")
    roles = ("Agent", "Customer")
    said = "\n".join(f"{roles[turn % 2]}: {json.dumps(text)}" for turn, text in enumerate(query.said))
    text = f"A customer talks to the agent of an online shop.\n\n{said}\n\n"
    text += best_first(k, "next messages of the customer", "word for word, as JSON text in quotes")
    return ChatRequest(messages=(user_message(text),))


def _read_reply(line: str, query: Any) -> str:
    reply = json_line(line, whole=True) if line.startswith('"') else line.removeprefix("Customer:").strip()
    if not isinstance(reply, str) or not reply:
        raise ValueError(f"{line[:200]} is no message")
    return reply


#: For ``ChatPolicy``: a tool call ``{"name", "arguments"}`` or a message.
RETAIL = PolicyPrompt(request=_request, read=_read)
#: The same, with all tool calls of an answer: a list if there are several.
RETAIL_CALLS = PolicyPrompt(request=_request_calls, read=_read_calls)
#: For ``ChatGuesser``: the agent's next action, and the customer's reply.
RETAIL_GUESSES = {
    "policy": GuessPrompt(request=_action_request, read=_read_action),
    "user": GuessPrompt(request=_reply_request, read=_read_reply),
}
