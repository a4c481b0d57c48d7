"""Reads the agent's actions: messages to the customer, and tool calls, of which one action may hold several."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from spec_envs.brief import quoted
from spec_envs.checks import as_integer
from spec_envs.errors import InvalidAction
from spec_envs.immutable import frozen
from spec_envs.json_files import DEEPEST, is_deep, parsed

Action = str | Mapping[str, Any] | Sequence[Mapping[str, Any]]

#: Actions that change nothing, for ``action_space.sample()``.
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
    """A tool call. ``text`` is ``arguments`` as JSON text; the arguments cannot be changed."""

    name: str
    arguments: Mapping[str, Any]
    text: str


def read_action(action: object) -> str | tuple[CallAction, ...]:
    """Return the message, or the tool calls, that an action contains.

    A mapping or a JSON object with a ``name`` is a tool call. A sequence of these is several tool calls. Any other text
    is a message. In tau-bench's form, ``arguments`` are called ``kwargs``, and a message is
    ``{"name": "respond", "kwargs": {"content": …}}``.

    Raises:
        InvalidAction: ``action`` is neither text nor tool calls with a ``name`` each, or arguments are not JSON data.
    """
    if isinstance(action, str):
        called = parsed(action) if action.lstrip()[:1] in ("{", "[") else None
        if _is_call(called):
            return _one(called)
        return _several(called) if isinstance(called, list) and called and all(map(_is_call, called)) else str(action)
    if _is_call(action):
        return _one(action)
    if isinstance(action, (list, tuple)) and action and all(map(_is_call, action)):
        return _several(action)
    raise InvalidAction(
        f'an action is a message (text), a tool call ({{"name": text, "arguments": {{…}}}}), or a list of tool calls '
        f"(calls also as JSON text), not {quoted(action)}"
    )


def _is_call(action: object) -> bool:
    return isinstance(action, Mapping) and isinstance(action.get("name"), str)


def _one(action: Any) -> str | tuple[CallAction, ...]:
    read = _call(action)
    return read if isinstance(read, str) else (read,)


def _several(actions: Sequence[Any]) -> tuple[CallAction, ...]:
    read = tuple(map(_call, actions))
    calls = tuple(each for each in read if not isinstance(each, str))
    if len(calls) < len(read):
        raise InvalidAction(
            "a list of actions may hold only tool calls, and this list holds a message to the customer (respond): "
            "send the message as an action of its own"
        )
    return calls


def _call(action: Mapping[str, Any]) -> str | CallAction:
    name = action["name"]
    arguments = action["arguments"] if "arguments" in action else action.get("kwargs", {})
    if isinstance(arguments, str):  # chat models give the arguments as JSON text
        value = parsed(arguments)
        arguments = {} if not arguments.strip() else arguments if value is None else value
    if name == "respond" and isinstance(arguments, Mapping) and isinstance(arguments.get("content"), str):
        return str(arguments["content"])
    if is_deep(arguments):
        raise InvalidAction(f"the arguments of {name} hold lists or objects that are nested more than {DEEPEST} times")
    try:
        text = json.dumps(arguments, default=_integer)
    except (TypeError, ValueError) as error:
        raise InvalidAction(
            f"the arguments of {name} are not JSON data: {error}; they are {quoted(arguments)}"
        ) from None
    return CallAction(str(name), frozen(json.loads(text)), text)


def _integer(value: object) -> int:
    """An integer of another kind, such as ``np.int64``, as JSON has it."""
    found = as_integer(value)
    if found is None:
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    return found
