"""The tools that read, and the tools that change the shop. The docstring of a tool is its description for the agent.

The results are tau-bench's to the last bit, and so is the place where they are rounded: a gift card's balance after
each change and the price difference of an exchange to cents, the payment for changed items not at all.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

from spec_envs.calls import Effect
from spec_envs.retail.store.data import Record
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tools import arguments as args
from spec_envs.retail.tools.calculator import value_of
from spec_envs.retail.tools.changes import changed, credited, payment
from spec_envs.retail.tools.tool import ToolError, ToolResponse, tool

T = TypeVar("T")


@tool(args.Calculate, Effect.READ)
def calculate(store: StoreSnapshot, given: args.Calculate) -> ToolResponse:
    """Computes an arithmetic expression; the result is rounded to two decimals."""
    try:
        return ToolResponse(value_of(given.expression))
    except (ValueError, SyntaxError, ArithmeticError, TypeError) as error:
        raise ToolError(str(error)) from None


@tool(args.Think, Effect.READ)
def think(store: StoreSnapshot, given: args.Think) -> ToolResponse:
    """A place for a thought: changes nothing and finds nothing out, but keeps the thought in the dialogue."""
    return ToolResponse("")


@tool(args.Email, Effect.READ)
def find_user_id_by_email(store: StoreSnapshot, given: args.Email) -> ToolResponse:
    """Finds the id of the user with an e-mail address, or answers with an error."""
    return ToolResponse(found("user", store.find_user(given.email)))


@tool(args.NameZip, Effect.READ)
def find_user_id_by_name_zip(store: StoreSnapshot, given: args.NameZip) -> ToolResponse:
    """Finds the id of a user by name and zip code, or answers with an error.

    Prefer the e-mail; this is for users who are not found by it or do not remember it.
    """
    return ToolResponse(found("user", store.find_user((given.first_name, given.last_name), given.zip)))


@tool(args.Order, Effect.READ)
def get_order_details(store: StoreSnapshot, given: args.Order) -> ToolResponse:
    """The status and the details of an order."""
    return ToolResponse(json.dumps(order_record(store, given.order_id)))


@tool(args.Product, Effect.READ)
def get_product_details(store: StoreSnapshot, given: args.Product) -> ToolResponse:
    """The items of a product: their options, prices, and whether they are available."""
    return ToolResponse(json.dumps(found("product", store.get("products", given.product_id))))


@tool(args.User, Effect.READ)
def get_user_details(store: StoreSnapshot, given: args.User) -> ToolResponse:
    """The details of a user: name, address, payment methods, orders."""
    return ToolResponse(json.dumps(user_record(store, given.user_id)))


@tool(args.NoArguments, Effect.READ)
def list_all_product_types(store: StoreSnapshot, given: args.NoArguments) -> ToolResponse:
    """The names and product ids of all products of the shop. Each has several items with ids of their own."""
    names = {product["name"]: product["product_id"] for _, product in store.items("products")}
    return ToolResponse(json.dumps(names, sort_keys=True))


def found(what: str, value: T | None) -> T:
    """Return ``value``, or raise ``ToolError`` if it is ``None``."""
    if value is None:
        raise ToolError(f"{what} not found")
    return value


def user_record(store: StoreSnapshot, user_id: str) -> Record:
    """Return a user's record, or raise ``ToolError``."""
    return found("user", store.get("users", user_id))


def order_record(store: StoreSnapshot, order_id: str) -> Record:
    """Return an order's record, or raise ``ToolError``."""
    return found("order", store.get("orders", order_id))


@tool(args.Transfer, Effect.WRITE)
def transfer_to_human_agents(store: StoreSnapshot, given: args.Transfer) -> ToolResponse:
    """Hands the user over to a person, and ends the conversation.

    Only if the user asks for one, or the tools and the policy cannot do what the user needs.
    """
    return ToolResponse("Transfer successful")


