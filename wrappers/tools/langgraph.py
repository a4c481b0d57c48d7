"""LangChain's tools in LangGraph's ``ToolNode``, called ahead of time. Needs the extra ``langgraph``."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from spec_envs.conversation import Tool
from spec_envs.errors import InvalidConfiguration
from spec_envs.extras import needed
from spec_envs.wrappers.tools._mcp_results import changes_nothing
from spec_envs.wrappers.tools.blocking import BlockingTools
from spec_envs.wrappers.tools.ports import Port
from spec_envs.wrappers.tools.proxy import SpeculativeTools

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


with needed("spec_envs.wrappers.tools.langgraph", "langgraph"):
    from langchain_core.messages import ToolMessage
    from langgraph.prebuilt import ToolNode

__all__ = ["speculative_node"]

_numbers = itertools.count()
#: Arguments by which LangChain passes its callbacks to a tool.
_MANAGERS = {"run_manager", "callbacks"}


class _AwaitedNode(ToolNode):
    def invoke(self, *args: Any, **options: Any) -> NoReturn:
        """Refuse here, since ``handle_tool_errors`` would tell a later error to the model."""
        raise InvalidConfiguration(
            "SpeculativeTools live on an event loop: use ainvoke or astream, or give speculative_node BlockingTools, "
            "which are for invoke and stream"
        )


class _BlockingNode(ToolNode):
    async def ainvoke(self, *args: Any, **options: Any) -> NoReturn:
        """Refuse here, as ``_AwaitedNode`` does."""
        raise InvalidConfiguration(
            "BlockingTools would stop the event loop: use invoke or stream, or give speculative_node SpeculativeTools, "
            "which are for ainvoke and astream"
        )


def speculative_node(
    tools: SpeculativeTools | BlockingTools,
    functions: Iterable[BaseTool | Callable[..., Any]],
    *,
    trust_annotations: bool = False,
    **options: Any,
) -> ToolNode:
    """Return ``ToolNode(functions, **options)`` whose tools are called through ``tools``, by their names.

    With ``SpeculativeTools`` the graph has to be awaited (``ainvoke``, ``astream``); a program that calls ``invoke`` or
    ``stream`` uses ``BlockingTools``. Tools that get the graph's state, store, runtime or
    ``RunnableConfig`` are never called ahead of time, whatever is declared. A result that is a ``Command`` is never
    used for another call. Callbacks see only the calls that are executed for the agent, and not a call whose result is
    there already.

    Args:
        tools: The proxy.
        functions: The tools.
        trust_annotations: Whether to believe an MCP server that says by ``readOnlyHint`` that an undeclared tool
            changes nothing; ``langchain-mcp-adapters`` puts the hint into the tool's ``metadata``. Such a tool is a
            ``SAMPLE``, since its results may change by themselves.
        options: The options of ``ToolNode``, except for the two that wrap calls.

    Raises:
        InvalidConfiguration: A tool of another source has the name of one of these.
    """
    injected: set[str] = set()
    node: ToolNode
    if isinstance(tools, BlockingTools):
        node = _BlockingNode(list(functions), wrap_tool_call=functools.partial(_call, tools, injected), **options)
        tools = tools.tools
    else:
        node = _AwaitedNode(list(functions), awrap_tool_call=functools.partial(_await, tools, injected), **options)
    injected.update(name for name, tool in node.tools_by_name.items() if _is_injected(tool))
    for tool in node.tools_by_name.values():
        schema = Tool(tool.name, tool.description, _parameters(tool))
        source = _function(tool) or tool
        port = Port(execute=_ahead(tool), content=_content, usable=_usable, source=source, takes_context=False)
        tools.add(tool.name, port, schema=schema, ahead=tool.name not in injected)
        if trust_annotations:
            tools.trust(tool.name, read_only=changes_nothing(tool.metadata))
    return node


def _result(tools: Any, injected: set[str], request: Any, execute: Callable[[Any], Any]) -> Any:
    """Return the result of the requested call, made through ``tools``; to be awaited if these are."""
    if request.tool is None:
        return execute(request)  # which says that there is no such tool
    name = request.tool.name
    return tools.call(name, request.tool_call["args"], lambda: execute(request), fresh=name in injected)


def _call(tools: BlockingTools, injected: set[str], request: Any, execute: Callable[[Any], Any]) -> Any:
    return _answer(_result(tools, injected, request, execute), request)


async def _await(tools: SpeculativeTools, injected: set[str], request: Any, execute: Callable[[Any], Any]) -> Any:
    return _answer(await _result(tools, injected, request, execute), request)


def _answer(result: Any, request: Any) -> Any:
    """Return ``result`` as the answer to ``request``: it may be that of an equal call."""
    own = {"tool_call_id": request.tool_call["id"]}
    return result.model_copy(update=own) if isinstance(result, ToolMessage) else result


def _ahead(tool: BaseTool) -> Callable[[dict[str, Any], Any], Awaitable[Any]]:
    async def ahead(arguments: dict[str, Any], context: Any) -> Any:
        identity = f"ahead_{next(_numbers)}"
        return await tool.ainvoke({"name": tool.name, "args": arguments, "id": identity, "type": "tool_call"})

    return ahead


def _is_injected(tool: BaseTool) -> bool:
    """Whether the graph gives the tool arguments that do not come from the model."""
    function = _function(tool)
    given = {
        name
        for each in ((tool._run, tool._arun) if function is None else (function,))
        for name, parameter in inspect.signature(each).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    from_model = set(_parameters(tool).get("properties", {}))
    schema: Any = tool.tool_call_schema
    if not isinstance(schema, dict):
        everything: Any = tool.get_input_schema()
        from_model |= schema.model_fields.keys()
        given |= everything.model_fields.keys()
    return not given <= from_model | _MANAGERS


def _parameters(tool: BaseTool) -> dict[str, Any]:
    schema: Any = tool.tool_call_schema
    parameters: dict[str, Any] = schema if isinstance(schema, dict) else schema.model_json_schema()
    return parameters


def _function(tool: BaseTool) -> Callable[..., Any] | None:
    """Return the function that the tool was made from; ``None`` if the tool has a class of its own."""
    function: Callable[..., Any] | None = getattr(tool, "coroutine", None) or getattr(tool, "func", None)
    return function


def _content(result: Any) -> Any:
    return result.content if isinstance(result, ToolMessage) else str(result)


def _usable(result: Any) -> bool:
    return isinstance(result, ToolMessage) and result.status == "success"
