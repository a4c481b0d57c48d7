"""The agent's actions: ``search[entity]``, ``lookup[keyword]`` and ``finish[answer]``, or the equivalent tool calls."""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from spec_envs.brief import quoted
from spec_envs.errors import InvalidAction
from spec_envs.json_files import parsed

Action = str | Mapping[str, Any]

#: The greatest number of characters in an action.
MAX_LENGTH = 2_000
#: The name of each action's argument.
ARGUMENTS = {"search": "entity", "lookup": "keyword", "finish": "answer"}
#: The actions that ``action_space.sample()`` draws from.
SAMPLES = (
    "search[Earth]",
    "search[list of islands]",
    "lookup[born]",
    "lookup[the]",
    '{"name": "search", "arguments": {"entity": "Moon"}}',
)

_FORM = re.compile(r"\s*(\w+)\s*\[(.*)\]\s*", re.DOTALL)
_USAGE = "use search[entity], lookup[keyword] or finish[answer]"
#: How many characters of a malformed action are quoted.
_SHOWN = 200


class Act(NamedTuple):
    """A well-formed action."""

    name: str  # "search", "lookup" or "finish"
    argument: str  # the argument, with runs of white space replaced by single spaces
    thought: str = ""  # the agent's reasoning, kept in the transcript; "" if the agent gave none

    def __str__(self) -> str:
        return f"{self.name}[{self.argument}]"


class Mistake(NamedTuple):
    """A malformed action: its beginning, and the reason why it cannot be read."""

    text: str
    reason: str

    def __str__(self) -> str:
        return self.text


def read_action(action: object) -> Act | Mistake:
    """Read an action: text, a mapping with ``name`` and ``arguments``, or such a mapping as JSON text.

    All forms of an action give equal results. Names may be in upper or lower case, so ReAct's ``Search[…]`` is
    ``search[…]``. A mapping may have a ``thought``, which is kept in the transcript and has no other effect.

    Raises:
        InvalidAction: ``action`` is neither text nor JSON data, or is longer than ``MAX_LENGTH`` characters.
    """
    if isinstance(action, str):
        _check_length(action)
        called = parsed(action) if action.lstrip()[:1] == "{" else None
        if isinstance(called, dict):
            return _read_call(called, action)
        match = _FORM.fullmatch(action)
        return _mistake(action, _USAGE) if match is None else _act(match[1], match[2], action)
    if isinstance(action, Mapping):
        try:
            text = json.dumps(dict(action), ensure_ascii=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidAction(f"a tool call must be JSON data, and this one is not: {error}") from None
        _check_length(text)
        return _read_call(json.loads(text), text)
    raise InvalidAction(
        f"an action must be text ({_USAGE}) or a tool call ({{'name': 'search', 'arguments': {{'entity': …}}}}), "
        f"not {quoted(action)}"
    )


def _check_length(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise InvalidAction(f"an action has at most {MAX_LENGTH} characters, not {len(text)}: {text[:_SHOWN]!r}…")


def _read_call(call: Mapping[str, Any], text: str) -> Act | Mistake:
    name, arguments = call.get("name"), call.get("arguments", {})
    if not isinstance(name, str):
        return _mistake(text, 'a tool call has a "name"')
    if isinstance(arguments, str):  # chat models return the arguments as JSON text
        arguments = parsed(arguments)
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
        return _mistake(text, "a lone surrogate is not a character")
    if not argument and name != "finish":
        return _mistake(text, f"{name} needs a text between the brackets")
    return Act(name, argument, thought)


def _mistake(text: str, reason: str) -> Mistake:
    return Mistake(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…", reason)
