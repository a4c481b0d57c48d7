"""Chat models: what they are asked and what they answer, as data.

A model is a handler (``spec_envs.Handler``) of ``ChatRequest`` that returns a ``Completion``. So every decorator of
handlers (latency, recording, replay, retry, rate limits, metering) is a decorator of models, and a function is a model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from spec_envs.handling import CancelToken, Usage

__all__ = ["ChatRequest", "Completion", "Model", "ToolRequest"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What a model is asked. Never changed afterwards.

    Args:
        messages: The conversation: chat messages in OpenAI's form, oldest first.
        tools: Schemas of the tools that it may call, in OpenAI's form.
        output: ``"text"``, or ``"json"`` for one JSON object.
        max_tokens: Of the answer; ``None``: as many as the model likes.
        temperature: ``None``: the model's own.
        logprobs: Whether to report the log-probability of each token of the answer.
    """

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    output: Literal["text", "json"] = "text"
    max_tokens: int | None = None
    temperature: float | None = None
    logprobs: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool call that a model asks for; ``arguments`` is JSON text as the model wrote it, which may be malformed."""

    name: str
    arguments: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a model answered.

    Args:
        text: The message; empty where there are only tool calls.
        tool_calls: The tools to call. They have no ids: equal answers are equal contexts.
        usage: What the answer cost. A model that is called with a token has told it already (``cancel.spend``).
        finish_reason: As the server gave it: "stop", "length", "tool_calls", …
        logprobs: By token of ``text``: its text and log-probability; empty where they were not asked for or not given.
    """

    text: str = ""
    tool_calls: tuple[ToolRequest, ...] = ()
    usage: Usage = dataclasses.field(default=Usage(), compare=False)
    finish_reason: str = "stop"
    logprobs: tuple[tuple[str, float], ...] = dataclasses.field(default=(), compare=False)


class Model(Protocol):
    """A chat model: the handler of a ``ChatRequest``."""

    def __call__(self, query: ChatRequest, cancel: CancelToken) -> Completion:
        """The answer to ``query``."""


#: A model, or one whose answer is awaited.
AnyModel = Callable[..., Completion] | Callable[..., Awaitable[Completion]]
