"""Common parts of the adapters of MCP: results, and the tools of a server. This module does not import ``mcp``.

Results and tools are objects of the MCP SDK, or the JSON data that the protocol carries.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Set
from typing import Any

from spec_envs.checks import boolean
from spec_envs.conversation import Tool
from spec_envs.wrappers.tools.ports import Port, qualified
from spec_envs.wrappers.tools.proxy import SpeculativeTools


def content(result: Any) -> Any:
    """Return what guessers see of a ``CallToolResult``: its structured content, or its texts and where links lead."""
    structured = _field(result, "structured_content")
    if isinstance(structured, dict):
        return structured["result"] if structured.keys() == {"result"} else structured
    parts = _field(result, "content")
    texts = map(_text, parts if isinstance(parts, list | tuple) else ())
    return "\n".join(text for text in texts if isinstance(text, str))


def _text(part: Any) -> Any:
    """Return the text of a part of a result, that of an embedded resource included; of a link, its address."""
    match _field(part, "type"):
        case "text":
            return _field(part, "text")
        case "resource":
            return _field(_field(part, "resource"), "text")
        case "resource_link":
            return str(_field(part, "uri", ""))
    return None


def usable(result: Any) -> bool:
    """Whether ``result`` answers the call: it is no error, no question to the client, and no task to wait for."""
    if isinstance(result, Mapping):
        is_whole = result.get("resultType", "complete") == "complete" and "task" not in result
        return is_whole and not result.get("isError", False)
    return _field(result, "is_error", True) is False


def changes_nothing(annotations: Any) -> bool:
    """Whether a server says so of its tool, and does not say the contrary as well."""
    return _field(annotations, "read_only_hint") is True and not _field(annotations, "destructive_hint", False)


def _field(of: Any, name: str, default: Any = None) -> Any:
    """Return the field ``name``. JSON data, and version 1 of the MCP SDK, have its name in camel case."""
    first, *rest = name.split("_")
    camel = first + "".join(map(str.capitalize, rest))
    if isinstance(of, Mapping):
        return of.get(camel, default)
    return getattr(of, name, getattr(of, camel, default))


class ServerTools:
    """The tools of one server: those that are in the proxy, and what the server has listed so far.

    Args:
        tools: The proxy.
        server: The name of the server.
        source: What calls the tools: a client, or the server itself.
        trust_annotations: Whether to believe what the server says about the effects of its tools.
        content, usable: How results are read; see ``Port``.
    """

    def __init__(
        self,
        tools: SpeculativeTools,
        server: str,
        source: object,
        *,
        trust_annotations: bool,
        content: Callable[[Any], Any] = content,
        usable: Callable[[Any], bool] = usable,
    ) -> None:
        self._tools = tools
        self._content, self._usable = content, usable
        self._server = server
        self._source = source
        self._added: set[str] = set()
        self._trust_annotations = boolean("trust_annotations", trust_annotations)
        self._names: set[str] = set()
        self._is_complete = False
        self._was_begun = False

    def __contains__(self, name: str) -> bool:
        return qualified(self._server, name) in self._added

    def add(self, name: str, execute: Callable[[dict[str, Any], Any], Awaitable[Any]], *, ahead: bool = True) -> str:
        """Add the tool ``name`` to the proxy, and return its name there. For the arguments see ``Port``."""
        tool = qualified(self._server, name)
        port = Port(
            execute=execute,
            content=self._content,
            usable=self._usable,
            source=self._source,
            takes_context=False,
            server=self._server,
        )
        self._tools.add(tool, port, ahead=ahead)
        self._added.add(tool)
        return tool

    def remove_all(self) -> None:
        """The server's tools cannot be called any more."""
        for tool in self._added:
            self._tools.remove(tool)
        self._added.clear()

    def read_list(self, listed: Iterable[Any], *, is_first: bool = True, is_last: bool = True) -> None:
        """Read a page of the server's list: what guessers see of its tools and, from a trusted server, the effects."""
        if is_first:
            self._names.clear()
        for tool in listed:
            own_name = _field(tool, "name")
            if not isinstance(own_name, str):
                continue  # nobody can call it
            self._names.add(own_name)
            name = qualified(self._server, own_name)
            schema = _field(tool, "input_schema")
            self._tools.describe(
                Tool(name, str(_field(tool, "description") or ""), schema if isinstance(schema, Mapping) else {})
            )
            self._tools.trust(name, read_only=self._trust_annotations and changes_nothing(_field(tool, "annotations")))
        self._is_complete = is_last and (is_first or self._was_begun)
        self._was_begun = (is_first or self._was_begun) and not is_last

    @property
    def listed(self) -> Set[str] | None:
        """The names of the tools that the server has listed; ``None`` while these are not all."""
        return self._names if self._is_complete else None

    def check(self, name: str) -> None:
        """The tool ``name`` is called: tell the proxy if the whole list is known and does not have it."""
        if self._is_complete and name not in self._names:
            self._tools.add_unlisted(qualified(self._server, name))
