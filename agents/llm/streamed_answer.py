"""An answer that arrives in pieces, and its cost so far, which is estimated if the server does not report it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spec_envs import Usage
from spec_envs.agents.llm.messages import ChatRequest, Completion, ToolRequest
from spec_envs.agents.llm.prices import Price

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionChunk
    from openai.types.chat.chat_completion_chunk import ChoiceDelta


#: The number of characters in a token, until a better estimate is known.
_CHARACTERS = 4


class TokenRates:
    """Estimates the tokens of broken-off answers from complete ones. Thread-safe.

    Servers report no usage for an answer that is broken off: neither tokens read, nor tokens of hidden reasoning.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read = [1.0, float(_CHARACTERS)]  # sums of tokens and of characters
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
    """The answer to ``request``, as far as it has arrived.

    Args:
        request: The request.
    """

    def __init__(self, request: ChatRequest) -> None:
        self.characters_in = len(json.dumps([*request.messages, *request.tools], default=str))
        self.tokens_in = self.cached = self.hidden = 0
        self.silence_s = 0.0
        self._sent: float | None = None
        self._reported: int | None = None
        self._text: list[str] = []
        self._tools: dict[int, list[str]] = {}
        self._logprobs: list[tuple[str, float]] = []
        self._finish_reason = ""
        self._pieces = self._characters = self._reasoned = 0

    def sent(self, now: float) -> None:
        """Record that the request is sent at ``now``; called again for each retry."""
        self._sent = now

    def refused(self) -> None:
        """Record that the server refused the request."""
        self._sent = None

    def add(self, chunk: ChatCompletionChunk, now: float) -> None:
        """Add the next piece, which arrives at ``now``."""
        for choice in chunk.choices or ():  # some servers send null
            if self._take(choice.delta) and not self.silence_s:
                self.silence_s = self._silence_s(now)
            if choice.logprobs is not None:
                self._logprobs += [(token.token, token.logprob) for token in choice.logprobs.content or ()]
            self._finish_reason = choice.finish_reason or self._finish_reason
        if chunk.usage is not None:
            read, written = chunk.usage.prompt_tokens_details, chunk.usage.completion_tokens_details
            self.tokens_in, self._reported = chunk.usage.prompt_tokens or 0, chunk.usage.completion_tokens or 0
            self.cached = (read and read.cached_tokens) or 0
            self.hidden = max(0, ((written and written.reasoning_tokens) or 0) - self._reasoned)

    def _take(self, delta: ChoiceDelta | None) -> bool:
        """Add the piece's output; return whether there was any."""
        if delta is None:
            return False
        extra: Mapping[str, Any] = delta.model_extra or {}
        reasoning = extra.get("reasoning_content") or extra.get("reasoning") or ""
        written = [delta.content or "", delta.refusal or "", reasoning if isinstance(reasoning, str) else ""]
        self._text += written[:2]
        self._reasoned += bool(written[2])
        for call in delta.tool_calls or ():
            made = self._tools.setdefault(call.index, ["", ""])
            name, arguments = (call.function and call.function.name) or "", (call.function and call.function.arguments)
            made[0] += name
            made[1] += arguments or ""
            written += [name, arguments or ""]
        self._pieces += sum(map(bool, written))
        self._characters += sum(map(len, written))
        return any(written)

    @property
    def has_begun(self) -> bool:
        """Whether any output or usage has arrived."""
        return bool(self._pieces) or self._reported is not None

    @property
    def is_complete(self) -> bool:
        """Whether the server has given the reason why the answer ended."""
        return bool(self._finish_reason)

    def usage(self, price: Price, rates: TokenRates, now: float) -> Usage:
        """Return the cost by ``now``: the reported usage, or else an estimate.

        The estimate is the sum of one token for each piece, or for each four characters if that is more (some servers
        send several tokens at once), the tokens of the request, and the hidden tokens for the time without output.
        """
        if self._reported is not None:
            rates.learn(self)
            return price.usage(self.tokens_in, self._reported, self.cached)
        if self._sent is None:  # the server does not work on the request
            return price.usage(0, 0)
        seen = max(self._pieces, self._characters // _CHARACTERS)
        hidden = rates.hidden(self.silence_s or self._silence_s(now))
        return price.usage(rates.read(self.characters_in), seen + hidden)

    def _silence_s(self, now: float) -> float:
        return 0.0 if self._sent is None else now - self._sent

    def completion(self, usage: Usage) -> Completion:
        """Return the whole answer, with ``usage``."""
        return Completion(
            text="".join(self._text),
            tool_calls=tuple(ToolRequest(*self._tools[index]) for index in sorted(self._tools)),
            usage=usage,
            finish_reason=self._finish_reason,
            logprobs=tuple(self._logprobs),
        )
