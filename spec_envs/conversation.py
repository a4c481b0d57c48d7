"""Conversations of an agent with a user and with tools, in a neutral form: messages, tool calls and their results.

``from_chat`` reads chat messages in the form of OpenAI's API, and ``ChatReader`` reads a dialogue that grows.
``read_trajectories`` reads files of recorded conversations, and ``write_trajectories`` writes them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spec_envs.errors import InvalidConfiguration

__all__ = [
    "AssistantMessage",
    "ChatReader",
    "Conversation",
    "Event",
    "Tool",
    "ToolCall",
    "ToolResult",
    "Trajectory",
    "UserMessage",
    "canonical",
    "from_chat",
    "read_trajectories",
    "tools_from_schemas",
    "write_trajectories",
]


@dataclasses.dataclass(frozen=True, slots=True)
class UserMessage:
    """A message of the user."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class AssistantMessage:
    """A message of the agent to the user."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call of the agent. ``arguments`` is JSON data that must never be changed; ``id`` is not compared."""

    name: str
    arguments: Mapping[str, Any]
    id: str = dataclasses.field(default="", compare=False)
    _key: str = dataclasses.field(default="", init=False, compare=False, repr=False)

    @property
    def key(self) -> str:
        """A text that is equal for equal calls: the name and the arguments; made once. ``60`` and ``60.0`` differ.

        A tool may answer an int and a float differently.
        """
        if not self._key:
            object.__setattr__(self, "_key", f"{self.name}({_encode(_plain(self.arguments, exact=True))})")
        return self._key


@dataclasses.dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of the earliest unanswered call with the same ``id``, or else of the earliest unanswered call.

    Attributes:
        content: JSON data or a text; for an error usually its text.
        error: Whether the call failed.
        id: The id of the call, which is not compared.
    """

    content: Any
    error: bool = False
    id: str = dataclasses.field(default="", compare=False)


Event = UserMessage | AssistantMessage | ToolCall | ToolResult
"""What a conversation is made of."""


@dataclasses.dataclass(frozen=True, slots=True)
class Tool:
    """A tool: its name, its description ("" if unknown), and the JSON schema of its arguments ({} if unknown)."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Conversation:
    """Events in their order, and the agent's tools, as far as they are known."""

    events: tuple[Event, ...] = ()
    tools: tuple[Tool, ...] = ()

    def until(self, length: int) -> Conversation:
        """Return the conversation as it was after its first ``length`` events."""
        return Conversation(self.events[:length], self.tools)


@dataclasses.dataclass(frozen=True, slots=True)
class Trajectory:
    """A finished conversation, with its task and its reward where they are known."""

    conversation: Conversation
    task: str = ""
    reward: float | None = None


def canonical(value: Any) -> str:
    """Return JSON text that is equal for equal data: sorted keys, and ``60`` for ``60.0``. Lists keep their order."""
    kind = type(value)
    if kind is int:
        return repr(value)
    return _encode(value if kind is str else _plain(value))


#: ``json.dumps`` with other arguments than its defaults makes such an encoder in each call.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _plain(value: Any, *, exact: bool = False) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each, exact=exact) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, exact=exact) for each in value]
    if not exact and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def tools_from_schemas(schemas: Iterable[Any]) -> tuple[Tool, ...]:
    """Return tools from schemas: OpenAI's form, or mappings with ``name``, ``description`` and ``parameters``."""
    return tuple(schema if isinstance(schema, Tool) else _tool(schema) for schema in schemas)


def _tool(schema: Mapping[str, Any]) -> Tool:
    function = schema.get("function", schema)
    parameters = function.get("parameters") or function.get("input_schema") or {}
    return Tool(str(function["name"]), str(function.get("description") or ""), parameters)


def from_chat(messages: Iterable[Mapping[str, Any]], tools: Iterable[Any] = ()) -> Conversation:
    """Return the conversation in chat messages (``role``, ``content``, ``tool_calls``), without system messages.

    Raises:
        InvalidConfiguration: A message has an unknown role, or a tool call has no name.
    """
    events = tuple(event for message in messages for event in _events_of(message))
    return Conversation(events, tools_from_schemas(tools))


class ChatReader:
    """Reads a dialogue that grows; each call reads only the messages that are new. Not thread-safe."""

    def __init__(self) -> None:
        self._messages: list[Mapping[str, Any]] = []
        self._events: list[Event] = []
        self._ends: list[int] = []

    def read(self, messages: Sequence[Mapping[str, Any]], tools: tuple[Tool, ...] = ()) -> Conversation:
        """Return the conversation in ``messages``, which may also be shorter than before, or another dialogue."""
        same = 0
        for old, new in zip(self._messages, messages, strict=False):
            if old is not new and old != new:
                break
            same += 1
        del self._messages[same:], self._ends[same:]
        del self._events[self._ends[-1] if self._ends else 0 :]
        for message in messages[same:]:
            self._events.extend(_events_of(message))
            self._messages.append(dict(message))
            self._ends.append(len(self._events))
        return Conversation(tuple(self._events), tools)


