"""The tools of tau-bench's retail domain: same names, arguments, outputs and errors.

``run_tool`` is a pure function: it answers from a snapshot and says what would change, and changes nothing itself. So a
tool can run on any thread, process or branch, and its patch be applied where the episode really comes to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from spec_envs.calls import Effect
from spec_envs.retail import arguments as args
from spec_envs.retail import operations as do
from spec_envs.retail.operations import ToolResult
from spec_envs.retail.store import Store, StoreSnapshot

__all__ = ["READS", "SCHEMAS", "TERMINAL", "TOOLS", "WRITES", "Tool", "ToolResult", "effect_of", "run_tool"]


@dataclasses.dataclass(frozen=True)
class Tool:
    """A tool: what the agent is told about it, and what it does.

    Attributes:
        name: Its name.
        description: What the agent is told.
        arguments: The model that checks the arguments.
        effect: ``WRITE`` if it changes the shop, or has a person take over; else ``READ``.
        run: What it does with checked arguments.
    """

    name: str
    description: str
    arguments: type[args.Arguments]
    effect: Effect
    run: Callable[[StoreSnapshot, Any], ToolResult]

    def schema(self) -> dict[str, Any]:
        """The tool as OpenAI's chat models want it described."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": args.schema_of(self.arguments),
        }
        return {"type": "function", "function": function}


_CONFIRM = "Say first what will change, and have the user confirm it with an explicit yes. "

_ALL = (
    Tool(
        "calculate",
        "Computes an arithmetic expression; the result is rounded to two decimals.",
        args.Calculate,
        Effect.READ,
        do.calculate,
    ),
    Tool(
        "cancel_pending_order",
        _CONFIRM
        + "Cancels an order whose status is 'pending', and no other. Its payments are refunded: to a gift card "
        "at once, to other methods in 5 to 7 business days. Answers with the order as it is then.",
        args.Cancel,
        Effect.WRITE,
        do.cancel,
    ),
    Tool(
        "exchange_delivered_order_items",
        _CONFIRM + "Requests the exchange of items of a delivered order for other items of the same products. An order "
        "can be exchanged or returned only once, so name all its items in one call.",
        args.Replace,
        Effect.WRITE,
        do.exchange,
    ),
    Tool(
        "find_user_id_by_email",
        "Finds the id of the user with an e-mail address, or answers with an error.",
        args.Email,
        Effect.READ,
        do.find_by_email,
    ),
    Tool(
        "find_user_id_by_name_zip",
        "Finds the id of a user by name and zip code, or answers with an error. Prefer the e-mail; this is for users "
        "who are not found by it or do not remember it.",
        args.NameZip,
        Effect.READ,
        do.find_by_name_zip,
    ),
    Tool("get_order_details", "The status and the details of an order.", args.Order, Effect.READ, do.order_details),
    Tool(
        "get_product_details",
        "The items of a product: their options, prices, and whether they are available.",
        args.Product,
        Effect.READ,
        do.product_details,
    ),
    Tool(
        "get_user_details",
        "The details of a user: name, address, payment methods, orders.",
        args.User,
        Effect.READ,
        do.user_details,
    ),
    Tool(
        "list_all_product_types",
        "The names and product ids of all products of the shop. Each has several items with ids of their own.",
        args.NoArguments,
        Effect.READ,
        do.list_products,
    ),
    Tool(
        "modify_pending_order_address",
        _CONFIRM + "Changes the shipping address of a pending order.",
        args.OrderAddress,
        Effect.WRITE,
        do.modify_order_address,
    ),
    Tool(
        "modify_pending_order_items",
        _CONFIRM
        + "Changes items of a pending order to other items of the same products. This can be done only once for "
        "an order, so name all its items in one call.",
        args.Replace,
        Effect.WRITE,
        do.modify_items,
    ),
    Tool(
        "modify_pending_order_payment",
        _CONFIRM + "Changes the payment method of a pending order.",
        args.Payment,
        Effect.WRITE,
        do.modify_payment,
    ),
    Tool(
        "modify_user_address",
        _CONFIRM + "Changes the default address of a user.",
        args.UserAddress,
        Effect.WRITE,
        do.modify_user_address,
    ),
    Tool(
        "return_delivered_order_items",
        _CONFIRM + "Requests the return of items of a delivered order. The refund goes to the order's original payment "
        "method or to a gift card; the user is told by e-mail how to send the items back.",
        args.Return,
        Effect.WRITE,
        do.return_items,
    ),
    Tool(
        "think",
        "A place for a thought: changes nothing and finds nothing out, but keeps the thought in the dialogue.",
        args.Think,
        Effect.READ,
        do.think,
    ),
    Tool(
        "transfer_to_human_agents",
        "Hands the user over to a person, and ends the conversation. Only if the user asks for one, or the tools and "
        "the policy cannot do what the user needs.",
        args.Transfer,
        Effect.WRITE,
        do.transfer,
    ),
)

#: All tools by name, sorted.
TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in _ALL}
#: The tools as OpenAI's chat models want them described. Change nothing in it.
SCHEMAS: tuple[dict[str, Any], ...] = tuple(tool.schema() for tool in _ALL)
READS = frozenset(tool.name for tool in _ALL if tool.effect is Effect.READ)
WRITES = frozenset(tool.name for tool in _ALL if tool.effect is Effect.WRITE)
#: The tools that end an episode.
TERMINAL = frozenset({"transfer_to_human_agents"})


def effect_of(name: str) -> Effect:
    """``READ`` or ``WRITE``; a tool that does not exist does nothing, so calling it is a ``READ``."""
    return Effect.WRITE if name in WRITES else Effect.READ


def run_tool(store: Store | StoreSnapshot, name: str, arguments: Mapping[str, Any]) -> ToolResult:
    """What the tool answers and what it would change; ``store`` itself stays as it is.

    A call that makes no sense is answered with a text that begins with "Error: " (or "Unknown action "), and has no
    patch. Never raises.
    """
    tool = TOOLS.get(name) if isinstance(name, str) else None
    if tool is None:
        return ToolResult(f"Unknown action {name}")
    try:
        checked = tool.arguments.model_validate(arguments)
    except ValidationError as error:
        return ToolResult(f"Error: {args.explain(name, error)}")
    try:
        return tool.run(store.snapshot if isinstance(store, Store) else store, checked)
    except do.ToolError as error:
        return ToolResult(f"Error: {error}")
    except (LookupError, TypeError, AttributeError) as error:  # data of odd form: tau-bench shows these, too
        return ToolResult(f"Error: {error}")
