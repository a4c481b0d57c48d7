"""What each tool does: functions of the shop's data and checked arguments that say what to answer and what to change.

The results are tau-bench's to the last bit, so is when they round: a gift card's balance after each change and the
price difference of an exchange to cents, and the amount that changed items are paid with not at all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from spec_envs.retail import arguments as args
from spec_envs.retail.calculator import calculate as value_of
from spec_envs.retail.store import Change, Patch, Record, StoreSnapshot


class ToolError(Exception):
    """The tool refuses; the message is what the agent is told."""


class ToolResult(NamedTuple):
    """What a tool answers, and the changes that it makes to the data; none if it refuses or only reads."""

    output: str
    patch: Patch = ()


def calculate(store: StoreSnapshot, given: args.Calculate) -> ToolResult:
    """The value of an expression."""
    try:
        return ToolResult(value_of(given.expression))
    except (ValueError, SyntaxError, ArithmeticError, TypeError) as error:
        raise ToolError(str(error)) from None


def think(store: StoreSnapshot, given: args.Think) -> ToolResult:
    """Nothing: the thought stands in the dialogue."""
    return ToolResult("")


def transfer(store: StoreSnapshot, given: args.Transfer) -> ToolResult:
    """Hands over to a person, which ends the episode."""
    return ToolResult("Transfer successful")


def find_by_email(store: StoreSnapshot, given: args.Email) -> ToolResult:
    """The id of the user with this e-mail."""
    return ToolResult(_found("user", store.find_user(email=given.email)))


def find_by_name_zip(store: StoreSnapshot, given: args.NameZip) -> ToolResult:
    """The id of the user with this name and zip code."""
    return ToolResult(_found("user", store.find_user(name=(given.first_name, given.last_name), zip=given.zip)))


def user_details(store: StoreSnapshot, given: args.User) -> ToolResult:
    """A user's record."""
    return ToolResult(json.dumps(_user(store, given.user_id)))


def order_details(store: StoreSnapshot, given: args.Order) -> ToolResult:
    """An order's record."""
    return ToolResult(json.dumps(_order(store, given.order_id)))


def product_details(store: StoreSnapshot, given: args.Product) -> ToolResult:
    """A product's record."""
    return ToolResult(json.dumps(_found("product", store.get("products", given.product_id))))


def list_products(store: StoreSnapshot, given: args.NoArguments) -> ToolResult:
    """The names and ids of all products."""
    names = {product["name"]: product["product_id"] for _, product in store.items("products")}
    return ToolResult(json.dumps(names, sort_keys=True))


def modify_user_address(store: StoreSnapshot, given: args.UserAddress) -> ToolResult:
    """A new default address."""
    user = _user(store, given.user_id)
    return _changed("users", given.user_id, {**user, "address": given.record()})


def modify_order_address(store: StoreSnapshot, given: args.OrderAddress) -> ToolResult:
    """A new shipping address."""
    order = _order(store, given.order_id, "pending", "modified")
    return _changed("orders", given.order_id, {**order, "address": given.record()})


def cancel(store: StoreSnapshot, given: args.Cancel) -> ToolResult:
    """Cancels an order; each of its payments is refunded, to gift cards at once."""
    order = _order(store, given.order_id, "pending", "cancelled")
    if given.reason not in args.REASONS:
        raise ToolError("invalid reason")
    user_id, history = order["user_id"], order["payment_history"]
    user = _user(store, user_id)
    for payment in history:
        if "gift_card" in payment["payment_method_id"]:
            user = _credited(user, payment["payment_method_id"], payment["amount"])
    refunds = [_payment("refund", payment["amount"], payment["payment_method_id"]) for payment in history]
    order = {**order, "status": "cancelled", "payment_history": [*history, *refunds], "cancel_reason": given.reason}
    return _changed("orders", given.order_id, order, store, user_id, user)


def modify_payment(store: StoreSnapshot, given: args.Payment) -> ToolResult:
    """Pays an order with another method, and refunds the first payment."""
    order = _order(store, given.order_id, "pending", "modified")
    user_id, history = order["user_id"], order["payment_history"]
    method = _method(store, user_id, given.payment_method_id)
    if len(history) != 1 or history[0]["transaction_type"] != "payment":
        raise ToolError("there should be exactly one payment for a pending order")
    amount, old_id = history[0]["amount"], history[0]["payment_method_id"]
    if old_id == given.payment_method_id:
        raise ToolError("the new payment method should be different from the current one")
    _check_balance(method, amount, "the order")
    user = _user(store, user_id)
    if method["source"] == "gift_card":
        user = _credited(user, given.payment_method_id, -amount)
    if "gift_card" in old_id:
        user = _credited(user, old_id, amount)
    moved = [_payment("payment", amount, given.payment_method_id), _payment("refund", amount, old_id)]
    return _changed("orders", given.order_id, {**order, "payment_history": [*history, *moved]}, store, user_id, user)


