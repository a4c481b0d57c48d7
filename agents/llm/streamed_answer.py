"""An answer that arrives in pieces, and its cost so far. The cost is estimated if the server does not report it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from spec_envs import Usage
from spec_envs.agents.llm.failures import said_in
from spec_envs.agents.llm.messages import ChatRequest, Completion, ToolRequest
from spec_envs.agents.llm.prices import ListPrice, Price, usage_of
from spec_envs.agents.llm.streamed_calls import StreamedCalls
from spec_envs.pickling import Lock

#: The fields in which servers send reasoning beside the answer.
_REASONING = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "reasoning_details")
#: What some servers write as the finish reason while the answer goes on.
_NO_REASON = ("null", "none", "not_finished", "finish_reason_unspecified")
#: The number of characters in a token, until a better estimate is known.
_CHARACTERS = 4


class TokenRates:
    """Estimates the tokens of broken-off answers from complete ones. Thread-safe.

    Servers report no usage for an answer that is broken off: neither tokens read, nor tokens of hidden reasoning.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._read: list[float] = [1.0, float(_CHARACTERS)]  # sums of tokens and of characters
        self._hidden = [0.0, 0.0]  # sums of tokens and of seconds until the first piece

    def learn(self, answer: Answer) -> None:
        """Learn from an answer whose usage was reported."""
        with self._lock:
            self._read[0] += answer.tokens_in
            self._read[1] += answer.characters_in
            self._hidden[0] += answer.hidden
            self._hidden[1] += answer.silence_s

    def read(self, characters: int) -> int:
        """Return the estimated number of tokens in a request of ``characters``."""
        with self._lock:
            return round(characters * self._read[0] / self._read[1])

    def hidden(self, seconds: float) -> int:
        """Return the estimated number of hidden tokens that were written in ``seconds`` without output."""
        with self._lock:
            return round(seconds * self._hidden[0] / self._hidden[1]) if self._hidden[1] else 0