@tool(args.UserAddress, Effect.WRITE, confirmed=True)
def modify_user_address(store: StoreSnapshot, given: args.UserAddress) -> ToolResponse:
    """Changes the default address of a user."""
    user = user_record(store, given.user_id)
    return changed("users", given.user_id, {**user, "address": given.record()})


@tool(args.OrderAddress, Effect.WRITE, confirmed=True)
def modify_pending_order_address(store: StoreSnapshot, given: args.OrderAddress) -> ToolResponse:
    """Changes the shipping address of a pending order."""
    order = _order_to_change(store, given.order_id, "pending", "modified")
    return changed("orders", given.order_id, {**order, "address": given.record()})


@tool(args.Cancel, Effect.WRITE, confirmed=True)
def cancel_pending_order(store: StoreSnapshot, given: args.Cancel) -> ToolResponse:
    """Cancels an order whose status is 'pending', and no other.

    Its payments are refunded: to a gift card at once, to other methods in 5 to 7 business days. Answers with the order
    as it is then.
    """
    order = _order_to_change(store, given.order_id, "pending", "cancelled")
    if given.reason not in args.REASONS:
        raise ToolError("invalid reason")
    user_id, history = order["user_id"], order["payment_history"]
    user = user_record(store, user_id)
    for paid in history:
        if "gift_card" in paid["payment_method_id"]:
            user = credited(user, paid["payment_method_id"], paid["amount"])
    refunds = [payment("refund", paid["amount"], paid["payment_method_id"]) for paid in history]
    order = {**order, "status": "cancelled", "payment_history": [*history, *refunds], "cancel_reason": given.reason}
    return changed("orders", given.order_id, order, store, user_id, user)


@tool(args.Payment, Effect.WRITE, confirmed=True)
def modify_pending_order_payment(store: StoreSnapshot, given: args.Payment) -> ToolResponse:
    """Changes the payment method of a pending order."""
    order = _order_to_change(store, given.order_id, "pending", "modified")
    user_id, history = order["user_id"], order["payment_history"]
    method = _method(store, user_id, given.payment_method_id)
    if len(history) != 1 or history[0]["transaction_type"] != "payment":
        raise ToolError("there should be exactly one payment for a pending order")
    amount, old_id = history[0]["amount"], history[0]["payment_method_id"]
    if old_id == given.payment_method_id:
        raise ToolError("the new payment method should be different from the current one")
    _check_balance(method, amount, "the order")
    user = user_record(store, user_id)
    if method["source"] == "gift_card":
        user = credited(user, given.payment_method_id, -amount)
    if "gift_card" in old_id:
        user = credited(user, old_id, amount)
    moved = [payment("payment", amount, given.payment_method_id), payment("refund", amount, old_id)]
    return changed("orders", given.order_id, {**order, "payment_history": [*history, *moved]}, store, user_id, user)


@tool(args.Replace, Effect.WRITE, confirmed=True)
def modify_pending_order_items(store: StoreSnapshot, given: args.Replace) -> ToolResponse:
    """Changes items of a pending order to other items of the same products.

    This can be done only once for an order, so name all its items in one call.
    """
    order = _order_to_change(store, given.order_id, "pending", "modified")
    user_id = order["user_id"]
    difference = _price_difference(store, order, given)
    method = _method(store, user_id, given.payment_method_id)
    _check_balance(method, difference, "the new item")
    user = user_record(store, user_id)
    if method["source"] == "gift_card":
        user = credited(user, given.payment_method_id, -difference)
    settled = payment("payment" if difference > 0 else "refund", abs(difference), given.payment_method_id)
    items = list(order["items"])
    for old, new in zip(given.item_ids, given.new_item_ids, strict=True):
        # In this order, because a later pair may replace the new item of an earlier pair.
        place = next(place for place, item in enumerate(items) if item["item_id"] == old)
        variant = _variants(store, items[place])[new]
        items[place] = {**items[place], "item_id": new, "price": variant["price"], "options": variant["options"]}
    history = [*order["payment_history"], settled]
    order = {**order, "items": items, "status": "pending (item modified)", "payment_history": history}
    return changed("orders", given.order_id, order, store, user_id, user)


