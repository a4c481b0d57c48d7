"""How the proxy sees a tool: its name, how it is called ahead of time, and how its results are read."""

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from spec_envs.conversation import ToolResult, from_chat


def qualified(server: str, name: str) -> str:
    """Return the name by which rules, guessers and the audit know the tool ``name`` of ``server``."""
    return f"{server}:{name}" if server else name


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """How a tool is called ahead of time, and how its results are read. Adapters make ports.

    Args:
        execute: ``await execute(arguments, context)`` returns the result; ``context`` is that of the agent run.
        content: ``content(result)`` returns what guessers see of a result: JSON data or a text.
        usable: ``usable(result)`` says whether other equal calls may get the result: false for errors, and for results
            that do more than answer the call.
        source: Where the tool comes from: a client, a server or a function. Two sources may not have tools of the same
            name.
        takes_context: Whether ``execute`` uses its ``context``. If so, the user is told when calls fail ahead of time
            alone, and ``tools.run`` was given no context.
        server: The name of the server, by which the tool's name begins; "" for none. ``None``: what stands before the
            last colon of the tool's name. The names of servers and of their tools may hold colons themselves.
    """

    execute: Callable[[dict[str, Any], Any], Awaitable[Any]]
    content: Callable[[Any], Any] = lambda result: result
    usable: Callable[[Any], bool] = lambda result: True
    source: Any = None
    takes_context: bool = True
    server: str | None = None

    def seen(self, value: Any) -> Any:
        """Return what guessers see of the result ``value``; a text that holds JSON as JSON data."""
        content = self.content(value)
        if not isinstance(content, str):
            return content
        (result,) = from_chat([{"role": "tool", "content": content}]).events
        return result.content if isinstance(result, ToolResult) else content
