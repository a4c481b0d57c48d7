"""The tools that change nothing. The docstring of a tool is its description for the agent."""

from __future__ import annotations

import json
from typing import Any

from spec_envs.calls import Effect
from spec_envs.retail.store.data import Record
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tools import arguments as args
from spec_envs.retail.tools.calculator import value_of
from spec_envs.retail.tools.tool import ToolError, ToolResult, tool


@tool(args.Calculate, Effect.READ)
def calculate(store: StoreSnapshot, given: args.Calculate) -> ToolResult:
    """Computes an arithmetic expression; the result is rounded to two decimals."""
    try:
        return ToolResult(value_of(given.expression))
    except (ValueError, SyntaxError, ArithmeticError, TypeError) as error:
        raise ToolError(str(error)) from None


@tool(args.Think, Effect.READ)
def think(store: StoreSnapshot, given: args.Think) -> ToolResult:
    """A place for a thought: changes nothing and finds nothing out, but keeps the thought in the dialogue."""
    return ToolResult("")


@tool(args.Email, Effect.READ)
def find_user_id_by_email(store: StoreSnapshot, given: args.Email) -> ToolResult:
    """Finds the id of the user with an e-mail address, or answers with an error."""
    return ToolResult(found("user", store.find_user(given.email)))


@tool(args.NameZip, Effect.READ)
def find_user_id_by_name_zip(store: StoreSnapshot, given: args.NameZip) -> ToolResult:
    """Finds the id of a user by name and zip code, or answers with an error.

    Prefer the e-mail; this is for users who are not found by it or do not remember it.
    """
    return ToolResult(found("user", store.find_user((given.first_name, given.last_name), given.zip)))


@tool(args.Order, Effect.READ)
def get_order_details(store: StoreSnapshot, given: args.Order) -> ToolResult:
    """The status and the details of an order."""
    return ToolResult(json.dumps(order_record(store, given.order_id)))


@tool(args.Product, Effect.READ)
def get_product_details(store: StoreSnapshot, given: args.Product) -> ToolResult:
    """The items of a product: their options, prices, and whether they are available."""
    return ToolResult(json.dumps(found("product", store.get("products", given.product_id))))


@tool(args.User, Effect.READ)
def get_user_details(store: StoreSnapshot, given: args.User) -> ToolResult:
    """The details of a user: name, address, payment methods, orders."""
    return ToolResult(json.dumps(user_record(store, given.user_id)))


@tool(args.NoArguments, Effect.READ)
def list_all_product_types(store: StoreSnapshot, given: args.NoArguments) -> ToolResult:
    """The names and product ids of all products of the shop. Each has several items with ids of their own."""
    names = {product["name"]: product["product_id"] for _, product in store.items("products")}
    return ToolResult(json.dumps(names, sort_keys=True))


def found(what: str, value: Any) -> Any:
    """Return ``value``, or raise ``ToolError`` if it is ``None``."""
    if value is None:
        raise ToolError(f"{what} not found")
    return value


def user_record(store: StoreSnapshot, user_id: str) -> Record:
    """Return a user's record, or raise ``ToolError``."""
    user: Record = found("user", store.get("users", user_id))
    return user


def order_record(store: StoreSnapshot, order_id: str) -> Record:
    """Return an order's record, or raise ``ToolError``."""
    order: Record = found("order", store.get("orders", order_id))
    return order
