"""An answer as it arrives, piece by piece, and what it has cost so far when the server never gets to say so."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spec_envs.agents.llm.messages import ChatRequest, Completion, ToolRequest

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionChunk
    from openai.types.chat.chat_completion_chunk import ChoiceDelta

    from spec_envs.agents.llm.prices import Price
    from spec_envs.handling import Usage

#: Where there is nothing better to go by: characters of a token.
_CHARACTERS = 4


class TokenRates:
    """What the answers that came to their end tell about those that do not. Thread-safe.

    Tokens read are not reported for an answer that is broken off; neither are tokens of reasoning that is not shown.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read = [1.0, float(_CHARACTERS)]  # tokens, characters
        self._hidden = [0.0, 0.0]  # tokens, seconds until the first piece

    def learn(self, answer: Answer) -> None:
        """Learn from an answer whose usage was reported."""
        with self._lock:
            self._read[0] += answer.tokens_in
            self._read[1] += answer.characters_in
            self._hidden[0] += answer.hidden
            self._hidden[1] += answer.silence_s

    def read(self, characters: int) -> int:
        """Tokens in a request of so many characters."""
        with self._lock:
            return round(characters * self._read[0] / self._read[1])

    def hidden(self, seconds: float) -> int:
        """Tokens written unseen in so many seconds of silence."""
        with self._lock:
            return round(seconds * self._hidden[0] / self._hidden[1]) if self._hidden[1] else 0


class Answer:
    """The answer to ``request``."""

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
        """The request leaves; again, where the client tries again."""
        self._sent = now

    def refused(self) -> None:
        """The server will not answer the request that was sent."""
        self._sent = None

    def add(self, chunk: ChatCompletionChunk, now: float) -> None:
        """The next piece."""
        for choice in chunk.choices or ():  # some servers say null
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
        """Whether it holds anything that was written."""
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
        """Whether anything was written, or reported."""
        return bool(self._pieces) or self._reported is not None

    @property
    def is_complete(self) -> bool:
        """Whether the server has said why it ended."""
        return bool(self._finish_reason)

    def usage(self, price: Price, rates: TokenRates, now: float) -> Usage:
        """What it has cost by ``now``: as reported, or else counted.

        Counted is a token for each piece, or for each four characters if those are more (some servers send several
        tokens at once); what the request is worth; and what is usually written unseen in so long a silence.
        """
        if self._reported is not None:
            rates.learn(self)
            return price.usage(self.tokens_in, self._reported, self.cached)
        if self._sent is None:  # nobody works on it
            return price.usage(0, 0)
        seen = max(self._pieces, self._characters // _CHARACTERS)
        hidden = rates.hidden(self.silence_s or self._silence_s(now))
        return price.usage(rates.read(self.characters_in), seen + hidden)

    def _silence_s(self, now: float) -> float:
        return 0.0 if self._sent is None else now - self._sent

    def completion(self, usage: Usage) -> Completion:
        """The whole of it."""
        return Completion(
            text="".join(self._text),
            tool_calls=tuple(ToolRequest(*self._tools[index]) for index in sorted(self._tools)),
            usage=usage,
            finish_reason=self._finish_reason,
            logprobs=tuple(self._logprobs),
        )
