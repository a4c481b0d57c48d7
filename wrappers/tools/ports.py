"""What a tool is to the proxy: its name, how it is called ahead of time, and what its results are."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from spec_envs.conversation import ToolResult, from_chat

__all__ = ["Port", "qualified"]


def qualified(server: str, name: str) -> str:
    """The name of a tool of ``server``, as rules, guessers and the audit know it."""
    return f"{server}:{name}" if server else name


def _as_it_is(value: Any) -> Any:
    return value


def _always(value: Any) -> bool:
    return True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """How a tool is called ahead of time, and what its results are. Adapters make these.

    Args:
        execute: ``await execute(arguments, context)``: the result; ``context`` is that of the run.
        content: What guessers see of a result: JSON data or a text.
        usable: Whether a result may be given to whoever asks the same: false for errors, and for anything that does
            more than answer.
        source: Whose tool it is: a client, a server or a function. No two may have tools of one name.
    """

    execute: Callable[[dict[str, Any], Any], Awaitable[Any]]
    content: Callable[[Any], Any] = _as_it_is
    usable: Callable[[Any], bool] = _always
    source: Any = None

    def seen(self, value: Any) -> Any:
        """What guessers see of the result ``value``: JSON data where its text is such."""
        content = self.content(value)
        if not isinstance(content, str):
            return content
        (result,) = from_chat([{"role": "tool", "content": content}]).events
        return result.content if isinstance(result, ToolResult) else content
