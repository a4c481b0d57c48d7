"""``SpeculativeClient``: a client of the ``mcp`` package with tools called ahead of time. Needs the extra ``mcp``."""

import dataclasses
from typing import Any

from spec_envs.extras import needed
from spec_envs.wrappers.tools._mcp_results import ServerTools
from spec_envs.wrappers.tools.proxy import SpeculativeTools

with needed("spec_envs.wrappers.tools.mcp", "mcp"):
    from mcp import Client
    from mcp.types import CallToolResult, ListToolsResult

__all__ = ["SpeculativeClient"]


@dataclasses.dataclass(kw_only=True)
class SpeculativeClient(Client):
    """``mcp.Client`` whose ``call_tool`` goes through ``tools``: ``SpeculativeClient(server, tools=tools)``.

    Calls with ``progress_callback`` or other extras are always executed for the agent. If a server answers a call ahead
    of time by a question to the client, the question gets no answer, and the call is executed again when the agent
    makes it. With protocols from before 2026 such a question cannot be recognised; declare a tool that asks the user
    as a ``WRITE``.

    Args:
        tools: The proxy; several clients may share it.
        name: The name of the server, if there are several: its tools are then known as ``"name:tool"``. Two clients
            that are open at once cannot have tools of the same name.
        trust_annotations: Whether to believe a server that says by ``read_only_hint`` that an undeclared tool changes
            nothing. Such a tool is a ``SAMPLE``, since its results may change by themselves.
    """

    tools: SpeculativeTools
    name: str = ""
    trust_annotations: bool = False
    _served: ServerTools = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Begin with an empty list of tools."""
        super().__post_init__()
        self._served = ServerTools(self.tools, self.name, self, trust_annotations=self.trust_annotations)

    async def __aexit__(self, *raised: Any) -> None:
        """Close the client; its tools are not called ahead of time any more."""
        self._served.remove_all()
        await super().__aexit__(*raised)

    async def list_tools(self, *args: Any, **options: Any) -> ListToolsResult:
        """List the tools as ``Client.list_tools`` does, and add them to the proxy."""
        listed = await super().list_tools(*args, **options)
        is_first = options.get("cursor") is None
        self._served.read_list(listed.tools, is_first=is_first, is_last=listed.next_cursor is None)
        for tool in listed.tools:
            self._add(tool.name)
        return listed

    async def call_tool(
        self, name: str, arguments: dict[str, Any] | None = None, *args: Any, **options: Any
    ) -> CallToolResult:
        """Call a tool as ``Client.call_tool`` does, through the proxy."""
        tool = self._add(name)
        self._served.check(name)

        async def make() -> CallToolResult:
            return await super(SpeculativeClient, self).call_tool(name, arguments, *args, **options)

        result: CallToolResult = await self.tools.call(tool, arguments or {}, make, fresh=bool(args or options))
        return result

    def _add(self, name: str) -> str:
        async def ahead(arguments: dict[str, Any], context: Any) -> Any:
            return await self.session.call_tool(name, arguments, allow_input_required=True)

        return self._served.add(name, ahead)
