"""The agent's actions: ``search[entity]``, ``lookup[keyword]``, ``finish[answer]``, or a tool call of the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from spec_envs.errors import InvalidAction

__all__ = ["ARGUMENTS", "MAX_LENGTH", "SAMPLES", "Act", "Action", "Mistake", "read_action"]

Action = str | Mapping[str, Any]

#: Characters of an action, at most.
MAX_LENGTH = 2_000
#: What each action is given, by its name.
ARGUMENTS = {"search": "entity", "lookup": "keyword", "finish": "answer"}
SAMPLES = (
    "search[Earth]",
    "search[list of islands]",
    "lookup[born]",
    "lookup[the]",
    '{"name": "search", "arguments": {"entity": "Moon"}}',
)

_FORM = re.compile(r"\s*(\w+)\s*\[(.*)\]\s*", re.DOTALL)
_USAGE = "use search[entity], lookup[keyword] or finish[answer]"
_SHOWN = 200


class Act(NamedTuple):
    """An action that was understood: "search", "lookup" or "finish", and its argument, with single spaces.

    ``thought`` is what the agent thought, if it wants to find it in the transcript again.
    """

    name: str
    argument: str
    thought: str = ""

    def __str__(self) -> str:
        return f"{self.name}[{self.argument}]"


class Mistake(NamedTuple):
    """An action that was not understood: how it began, and what is wrong with it."""

    text: str
    reason: str

    def __str__(self) -> str:
        return self.text


def read_action(action: object) -> Act | Mistake:
    """Read an action, given as text, as a mapping ``{name, arguments}``, or as such a mapping in JSON text.

    Names are read in any case: ReAct's ``Search[…]`` is ``search[…]``. An action is the same however it is written. A
    mapping may have a ``thought``, which is kept in the transcript and has no other effect.

    Raises:
        InvalidAction: It is neither text nor a mapping, or is longer than ``MAX_LENGTH`` characters.
    """
    if isinstance(action, str):
        _check_length(action)
        called = _parsed(action) if action.lstrip()[:1] == "{" else None
        return _read_call(called, action) if isinstance(called, dict) else _read_text(action)
    if isinstance(action, Mapping):
        try:
            text = json.dumps(dict(action), ensure_ascii=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidAction(f"a tool call must be JSON data, and this is none: {error}") from None
        _check_length(text)
        return _read_call(json.loads(text), text)
    raise InvalidAction(
        f"an action is text ({_USAGE}) or a tool call ({{'name': 'search', 'arguments': {{'entity': …}}}}), "
        f"not {repr(action)[:200]}"
    )


def _check_length(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise InvalidAction(f"an action has at most {MAX_LENGTH} characters, not {len(text)}: {text[:_SHOWN]!r}…")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _read_text(text: str) -> Act | Mistake:
    match = _FORM.fullmatch(text)
    if match is None:
        return _mistake(text, _USAGE)
    return _act(match[1], match[2], text)


def _read_call(call: Mapping[str, Any], text: str) -> Act | Mistake:
    name, arguments = call.get("name"), call.get("arguments", {})
    if not isinstance(name, str):
        return _mistake(text, 'a tool call has a "name"')
    if isinstance(arguments, str):  # as chat models give them
        arguments = _parsed(arguments)
    wanted = ARGUMENTS.get(name.lower())
    if wanted is None:
        return _mistake(text, f"there is no action {name[:_SHOWN]!r}; {_USAGE}")
    argument = arguments.get(wanted) if isinstance(arguments, Mapping) else None
    if not isinstance(argument, str):
        return _mistake(text, f'{name.lower()} takes {{"{wanted}": text}}')
    thought = call.get("thought", "")
    return _act(name, argument, text, thought if isinstance(thought, str) else "")


def _act(name: str, argument: str, text: str, thought: str = "") -> Act | Mistake:
    name, argument = name.lower(), " ".join(argument.split())
    if name not in ARGUMENTS:
        return _mistake(text, f"there is no action {name[:_SHOWN]!r}; {_USAGE}")
    if any("\ud800" <= char <= "\udfff" for char in argument + thought):
        return _mistake(text, "half a surrogate pair is no character")
    if not argument and name != "finish":
        return _mistake(text, f"{name} needs a text between the brackets")
    return Act(name, argument, thought)


def _mistake(text: str, reason: str) -> Mistake:
    return Mistake(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…", reason)
