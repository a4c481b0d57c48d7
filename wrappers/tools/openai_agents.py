"""Tools and MCP servers of the OpenAI Agents SDK, called ahead of time. Needs the extra ``openai-agents``.

The functions import the SDK when they are called, so this module can be imported without the SDK.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import json
from typing import TYPE_CHECKING, Any, TypeVar, cast

from spec_envs.conversation import Tool
from spec_envs.errors import InvalidConfiguration
from spec_envs.extras import needed
from spec_envs.wrappers.tools._mcp_results import ServerTools
from spec_envs.wrappers.tools.ports import Port, qualified
from spec_envs.wrappers.tools.proxy import SpeculativeTools

if TYPE_CHECKING:
    from agents.mcp import MCPServer

    from agents import FunctionTool


__all__ = ["speculative_server", "speculative_tool"]

Server = TypeVar("Server", bound="MCPServer")

_numbers = itertools.count()


def speculative_tool(tools: SpeculativeTools, tool: FunctionTool) -> FunctionTool:
    """Return a copy of ``tool`` that is called through ``tools``, by its name.

    A tool that is called ahead of time gets a ``ToolContext`` with the ``context`` that ``tools.run`` was given. Tools
    with guardrails, an approval or a rule of when they are enabled are never called ahead of time, whatever is
    declared: guardrails, approvals and rules decide about each call. The SDK tells a tool's exception to the model as
    it does without the proxy, and the exception is not kept for other calls.
    """
    with needed("speculative_tool", "openai-agents"):
        from agents.tool import (
            maybe_invoke_function_tool_failure_error_function,
            set_function_tool_failure_error_function,
        )
        from agents.tool_context import ToolContext

    # Raises what ``tool`` would turn into a text for the model, so that failures and answers can be told apart.
    raising = set_function_tool_failure_error_function(dataclasses.replace(tool), None)

    async def ahead(arguments: dict[str, Any], context: Any) -> Any:
        text = json.dumps(arguments)
        made = ToolContext(context, tool_name=tool.name, tool_call_id=f"ahead_{next(_numbers)}", tool_arguments=text)
        return await raising.on_invoke_tool(made, text)

    async def invoke(context: Any, text: str) -> Any:
        try:
            arguments = json.loads(text or "{}")
        except json.JSONDecodeError:
            arguments = None
        if not isinstance(arguments, dict):
            return await tool.on_invoke_tool(context, text)  # which says what is wrong
        if getattr(context, "context", None) is not None:  # which calls ahead of time may miss
            tools.add(tool.name, dataclasses.replace(port, takes_context=True), ahead=not is_guarded)
        try:
            make = functools.partial(raising.on_invoke_tool, context, text)
            return await tools.call(tool.name, arguments, make, fresh=is_guarded)
        except Exception as error:
            told = await maybe_invoke_function_tool_failure_error_function(
                function_tool=tool, context=context, error=error
            )
            if told is None:
                raise
            return told

    is_guarded = bool(tool.tool_input_guardrails or tool.needs_approval or tool.is_enabled is not True)
    schema = Tool(tool.name, tool.description, tool.params_json_schema)
    port = Port(execute=ahead, source=tool, takes_context=False)
    tools.add(tool.name, port, schema=schema, ahead=not is_guarded)
    return dataclasses.replace(tool, on_invoke_tool=invoke)


def speculative_server(tools: SpeculativeTools, server: Server, *, trust_annotations: bool = False) -> Server:
    """Return a copy of ``server`` whose ``call_tool`` goes through ``tools``. Connect and close it as any server.

    Its tools are known as ``"server's name:tool"``; rules may use that name or the tool's name alone. Two servers that
    are open at once cannot have tools of the same name. Tools whose calls need an approval are never called ahead of
    time.

    Args:
        tools: The proxy.
        server: The server, which must not be connected yet.
        trust_annotations: Whether to believe a server that says by ``readOnlyHint`` that an undeclared tool changes
            nothing. Such a tool is a ``SAMPLE``, since its results may change by themselves.

    Raises:
        InvalidConfiguration: The server is connected already.
    """
    with needed("speculative_server", "openai-agents"):
        from agents.mcp import MCPUtil

    if getattr(server, "session", None) is not None:
        raise InvalidConfiguration(f"the MCP server {server.name!r} is connected already; wrap it before connect()")
    wrapped: Any = copy.copy(server)
    call_tool, list_tools, cleanup = wrapped.call_tool, wrapped.list_tools, wrapped.cleanup
    served = ServerTools(tools, server.name, wrapped, trust_annotations=trust_annotations)

    def add(name: str, *, ahead: bool) -> None:
        async def execute(arguments: dict[str, Any], context: Any) -> Any:
            return await call_tool(name, arguments)

        served.add(name, execute, ahead=ahead)

    async def call(tool_name: str, arguments: dict[str, Any] | None, meta: dict[str, Any] | None = None) -> Any:
        tool, options = qualified(server.name, tool_name), {} if meta is None else {"meta": meta}
        if tool_name not in served:
            add(tool_name, ahead=False)  # the tool was not listed, so it may need an approval
        served.check(tool_name)
        return await tools.call(
            tool, arguments or {}, lambda: call_tool(tool_name, arguments, **options), fresh=meta is not None
        )

    async def listed(*args: Any, **options: Any) -> Any:
        found = await list_tools(*args, **options)
        served.read_list(found)
        for tool in found:
            as_function = MCPUtil.to_function_tool(tool, wrapped, convert_schemas_to_strict=False)
            add(tool.name, ahead=not as_function.needs_approval)
        return found

    async def cleaned_up() -> None:
        served.remove_all()
        await cleanup()

    wrapped.call_tool, wrapped.list_tools, wrapped.cleanup = call, listed, cleaned_up
    return cast(Server, wrapped)
