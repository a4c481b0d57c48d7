"""OpenAI's chat completions on the wire: an answer as tokens, chunks and usage."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spec_envs.agents.llm import ChatRequest, Completion

#: A token of this server: a word, or the next three letters of one, with the space before it.
_TOKEN = re.compile(r"\s?\S{1,3}|\s")


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """A token of an answer: the ``delta`` that carries it, and its log-probability where it has one."""

    delta: Mapping[str, Any]
    text: str
    logprob: float | None = None


def tokens_of(text: str) -> list[str]:
    """The tokens of a text, which together are the text; none has more than four characters."""
    return _TOKEN.findall(text)


def tokens_in(request: ChatRequest) -> int:
    """Tokens of a request: of all texts in its messages, and of its tools."""
    texts = [json.dumps(each) if each is not None else "" for each in (*_contents(request), *request.tools)]
    return sum(map(len, map(tokens_of, texts)))


def _contents(request: ChatRequest) -> Iterator[Any]:
    for message in request.messages:
        yield message.get("content")
        yield message.get("tool_calls")


def stopped(answer: Completion, stop: Sequence[str]) -> Completion:
    """``answer`` up to the first of the texts in ``stop``."""
    places = [place for place in map(answer.text.find, stop) if place >= 0]
    if not places:
        return answer
    end, start = min(places), 0
    logprobs = []
    for token, logprob in answer.logprobs:
        if start < end:
            logprobs.append((token[: end - start], logprob))
        start += len(token)
    return Completion(text=answer.text[:end], usage=answer.usage, logprobs=tuple(logprobs))


def written(request: ChatRequest, answer: Completion, reasoning_tokens: int) -> tuple[list[Token], str]:
    """The tokens of an answer, reasoning first, and the finish reason."""
    tokens = [Token({"reasoning_content": " hm"}, " hm") for _ in range(reasoning_tokens)]
    said = answer.logprobs or [(text, 0.0) for text in tokens_of(answer.text)]  # a scripted answer is certain
    tokens += [Token({"content": text}, text, logprob) for text, logprob in said]
    calls_before = sum(message["role"] == "tool" for message in request.messages)
    for index, call in enumerate(answer.tool_calls):
        # Numbered within the conversation: unique there, and equal for equal answers.
        head = {"index": index, "id": f"call_{calls_before + index}", "type": "function"}
        tokens.append(Token({"tool_calls": [head | {"function": {"name": call.name, "arguments": ""}}]}, call.name))
        for text in tokens_of(call.arguments):
            tokens.append(Token({"tool_calls": [{"index": index, "function": {"arguments": text}}]}, text))
    if request.max_tokens is not None and len(tokens) > request.max_tokens:
        return tokens[: request.max_tokens], "length"
    return tokens, "tool_calls" if answer.tool_calls else answer.finish_reason


def first_chunk(head: Mapping[str, Any]) -> dict[str, Any]:
    """The chunk before the first token, which holds the role of the message."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None, "logprobs": None}
    return {**head, "object": "chat.completion.chunk", "choices": [choice]}


def chunk(head: Mapping[str, Any], token: Token, logprobs: bool) -> dict[str, Any]:
    """The chunk that carries a token."""
    choice = {"index": 0, "delta": token.delta, "finish_reason": None, "logprobs": _logprobs([token], logprobs)}
    return {**head, "object": "chat.completion.chunk", "choices": [choice]}


def last_chunks(head: Mapping[str, Any], reason: str, usage: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The chunks after the last token."""
    head = {**head, "object": "chat.completion.chunk"}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason, "logprobs": None}]}
    if usage is not None:
        yield {**head, "choices": [], "usage": usage}


def whole(
    head: Mapping[str, Any], tokens: Sequence[Token], reason: str, usage: Mapping[str, Any], logprobs: bool
) -> dict[str, Any]:
    """The answer in one piece."""
    message: dict[str, Any] = {"role": "assistant", "content": None}
    calls: dict[int, dict[str, Any]] = {}
    for token in tokens:
        for kind in ("content", "reasoning_content"):
            if kind in token.delta:
                message[kind] = (message.get(kind) or "") + token.text
        for call in token.delta.get("tool_calls", ()):
            if "id" in call:
                calls[call["index"]] = {key: call[key] for key in ("id", "type")} | {"function": {**call["function"]}}
            else:
                calls[call["index"]]["function"]["arguments"] += token.text
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": _logprobs(tokens, logprobs)}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}


def usage_of(read: int, tokens: Sequence[Token]) -> dict[str, Any]:
    """Usage in OpenAI's form."""
    reasoning = sum("reasoning_content" in token.delta for token in tokens)
    return {
        "prompt_tokens": read,
        "completion_tokens": len(tokens),
        "total_tokens": read + len(tokens),
        "completion_tokens_details": {"reasoning_tokens": reasoning},
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def _logprobs(tokens: Sequence[Token], wanted: bool) -> dict[str, Any] | None:
    if not wanted:
        return None
    known = [(token.text, token.logprob) for token in tokens if token.logprob is not None]
    return {"content": [_logprob(text, logprob) for text, logprob in known if not math.isnan(logprob)], "refusal": None}


def _logprob(text: str, logprob: float) -> dict[str, Any]:
    # JSON has no infinity; OpenAI says -9999.0 for a token that is next to impossible.
    as_bytes = list(text.encode(errors="replace"))
    return {"token": text, "logprob": max(logprob, -9999.0), "bytes": as_bytes, "top_logprobs": []}


def error_body(message: str, status: int, *, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """An error in OpenAI's form."""
    kind = "server_error" if status >= 500 else "rate_limit_exceeded" if status == 429 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
