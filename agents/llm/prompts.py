"""How a domain is put to a chat model, and how its answers are read: two small tables of functions.

A function that reads raises ``ValueError`` with what is wrong, in words that the model can make use of.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spec_envs.agents.llm.messages import ChatRequest, Completion

__all__ = ["GuessPrompt", "PolicyPrompt", "corrected", "user_message"]

#: Queries to a handler and what was answered, oldest first.
Past = Sequence[tuple[Any, Any]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPrompt:
    """How the agent's own decision is asked of a model.

    Args:
        ask: ``ask(observation)``: what the model is asked.
        read: ``read(completion, observation)``: the action that it answered with.
    """

    ask: Callable[[Any], ChatRequest]
    read: Callable[[Completion, Any], Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GuessPrompt:
    """How guesses of a handler's response are asked of a model: all in one answer, a line each, most likely first.

    Args:
        ask: ``ask(query, k, past)``: what the model is asked; ``past`` holds the last queries to the handler and its
            responses, for prompts with examples. Raises ``TypeError`` or ``ValueError`` for a query of another domain.
        read: ``read(line, query)``: the response that a line names.
    """

    ask: Callable[[Any, int, Past], ChatRequest]
    read: Callable[[str, Any], Any]


def user_message(text: str) -> Mapping[str, Any]:
    """A message of the user."""
    return {"role": "user", "content": text}


def corrected(request: ChatRequest, completion: Completion, wrong: str) -> ChatRequest:
    """``request`` once more, with the answer that could not be used and why."""
    calls = [
        {"id": f"wrong_{index}", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for index, call in enumerate(completion.tool_calls)
    ]
    answer: dict[str, Any] = {"role": "assistant", "content": completion.text}
    if calls:
        answer |= {"content": completion.text or None, "tool_calls": calls}
    complaint = f"That cannot be used: {wrong}. Answer again, in the form that was asked for."
    # A tool call must be answered as one.
    results = [{"role": "tool", "tool_call_id": call["id"], "content": complaint} for call in calls]
    messages: list[Mapping[str, Any]] = [
        *request.messages,
        answer,
        *(results or [{"role": "user", "content": complaint}]),
    ]
    return dataclasses.replace(request, messages=messages)


def best_first(k: int, what: str, form: str) -> str:
    """The end of a prompt for guesses."""
    return f"Name the {k} most likely {what}, most likely first, one on each line, {form}. Write nothing else."


def json_line(line: str) -> Any:
    """The JSON data in a line.

    Raises:
        ValueError: It is none.
    """
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{line[:200]!r} is no JSON ({error})") from None