class Answer:
    """The answer to ``request``, as far as it has arrived. It has at most ``limit`` tokens; 0: no limit."""

    def __init__(self, request: ChatRequest, limit: int = 0) -> None:
        self._limit = limit
        self.characters_in = len(json.dumps([*request.messages, *request.tools], default=str))
        self.tokens_in: float = 0
        self.cached: float = 0
        self.hidden: float = 0
        self.silence_s = 0.0
        self._sent: float | None = None
        self._reported: float | None = None
        self.text = ""  # so far
        self._calls = StreamedCalls(request.tools)
        self._logprobs: list[tuple[str, float]] = []
        self._finish_reason = ""
        self.pieces = 0  # of text, shown reasoning and tool calls
        self.strange: object = None  # the first piece in an unknown form, if any
        self.characters = 0  # of text, shown reasoning and tool calls
        self._reasoned = 0

    def sent(self, now: float) -> None:
        """Record that the request was sent at ``now``. Called again for each retry."""
        self._sent = now

    def refused(self) -> None:
        """Record that the server refused the request."""
        self._sent = None

    def add(self, chunk: object, now: float) -> None:
        """Add the next piece, or a whole answer that was not streamed; it arrives at ``now``.

        Raises:
            ValueError: The chunk does not have the form of an answer, or reports an error.
        """
        data = chunk.model_dump(warnings=False) if isinstance(chunk, BaseModel) else chunk
        if not isinstance(data, Mapping):
            raise ValueError(f"a piece of an answer must be an object, not {data!r:.200}")
        if data.get("error"):
            raise ValueError(f"the server reports an error: {said_in(data['error'])}")
        choices = data.get("choices")
        if not isinstance(choices, list | None):
            raise ValueError(f"the choices of an answer must be a list, not {choices!r:.200}")
        if choices is None and not data.get("usage") and not self.strange:
            self.strange = {key: value for key, value in data.items() if value is not None}
        for choice in _objects(choices):
            if choice.get("index") in (0, None, "0"):  # further choices are other answers
                self._take_choice(choice, now)
        usage = data.get("usage")
        if isinstance(usage, Mapping) and isinstance(usage.get("completion_tokens"), int | float):
            self.tokens_in = _number(usage, "prompt_tokens")
            self._reported = _number(usage, "completion_tokens")
            self.cached = min(self.tokens_in, _number(usage.get("prompt_tokens_details"), "cached_tokens"))
            reasoning = _number(usage.get("completion_tokens_details"), "reasoning_tokens")
            self.hidden = max(0, reasoning - self._reasoned)

    def _take_choice(self, choice: Mapping[str, Any], now: float) -> None:
        message = choice.get("delta") or choice.get("message") or {}
        if not isinstance(message, Mapping):
            raise ValueError(f"a message must be an object, not {message!r:.200}")
        if not message.get("content"):  # the form of a completion of text
            message = {**message, "content": choice.get("text")}
        elif not choice.get("delta") and isinstance(said := message["content"], str):  # all that was said, once more
            message = {**message, "content": said.removeprefix(self.text)}
        if self._take(message) and not self.silence_s:
            self.silence_s = self._silence_s(now)
        for logprobs in _objects([choice.get("logprobs")]):
            for token in _objects(logprobs.get("content")):
                text, logprob = token.get("token"), token.get("logprob")
                if isinstance(text, str) and isinstance(logprob, int | float) and not math.isnan(logprob):
                    self._logprobs.append((text, logprob))
        reason = choice.get("finish_reason")
        if reason and str(reason).lower() not in _NO_REASON:
            self._finish_reason = str(reason)

    def _take(self, message: Mapping[str, Any]) -> bool:
        """Add a piece of the message; return whether the piece had any output."""
        text, thought = _text_and_thought(message.get("content"))
        refusal = message.get("refusal")
        thought = thought or next((str(message[name]) for name in _REASONING if message.get(name)), "")
        written = [text, refusal if isinstance(refusal, str) else "", thought]
        self.text += "".join(written[:2])
        self._reasoned += bool(thought)
        calls, only = message.get("tool_calls") or [], message.get("function_call")
        if only and not calls:  # OpenAI's older form, for a single call
            calls = [{"index": 0, "function": only} if isinstance(only, Mapping) else only]
        for piece in calls if isinstance(calls, list) else [calls]:
            written += self._calls.add(piece) if piece is not None else ()
        self.pieces += sum(map(bool, written))
        self.characters += sum(map(len, written))
        return any(written)

    @property
    def has_begun(self) -> bool:
        """Whether any output or usage has arrived."""
        return bool(self.pieces) or self._reported is not None

    @property
    def is_complete(self) -> bool:
        """Whether the server has given a finish reason, or the rest of the answer was left."""
        return bool(self._finish_reason)

    @property
    def has_call(self) -> bool:
        """Whether the first tool call is complete."""
        return self._calls.has_first

    def untold_calls(self) -> Iterator[ToolRequest]:
        """Yield the tool calls that have become complete since this was last called."""
        return self._calls.untold()

    def leave(self) -> None:
        """Record that the rest does not matter."""
        self._finish_reason = "stop"

    def usage(self, price: Price | ListPrice | None, rates: TokenRates, now: float) -> Usage:
        """Return the cost until ``now``: the reported usage, or else an estimate. Without a price the money is unknown.

        The estimate is the sum of the tokens of the request, one token for each piece (or for each four characters, if
        that is more: some servers send several tokens at once), and hidden tokens for the time without output.
        """
        if self._reported is not None:
            rates.learn(self)
            return usage_of(price, self.tokens_in, self._reported, self.cached)
        if self._sent is None:  # the server does not work on the request
            return Usage()
        seen = max(self.pieces, self.characters // _CHARACTERS)
        hidden = rates.hidden(self.silence_s or self._silence_s(now))
        return usage_of(price, rates.read(self.characters_in), min(seen + hidden, self._limit or math.inf))

    def _silence_s(self, now: float) -> float:
        return 0.0 if self._sent is None else now - self._sent

    def completion(self, usage: Usage) -> Completion:
        """Return the whole answer, with ``usage``."""
        return Completion(
            text=self.text,
            tool_calls=self._calls.requests(),
            usage=usage,
            usage_is_estimate=self._reported is None,
            finish_reason=self._finish_reason,
            logprobs=tuple(self._logprobs),
        )


def _text_and_thought(content: Any) -> tuple[str, str]:
    """Return the answer and the reasoning in a message's content: text, or a list of parts with types.

    Raises:
        ValueError: ``content`` is neither.
    """
    text, thought = "", ""
    for part in [] if content is None else content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            text += part
        elif not isinstance(part, Mapping):
            raise ValueError(f"the content of an answer must be text or parts with types, not {content!r:.200}")
        elif part.get("type", "text") in ("text", "output_text"):
            inner = part.get("text")
            if not isinstance(inner, str | None):
                raise ValueError(f"the text of a part of an answer must be a text, not {inner!r:.200}")
            text += inner or ""
        else:
            thought += str(part)
    return text, thought


def _objects(values: Any) -> list[Mapping[str, Any]]:
    """Return the objects in a list; servers send null for an empty list, and for an object that they leave out."""
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []


def _number(data: Any, name: str) -> float:
    """Return a count in ``data``; 0 if it is not there, or is not a count."""
    value = data.get(name) if isinstance(data, Mapping) else None
    return value if isinstance(value, int | float) and 0 <= value < float("inf") else 0