def modify_items(store: StoreSnapshot, given: args.Replace) -> ToolResult:
    """Puts other variants in the place of an order's items, and settles the difference."""
    order = _order(store, given.order_id, "pending", "modified")
    user_id = order["user_id"]
    difference = _price_difference(store, order, given)
    method = _method(store, user_id, given.payment_method_id)
    _check_balance(method, difference, "the new item")
    user = _user(store, user_id)
    if method["source"] == "gift_card":
        user = _credited(user, given.payment_method_id, -difference)
    payment = _payment("payment" if difference > 0 else "refund", abs(difference), given.payment_method_id)
    items = list(order["items"])
    for old, new in zip(given.item_ids, given.new_item_ids, strict=True):
        # One after the other: a new item may be one that a later pair names as old.
        place = next(place for place, item in enumerate(items) if item["item_id"] == old)
        variant = _variants(store, items[place])[new]
        items[place] = {**items[place], "item_id": new, "price": variant["price"], "options": variant["options"]}
    history = [*order["payment_history"], payment]
    order = {**order, "items": items, "status": "pending (item modified)", "payment_history": history}
    return _changed("orders", given.order_id, order, store, user_id, user)


def exchange(store: StoreSnapshot, given: args.Replace) -> ToolResult:
    """Asks for other variants of items that were delivered; the difference is settled later."""
    order = _order(store, given.order_id, "delivered", "exchanged")
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
    return _changed("orders", given.order_id, {**order, **requested})


def return_items(store: StoreSnapshot, given: args.Return) -> ToolResult:
    """Asks to give items back that were delivered; refunded later, to the first payment's method or a gift card."""
    order = _order(store, given.order_id, "delivered", "returned")
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
    return _changed("orders", given.order_id, {**order, **requested})


def _found(what: str, value: Any) -> Any:
    if value is None:
        raise ToolError(f"{what} not found")
    return value


def _user(store: StoreSnapshot, user_id: str) -> Record:
    user: Record = _found("user", store.get("users", user_id))
    return user


def _order(store: StoreSnapshot, order_id: str, status: str = "", to_be: str = "") -> Record:
    order: Record = _found("order", store.get("orders", order_id))
    if status and order["status"] != status:
        raise ToolError(f"non-{status} order cannot be {to_be}")
    return order


def _method(store: StoreSnapshot, user_id: str, method_id: str) -> Record:
    method: Record = _found("payment method", _user(store, user_id)["payment_methods"].get(method_id))
    return method


def _not_in(order: Record, item_ids: Sequence[str]) -> str | None:
    """The first of the items that the order does not hold, or not so often."""
    held, wanted = Counter(item["item_id"] for item in order["items"]), Counter(item_ids)
    return next((item_id for item_id in item_ids if wanted[item_id] > held[item_id]), None)


def _variants(store: StoreSnapshot, item: Record) -> Record:
    variants: Record = _found("product", store.get("products", item["product_id"]))["variants"]
    return variants


def _price_difference(store: StoreSnapshot, order: Record, given: args.Replace) -> float:
    """What the new items cost more than the old ones, added up item by item and not rounded."""
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


def _credited(user: Any, method_id: str, amount: float) -> Record:
    methods = user["payment_methods"]
    card = {**methods[method_id], "balance": round(methods[method_id]["balance"] + amount, 2)}
    return {**user, "payment_methods": {**methods, method_id: card}}


def _payment(kind: str, amount: float, method_id: str) -> dict[str, Any]:
    return {"transaction_type": kind, "amount": amount, "payment_method_id": method_id}


def _changed(
    table: Any, key: str, record: Record, store: StoreSnapshot | None = None, user_id: str = "", user: Any = None
) -> ToolResult:
    """The record as the answer and as a change, and the user beside it where that is another than the store's."""
    patch: Patch = (Change(table, key, record),)
    if store is not None and user is not store.get("users", user_id):
        patch += (Change("users", user_id, user),)
    return ToolResult(json.dumps(record), patch)
