"""The agent's actions: a message to the customer or a tool call, read from a mapping or from text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from spec_envs.errors import InvalidAction

Action = str | Mapping[str, Any]

#: A few that change nothing.
SAMPLES = (
    "Could you tell me your e-mail address?",
    "What can I do for you?",
    "Is there anything else I can help you with?",
    '{"name": "list_all_product_types", "arguments": {}}',
    '{"name": "find_user_id_by_email", "arguments": {"email": "nobody@example.com"}}',
    '{"name": "get_order_details", "arguments": {"order_id": "#W0000000"}}',
    '{"name": "calculate", "arguments": {"expression": "1 + 1"}}',
)


class CallAction(NamedTuple):
    """A tool call; ``text`` is ``arguments`` as JSON text."""

    name: str
    arguments: Mapping[str, Any]
    text: str


def read_action(action: object) -> str | CallAction:
    """A message, or a tool call.

    A text that is a JSON object with a ``name`` is a tool call, any other text a message. tau-bench's form is read as
    well: ``kwargs`` instead of ``arguments``, and ``{"name": "respond", "kwargs": {"content": …}}`` for a message.

    Raises:
        InvalidAction: It is neither text nor a mapping with a ``name``, or its arguments are no JSON data.
    """
    if isinstance(action, str):
        called = _parsed(action) if action.lstrip()[:1] == "{" else None
        if not isinstance(called, dict) or not isinstance(called.get("name"), str):
            return str(action)
        return _call(called)
    if isinstance(action, Mapping) and isinstance(action.get("name"), str):
        return _call(action)
    raise InvalidAction(
        f'an action is a message (text) or a tool call ({{"name": text, "arguments": {{…}}}}, or this as JSON text), '
        f"not {repr(action)[:200]}"
    )


def _call(action: Mapping[str, Any]) -> str | CallAction:
    name = action["name"]
    arguments = action["arguments"] if "arguments" in action else action.get("kwargs", {})
    if isinstance(arguments, str):  # as chat models give them
        parsed = _parsed(arguments)
        arguments = {} if not arguments.strip() else arguments if parsed is None else parsed
    if name == "respond" and isinstance(arguments, Mapping) and isinstance(arguments.get("content"), str):
        return str(arguments["content"])
    try:
        text = json.dumps(arguments)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidAction(f"the arguments of {name} are no JSON data: {error}; they are {arguments!r:.200}") from None
    # A copy: the caller may change what it gave, and the query must stay what it is.
    return CallAction(str(name), json.loads(text), text)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