def _events_of(message: Mapping[str, Any]) -> Iterator[Event]:
    role, content = message.get("role"), message.get("content")
    if role == "user":
        yield UserMessage(_text(content))
    elif role == "assistant":
        if content:
            yield AssistantMessage(_text(content))
        for call in message.get("tool_calls") or ():
            yield _call(call)
    elif role in ("tool", "function"):
        yield _result(content, str(message.get("tool_call_id") or ""))
    elif role not in ("system", "developer"):
        raise InvalidConfiguration(
            f"a chat message has the role user, assistant, tool or system, not {role!r}: {str(message)[:200]}"
        )


def _text(content: Any) -> str:
    if isinstance(content, list | tuple):  # the parts of a message; only texts are read
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return "" if content is None else str(content)


def _call(call: Mapping[str, Any]) -> ToolCall:
    function = call.get("function", call)
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        arguments = _parsed(arguments or "{}")
    if not isinstance(function.get("name"), str):
        raise InvalidConfiguration(f"a tool call needs a name: {str(call)[:200]}")
    if not isinstance(arguments, Mapping):  # a model wrote no JSON object
        arguments = {"": arguments}
    return ToolCall(function["name"], arguments, str(call.get("id") or ""))


def _result(content: Any, call_id: str) -> ToolResult:
    if isinstance(content, list | tuple) and content and all(isinstance(p, Mapping) and "text" in p for p in content):
        content = _text(content)
    if isinstance(content, str):
        content = _parsed(content)
    failed = isinstance(content, str) and content.lstrip().lower().startswith("error")
    if isinstance(content, Mapping) and set(content) <= {"error", "message", "code"} and "error" in content:
        failed = bool(content["error"])
    return ToolResult(content, failed, call_id)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def read_trajectories(path: Path | str) -> list[Trajectory]:
    """Return the trajectories in a file of tau-bench (a JSON list of ``{task_id, reward, traj}``), or in our own form.

    Our own form has one JSON object in each line: ``{"task", "reward", "tools", "events"}``. An event is one of
    ``{"user": text}``, ``{"assistant": text}``, ``{"call": name, "arguments": {…}}`` and
    ``{"result": data, "error": bool}``; the last two may have an ``id``.

    Raises:
        InvalidConfiguration: The file does not hold trajectories; the message says what is wrong.
        OSError: The file cannot be read.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        if text.lstrip().startswith("["):
            return [_from_tau_bench(entry) for entry in json.loads(text)]
        return [_from_json(json.loads(line)) for line in text.split("\n") if line.strip()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        wrong = f"an entry has no key {error}" if isinstance(error, KeyError) else str(error)
        wrong = "an entry is not an object" if isinstance(error, AttributeError) else wrong
        raise InvalidConfiguration(
            f"{path} holds no trajectories: {wrong}. It must be a JSON list from tau-bench (of {{task_id, reward, "
            "traj}), or hold one JSON object a line ({task, reward, tools, events})"
        ) from error


def write_trajectories(path: Path | str, trajectories: Iterable[Trajectory]) -> None:
    """Write trajectories in our own form, which ``read_trajectories`` reads."""
    lines = (json.dumps(_to_json(trajectory), ensure_ascii=False) for trajectory in trajectories)
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _from_tau_bench(entry: Mapping[str, Any]) -> Trajectory:
    reward = None if entry.get("reward") is None else float(entry["reward"])
    return Trajectory(from_chat(entry["traj"], entry.get("tools") or ()), str(entry["task_id"]), reward)


def _from_json(entry: Mapping[str, Any]) -> Trajectory:
    events = tuple(_event_from_json(event) for event in entry["events"])
    tools = tools_from_schemas(entry.get("tools") or ())
    return Trajectory(Conversation(events, tools), str(entry.get("task", "")), entry.get("reward"))


def _event_from_json(event: Mapping[str, Any]) -> Event:
    identity = str(event.get("id") or "")
    if "user" in event:
        return UserMessage(event["user"])
    if "assistant" in event:
        return AssistantMessage(event["assistant"])
    if "call" in event:
        return ToolCall(event["call"], dict(event.get("arguments") or {}), identity)
    return ToolResult(event["result"], bool(event.get("error", False)), identity)


def _to_json(trajectory: Trajectory) -> dict[str, Any]:
    tools = [dataclasses.asdict(tool) for tool in trajectory.conversation.tools]
    events = [_event_to_json(event) for event in trajectory.conversation.events]
    return {"task": trajectory.task, "reward": trajectory.reward, "tools": tools, "events": events}


def _event_to_json(event: Event) -> dict[str, Any]:
    match event:
        case UserMessage(text):
            return {"user": text}
        case AssistantMessage(text):
            return {"assistant": text}
        case ToolCall(name, arguments, identity):
            return {"call": name, "arguments": dict(arguments)} | ({"id": identity} if identity else {})
        case ToolResult(content, error, identity):
            return {"result": content, "error": error} | ({"id": identity} if identity else {})
