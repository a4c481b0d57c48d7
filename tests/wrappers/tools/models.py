"""Agents that look somebody up and then say where they live, as models that ``ModelServer`` serves."""

from __future__ import annotations

import json

from spec_envs.agents.llm import ChatRequest, Completion, ToolRequest


def lookup_model(request: ChatRequest) -> Completion:
    """Finds the person that the user names, then their city; then says so."""
    name = next(message["content"] for message in request.messages if message["role"] == "user").split()[2]
    results = [_data(message["content"]) for message in request.messages if message["role"] == "tool"]
    if not results:
        return _call("find_person", {"name": name})
    if len(results) == 1:
        return _call("get_city", results[0])
    return Completion(text=f"{name} lives in {results[1]['city']}.")


def _data(content):
    text = content if isinstance(content, str) else content[0]["text"]
    return json.loads(text)


def _call(name: str, arguments: dict) -> Completion:
    return Completion(tool_calls=(ToolRequest(name, json.dumps(arguments)),), finish_reason="tool_calls")
