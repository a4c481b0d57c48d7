"""How the proxy sees a tool: its name, how it is called ahead of time, and how its results are read."""

import dataclasses
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from spec_envs.conversation import ToolResult, from_chat
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import is_async


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
        takes_context: Whether ``execute`` uses its ``context``. If so, a warning tells of calls that fail only ahead of
            time, where ``tools.run`` was given no context.
        server: The name of the server, with which the tool's name begins; "" for none. ``None``: the text before the
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


async def outcome(value: Any) -> Any:
    """Return ``value``, or its result where it can be awaited: a lambda may have returned either."""
    return await value if inspect.isawaitable(value) else value


def port_of(tool: str, port: Port | Callable[..., Awaitable[Any]]) -> Port:
    """``port``, or a port that calls the coroutine function ``port`` with the arguments by name.

    Raises:
        InvalidConfiguration: ``tool`` is no name, or ``port`` is neither a ``Port`` nor a coroutine function. (A lambda
            is taken, since what it returns is not known before.)
    """
    if not isinstance(tool, str) or not tool:
        raise InvalidConfiguration(f"a tool is named by a text, not by {tool!r:.80}")
    if isinstance(port, Port):
        return port
    if not callable(port):
        raise InvalidConfiguration(f"the tool {tool!r} must be a coroutine function or a Port, not {port!r:.80}")
    inner = inspect.unwrap(port)
    if not is_async(port) and not is_async(inner) and getattr(inner, "__name__", "") != "<lambda>":
        raise InvalidConfiguration(
            f"the tool {tool!r} must be a coroutine function (async def) or a Port, and {port!r:.80} is a plain "
            "function, which would hold up the agent while it works; add a coroutine function that calls it in a "
            "thread: `return await asyncio.to_thread(function, ...)`"
        )

    async def execute(arguments: dict[str, Any], context: Any) -> Any:
        return await outcome(port(**arguments))

    return Port(execute=execute, source=port, takes_context=False)
