"""``SpeculativeClient``: a client of the ``mcp`` package that calls tools ahead of time. Needs the extra ``mcp``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from gymnasium.error import DependencyNotInstalled

from spec_envs.wrappers.tools._mcp_results import content, meet, usable
from spec_envs.wrappers.tools.ports import Port, qualified

if TYPE_CHECKING:
    from spec_envs.wrappers.tools.proxy import SpeculativeTools

try:
    from mcp import Client
    from mcp.types import CallToolResult, ListToolsResult
except ImportError as error:
    raise DependencyNotInstalled(f"{error}; install it: pip install 'spec-envs[mcp]'") from error

__all__ = ["SpeculativeClient"]


@dataclasses.dataclass(kw_only=True)
class SpeculativeClient(Client):
    """``mcp.Client`` with ``call_tool`` through ``tools``: ``SpeculativeClient(server, tools=tools)``.

    Calls with ``progress_callback`` and the like are always made. Called ahead of time, a server that asks the client
    back gets no answer: the call is made again when the agent makes it. On connections of before 2026 that cannot be
    told apart; a tool that asks the user belongs declared as a ``WRITE``.

    Args:
        tools: The proxy; several clients may share it.
        name: Of the server, where there are several: its tools are then known as ``"name:tool"``. Two clients that are
            open at once cannot have tools of the same name.
        trust_annotations: Believe the server where it says by ``read_only_hint`` that an undeclared tool only reads.
    """

    tools: SpeculativeTools
    name: str = ""
    trust_annotations: bool = False
    _added: set[str] = dataclasses.field(init=False, repr=False, default_factory=set)

    async def __aexit__(self, *raised: Any) -> None:
        """As ``Client``: after it nothing is called here ahead of time."""
        for tool in self._added:
            self.tools.remove(tool)
        self._added.clear()
        await super().__aexit__(*raised)

    async def list_tools(self, *args: Any, **options: Any) -> ListToolsResult:
        """As ``Client.list_tools``; what it tells of the tools is used."""
        listed = await super().list_tools(*args, **options)
        meet(self.tools, self.name, listed.tools, trust_annotations=self.trust_annotations)
        for tool in listed.tools:
            self._add(tool.name)
        return listed

    async def call_tool(
        self, name: str, arguments: dict[str, Any] | None = None, *args: Any, **options: Any
    ) -> CallToolResult:
        """As ``Client.call_tool``."""
        tool = self._add(name)

        async def make() -> CallToolResult:
            return await super(SpeculativeClient, self).call_tool(name, arguments, *args, **options)

        result: CallToolResult = await self.tools.call(tool, arguments or {}, make, fresh=bool(args or options))
        return result

    def _add(self, name: str) -> str:
        tool = qualified(self.name, name)

        async def ahead(arguments: dict[str, Any], context: Any) -> Any:
            return await self.session.call_tool(name, arguments, allow_input_required=True)

        self.tools.add(tool, Port(execute=ahead, content=content, usable=usable, source=self))
        self._added.add(tool)
        return tool
