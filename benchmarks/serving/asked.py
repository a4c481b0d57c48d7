"""Reads the body of a client's request to a model server, and checks it as OpenAI does."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spec_envs.agents.llm import ChatRequest

_ROLES = ("developer", "system", "user", "assistant", "tool", "function")


class BadRequest(Exception):
    """A request that cannot be answered, with the HTTP status and OpenAI's name for the reason."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, and how to answer it.

    Args:
        request: The request to the model.
        stop: Texts before which the answer ends.
        stream: Whether the answer is sent token by token.
        with_usage: Whether a stream reports its usage at the end.
    """

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
