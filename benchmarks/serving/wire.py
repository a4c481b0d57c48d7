"""OpenAI's chat completions on the wire: an answer as tokens, chunks and usage."""

import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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


def chunk(
    head: Mapping[str, Any], delta: Mapping[str, Any], reason: str | None = None, logprobs: Any = None
) -> dict[str, Any]:
    """A chunk of a streamed answer: the first one holds the role of the message, the last one the finish reason."""
    choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": logprobs}
    return {**head, "object": "chat.completion.chunk", "choices": [choice]}


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
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": logprobs_of(tokens, logprobs)}
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


def logprobs_of(tokens: Sequence[Token], wanted: bool) -> dict[str, Any] | None:
    """The log-probabilities of tokens in OpenAI's form, if they are wanted."""
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


_ROLES = ("developer", "system", "user", "assistant", "tool", "function")


class BadRequest(Exception):
    """A request that cannot be answered, with the HTTP status and OpenAI's name for the reason."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, and how to answer it; with ``with_usage``, a stream reports its usage at the end."""

    request: ChatRequest
    stop: tuple[str, ...]
    stream: bool
    with_usage: bool


def read_request(data: bytes, model: str) -> Asked:
    """Read a request to ``model``. A parameter that is ``null`` counts as not given.

    A message whose content is a list of texts reaches the model with one joined text. Parameters that make no
    difference to a scripted answer (``top_p``, ``seed``, ``user``, …) are ignored.

    Raises:
        BadRequest: It is not a request for chat completions, or needs a feature that this server lacks.
    """
    given = _given(data)
    if given.get("model") != model:
        text = f"the model {given.get('model')!r} does not exist; this server has {model!r}"
        raise BadRequest(text, status=404, param="model", code="model_not_found")
    messages = given.get("messages")
    if not messages:
        raise BadRequest("messages must be a list of at least one message", param="messages")
    if (n := given.get("n", 1)) != 1:
        raise BadRequest(f"n must be 1, not {n!r}", param="n")
    tools = [] if given.get("tool_choice") == "none" else given.get("tools", [])
    request = ChatRequest(
        messages=[_message(message, f"messages[{index}]") for index, message in enumerate(messages)],
        tools=[_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)] or (),
        output="text" if given.get("response_format", {}).get("type", "text") == "text" else "json",
        max_tokens=given.get("max_completion_tokens", given.get("max_tokens")),
        temperature=given.get("temperature"),
        logprobs=given.get("logprobs", False),
    )
    stop = given.get("stop", ())
    return Asked(
        request=request,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        stream=given.get("stream", False),
        with_usage=bool(given.get("stream_options", {}).get("include_usage")),
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_form(value: Any) -> bool:
    return isinstance(value, Mapping) and _is_text(value.get("type"))


def _is_stop(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, list) and len(value) <= 4 and all(map(_is_text, value)))


def _is_temperature(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 2


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


#: What each parameter must be: a test, and the words for it.
_PARAMETERS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "messages": (_is(list), "a list"),
    "n": (_is_count, "an integer of at least 1"),
    "max_tokens": (_is_count, "an integer of at least 1"),
    "max_completion_tokens": (_is_count, "an integer of at least 1"),
    "temperature": (_is_temperature, "a number from 0 to 2"),
    "logprobs": (_is(bool), "true or false"),
    "stream": (_is(bool), "true or false"),
    "stream_options": (_is(dict), "an object"),
    "response_format": (_is_form, "an object with a type"),
    "tools": (_is(list), "a list"),
    "stop": (_is_stop, "a text, or a list of at most 4 texts"),
}


def _given(data: bytes) -> Mapping[str, Any]:
    """The parameters that are given, each of the right kind."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is no JSON: {error}") from None
    if not isinstance(body, Mapping):
        raise BadRequest("the body must be a JSON object")
    given = {name: value for name, value in body.items() if value is not None}
    for name, (is_right, what) in _PARAMETERS.items():
        if name in given and not is_right(given[name]):
            raise BadRequest(f"{name} must be {what}, not {json.dumps(given[name]):.200}", param=name)
    return given


def _message(message: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(message, Mapping) or message.get("role") not in _ROLES:
        raise BadRequest(f"{where} must be an object with a role, one of {', '.join(_ROLES)}", param=where)
    content = message.get("content")
    if content is None and message["role"] != "assistant":
        raise BadRequest(f"{where} must have a content", param=f"{where}.content")
    if isinstance(content, Sequence) and not isinstance(content, str):
        return {**message, "content": "".join(_part(part, f"{where}.content[{n}]") for n, part in enumerate(content))}
    if content is not None and not isinstance(content, str):
        raise BadRequest(f"{where}.content must be a text or a list of texts", param=f"{where}.content")
    calls = message.get("tool_calls")
    if calls is not None and not (isinstance(calls, list) and all(_has_function(call) for call in calls)):
        raise BadRequest(f"{where}.tool_calls must be a list of calls of functions", param=f"{where}.tool_calls")
    return {**message, "content": content}


def _part(part: Any, where: str) -> str:
    text = part.get("text") if isinstance(part, Mapping) else None
    if not isinstance(text, str):
        raise BadRequest(f"{where} must be a text; this server reads nothing else", param=where)
    return text


def _tool(tool: Any, where: str) -> Mapping[str, Any]:
    if not _has_function(tool):
        raise BadRequest(f"{where} must be a function with a name", param=where)
    return tool  # type: ignore[no-any-return]


def _has_function(value: Any) -> bool:
    function = value.get("function") if isinstance(value, Mapping) else None
    return isinstance(function, Mapping) and _is_text(function.get("name"))
