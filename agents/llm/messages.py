"""Requests to chat models, and their answers, as data.

A model is a handler (``spec_envs.Handler``) of ``ChatRequest`` that returns a ``Completion``. So every decorator of
handlers (latency, recording, replay, retry, rate limits, metering) is a decorator of models, and a function is a model.
"""

import dataclasses
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from spec_envs import CancelToken, Usage
from spec_envs.checks import choice, integer_or_none, not_negative
from spec_envs.errors import InvalidConfiguration


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
        one_call: Whether the first tool call is all that matters, so a model may stop after it.

    Raises:
        InvalidConfiguration: An argument is invalid.
    """

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    output: Literal["text", "json"] = "text"
    max_tokens: int | None = None
    temperature: float | None = None
    logprobs: bool = False
    until: str | None = dataclasses.field(default=None, compare=False)
    one_call: bool = dataclasses.field(default=False, compare=False)

    def __post_init__(self) -> None:
        _check_objects(
            "messages", self.messages, "chat messages, such as [{'role': 'user', 'content': 'Hi!'}]", least=1
        )
        _check_objects("tools", self.tools, "tools in OpenAI's form: [{'type': 'function', 'function': …}]")
        choice("output", self.output, ("text", "json"))
        object.__setattr__(self, "max_tokens", integer_or_none("max_tokens", self.max_tokens, least=1))
        if self.temperature is not None:
            object.__setattr__(self, "temperature", not_negative("temperature", self.temperature))
        for name in ("logprobs", "one_call"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidConfiguration(f"{name} must be True or False, not {getattr(self, name)!r:.200}")
        if self.until is not None:
            try:
                re.compile(self.until)
            except (re.error, TypeError) as error:
                raise InvalidConfiguration(
                    f"until must be a regular expression, not {self.until!r:.200}: {error}"
                ) from None


def _check_objects(name: str, given: object, what: str, *, least: int = 0) -> None:
    """Raise ``InvalidConfiguration`` unless the argument ``name`` is a list of at least ``least`` objects."""
    if not isinstance(given, Sequence) or isinstance(given, str | bytes | bytearray) or len(given) < least:
        raise InvalidConfiguration(f"{name} must be a list of {what}, not {given!r:.200}")
    for index, each in enumerate(given):
        if not isinstance(each, Mapping):
            raise InvalidConfiguration(f"{name} must be a list of {what}; {name}[{index}] is {each!r:.200}")


@dataclasses.dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool call in a model's answer; ``arguments`` is JSON text as the model wrote it, which may be malformed.

    Raises:
        InvalidConfiguration: Name or arguments are no text.
    """

    name: str
    arguments: str

    def __post_init__(self) -> None:
        _check_texts(self, "name", "arguments")


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

    Raises:
        InvalidConfiguration: The text, the tool calls or the usage are of another type.
    """

    text: str = ""
    tool_calls: tuple[ToolRequest, ...] = ()
    usage: Usage = dataclasses.field(default=Usage(), compare=False)
    usage_is_estimate: bool = dataclasses.field(default=False, compare=False)
    finish_reason: str = "stop"
    logprobs: tuple[tuple[str, float], ...] = dataclasses.field(default=(), compare=False)

    def __post_init__(self) -> None:
        _check_texts(self, "text")
        if not isinstance(self.tool_calls, Sequence) or not all(isinstance(e, ToolRequest) for e in self.tool_calls):
            raise InvalidConfiguration(f"tool_calls must be a tuple of ToolRequest, not {self.tool_calls!r:.200}")
        if not isinstance(self.usage, Usage):
            raise InvalidConfiguration(f"usage must be a Usage, not {self.usage!r:.200}")


def _check_texts(answer: object, *names: str) -> None:
    for name in names:
        if not isinstance(getattr(answer, name), str):
            raise InvalidConfiguration(
                f"{name} of a {type(answer).__name__} must be text, not {getattr(answer, name)!r:.200}"
            )


class Model(Protocol):
    """A chat model: the handler of a ``ChatRequest``."""

    def __call__(self, query: ChatRequest, cancel: CancelToken) -> Completion:
        """Return the answer to ``query``."""
        ...


#: A model, or an async model.
AnyModel = Callable[..., Completion] | Callable[..., Awaitable[Completion]]
