"""Requests to chat models, and their answers, as data.

A model is a handler (``spec_envs.Handler``) of ``ChatRequest`` that returns a ``Completion``. So every decorator of
handlers (latency, recording, replay, retry, rate limits, metering) is a decorator of models, and a function is a model.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from spec_envs import CancelToken, Usage


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A request to a chat model. Never changed after it was made.

    Args:
        messages: The conversation: chat messages in OpenAI's form, oldest first.
        tools: Schemas of the tools that the model may call, in OpenAI's form.
        output: ``"text"``, or ``"json"`` for one JSON object.
        max_tokens: The greatest number of tokens in the answer; ``None``: no limit.
        temperature: The sampling temperature; ``None``: the model's default.
        logprobs: Whether to report the log-probability of each token of the answer.
        until: A regular expression. Text after its first match does not matter, so a model may stop there.
        one_call: Whether nothing matters after the first tool call.
    """

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    output: Literal["text", "json"] = "text"
    max_tokens: int | None = None
    temperature: float | None = None
    logprobs: bool = False
    until: str | None = dataclasses.field(default=None, compare=False)
    one_call: bool = dataclasses.field(default=False, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool call in a model's answer; ``arguments`` is JSON text as the model wrote it, which may be malformed."""

    name: str
    arguments: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The answer of a chat model.

    Args:
        text: The message; empty if there are only tool calls.
        tool_calls: The tool calls. They have no ids, so that equal answers lead to equal dialogues.
        usage: The cost of the answer. A model that was called with a token has already reported it by ``cancel.spend``.
        usage_is_estimate: Whether ``usage`` was estimated from what had arrived, because the server reported none, as
            when the answer was left before its end.
        finish_reason: The reason that the server gave: "stop", "length", "tool_calls", …
        logprobs: The text and log-probability of each token of ``text``; empty if not requested or not given.
    """

    text: str = ""
    tool_calls: tuple[ToolRequest, ...] = ()
    usage: Usage = dataclasses.field(default=Usage(), compare=False)
    usage_is_estimate: bool = dataclasses.field(default=False, compare=False)
    finish_reason: str = "stop"
    logprobs: tuple[tuple[str, float], ...] = dataclasses.field(default=(), compare=False)


class Model(Protocol):
    """A chat model: the handler of a ``ChatRequest``."""

    def __call__(self, query: ChatRequest, cancel: CancelToken) -> Completion:
        """Return the answer to ``query``."""
        ...


#: A model, or an async model.
AnyModel = Callable[..., Completion] | Callable[..., Awaitable[Completion]]
