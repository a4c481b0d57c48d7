"""The form of prompts: functions that make a request, and functions that read the answer.

A reading function raises ``ValueError`` for an unusable answer, with a reason that helps the model to correct it.
"""

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from spec_envs.agents.llm.messages import ChatRequest, Completion
from spec_envs.errors import InvalidConfiguration
from spec_envs.json_files import DEEPEST, is_deep

Prompts = TypeVar("Prompts")
#: The last queries to a handler with its responses, oldest first.
Past = Sequence[tuple[Any, Any]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPrompt:
    """A prompt for the agent's own decision.

    Args:
        request: ``request(observation)`` returns the request to the model.
        read: ``read(completion, observation)`` returns the action that the model chose.

    Raises:
        InvalidConfiguration: One of them cannot be called.
    """

    request: Callable[[Any], ChatRequest]
    read: Callable[[Completion, Any], Any]

    def __post_init__(self) -> None:
        _check_functions(self)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GuessPrompt:
    """A prompt for guesses of a handler's response: the answer has one guess on each line, most likely first.

    Args:
        request: ``request(query, k, past)`` returns the request to the model. ``past`` holds the last queries to the
            handler with its responses, as examples. Raises ``TypeError`` or ``ValueError`` for another domain's query.
        read: ``read(line, query)`` returns the response that a line names.

    Raises:
        InvalidConfiguration: One of them cannot be called.
    """

    request: Callable[[Any, int, Past], ChatRequest]
    read: Callable[[str, Any], Any]

    def __post_init__(self) -> None:
        _check_functions(self)


def _check_functions(prompt: PolicyPrompt | GuessPrompt) -> None:
    for name, function in (("request", prompt.request), ("read", prompt.read)):
        if not callable(function):
            raise InvalidConfiguration(f"{name} of a {type(prompt).__name__} must be a function, not {function!r:.200}")


def named(prompts: Mapping[str, Prompts], given: object, kind: type[Prompts], otherwise: str) -> Prompts:
    """Return ``given`` if it is of that ``kind``, and otherwise the one among ``prompts`` that has this name.

    Raises:
        InvalidConfiguration: ``given`` is neither; the message calls the kind ``otherwise``.
    """
    if isinstance(given, kind):
        return given
    if not isinstance(given, str) or given not in prompts:
        names = ", ".join(f'"{each}"' for each in prompts)
        raise InvalidConfiguration(f"the prompt must be {names} or {otherwise}, not {given!r:.200}")
    return prompts[given]


def user_message(text: str) -> Mapping[str, Any]:
    """Return a chat message of the user."""
    return {"role": "user", "content": text}


def corrected(request: ChatRequest, completion: Completion, wrong: str) -> ChatRequest:
    """Return ``request`` with the unusable answer added, and with ``wrong``, the reason why it is unusable."""
    calls = [
        {"id": f"wrong_{index}", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for index, call in enumerate(completion.tool_calls)
    ]
    answer: dict[str, Any] = {"role": "assistant", "content": completion.text}
    if calls:
        answer |= {"content": completion.text or None, "tool_calls": calls}
    complaint = f"That cannot be used: {wrong}. Answer again, in the requested form."
    # Every tool call in a dialogue needs a result.
    results = [{"role": "tool", "tool_call_id": call["id"], "content": complaint} for call in calls]
    messages: list[Mapping[str, Any]] = [
        *request.messages,
        answer,
        *(results or [{"role": "user", "content": complaint}]),
    ]
    return dataclasses.replace(request, messages=messages)


def best_first(k: int, what: str, form: str) -> str:
    """Return the last sentences of a prompt for guesses."""
    return f"Name the {k} most likely {what}, most likely first, one on each line, {form}. Write nothing else."


def tool_call(name: str, arguments: Any, known: Collection[str] | None) -> dict[str, Any]:
    """Return a tool call as an action.

    Raises:
        ValueError: The tool is not among the ``known`` ones, or ``arguments`` is no JSON object, or nested too deeply.
    """
    if known is not None and name not in known:
        raise ValueError(f"there is no tool {name!r}; the tools are {', '.join(known)}")
    if not isinstance(arguments, dict):
        raise ValueError(f"the arguments of {name} must be a JSON object, not {json.dumps(arguments)[:200]}")
    if is_deep(arguments):
        raise ValueError(f"the arguments of {name} are nested more than {DEEPEST} times")
    return {"name": name, "arguments": arguments}


def json_line(line: str, *, whole: bool = False) -> Any:
    """Return the JSON data in a line. Text after an object or a list is ignored, unless the line must be ``whole``.

    Raises:
        ValueError: The line is not JSON, or holds numbers or characters that JSON cannot write.
    """
    try:
        text = line.strip()
        value, end = _DECODER.raw_decode(text)
        if text[end:] and (whole or text[0] not in "{["):
            raise ValueError(f"there is more behind it: {text[end:][:50]!r}")
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # no infinity, no lone surrogates
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{line[:200]!r} is not JSON ({error})") from None
    return value


def bracketed(text: str, start: int) -> str:
    """Return the text between the bracket at ``start`` and its closing bracket, on the same line.

    Brackets may be nested. If no bracket closes the first one, a bracket at the end of the line counts as closing it.

    Raises:
        ValueError: The bracket is not closed.
    """
    line = text[start:].partition("\n")[0]
    depth = 0
    for place, character in enumerate(line):
        depth += (character == "[") - (character == "]")
        if not depth:
            return line[1:place]
    if line.rstrip(" \t\r.*`").endswith("]"):
        return line.rstrip(" \t\r.*`")[1:-1]
    raise ValueError(f"the bracket in {line[:200]!r} is not closed")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