@tool(args.Replace, Effect.WRITE, confirmed=True)
def exchange_delivered_order_items(store: StoreSnapshot, given: args.Replace) -> ToolResponse:
    """Requests the exchange of items of a delivered order for other items of the same products.

    An order can be exchanged or returned only once, so name all its items in one call.
    """
    order = _order_to_change(store, given.order_id, "delivered", "exchanged")
    difference = round(_price_difference(store, order, given), 2)
    method = _method(store, order["user_id"], given.payment_method_id)
    _check_balance(method, difference, "the price difference")
    requested = {
        "status": "exchange requested",
        "exchange_items": sorted(given.item_ids),
        "exchange_new_items": sorted(given.new_item_ids),
        "exchange_payment_method_id": given.payment_method_id,
        "exchange_price_difference": difference,
    }
    return changed("orders", given.order_id, {**order, **requested})


@tool(args.Return, Effect.WRITE, confirmed=True)
def return_delivered_order_items(store: StoreSnapshot, given: args.Return) -> ToolResponse:
    """Requests the return of items of a delivered order.

    The refund goes to the order's original payment method or to a gift card; the user is told by e-mail how to send the
    items back.
    """
    order = _order_to_change(store, given.order_id, "delivered", "returned")
    _method(store, order["user_id"], given.payment_method_id)
    original = order["payment_history"][0]["payment_method_id"]
    if "gift_card" not in given.payment_method_id and given.payment_method_id != original:
        raise ToolError("payment method should be either the original payment method or a gift card")
    if _not_in(order, given.item_ids) is not None:
        raise ToolError("some item not found")
    requested = {
        "status": "return requested",
        "return_items": sorted(given.item_ids),
        "return_payment_method_id": given.payment_method_id,
    }
    return changed("orders", given.order_id, {**order, **requested})


def _order_to_change(store: StoreSnapshot, order_id: str, status: str, to_be: str) -> Record:
    order = order_record(store, order_id)
    if order["status"] != status:
        raise ToolError(f"non-{status} order cannot be {to_be}")
    return order


def _method(store: StoreSnapshot, user_id: str, method_id: str) -> Record:
    methods: Mapping[str, Record] = user_record(store, user_id)["payment_methods"]
    return found("payment method", methods.get(method_id))


def _not_in(order: Record, item_ids: Sequence[str]) -> str | None:
    """Return the first item that the order does not hold as often as ``item_ids`` names it, or ``None``."""
    held, wanted = Counter(item["item_id"] for item in order["items"]), Counter(item_ids)
    return next((item_id for item_id in item_ids if wanted[item_id] > held[item_id]), None)


def _variants(store: StoreSnapshot, item: Record) -> Record:
    variants: Record = found("product", store.get("products", item["product_id"]))["variants"]
    return variants


def _price_difference(store: StoreSnapshot, order: Record, given: args.Replace) -> float:
    """Return the price of the new items minus the price of the old ones, added up item by item and not rounded."""
    if (missing := _not_in(order, given.item_ids)) is not None:
        raise ToolError(f"{missing} not found")
    if len(given.item_ids) != len(given.new_item_ids):
        raise ToolError("the number of items to be exchanged should match")
    difference: float = 0
    for old, new in zip(given.item_ids, given.new_item_ids, strict=True):
        item = next(item for item in order["items"] if item["item_id"] == old)
        variant = _variants(store, item).get(new)
        if variant is None or not variant["available"]:
            raise ToolError(f"new item {new} not found or available")
        difference += variant["price"] - item["price"]
    return difference


def _check_balance(method: Record, amount: float, what: str) -> None:
    if method["source"] == "gift_card" and method["balance"] < amount:
        raise ToolError(f"insufficient gift card balance to pay for {what}")
