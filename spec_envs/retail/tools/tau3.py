"""The tools of τ³-bench's retail domain, where they differ from tau-bench's: all of them do, at least in their errors.

They are plain Python functions, called with the agent's arguments as they are, so that the error of a wrong argument is
Python's own, as in the benchmark. That is also why they are methods of a class of this name: such errors name it. The
names, the arguments and the descriptions for the agent are those of the tools of tau-bench, where there are such.

Differences in what the tools do, beside the texts of errors:

- ``modify_pending_order_items`` gives every changed item the price and the options of the last new item;
- an order whose items were modified can still get another address or another payment method;
- a gift card is known by its record, not by its id.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from spec_envs.calls import Effect
from spec_envs.retail.store.data import Record, Table
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.store.tau3_records import UserAddress
from spec_envs.retail.tools import arguments as args
from spec_envs.retail.tools import functions
from spec_envs.retail.tools.calculator import CHARACTERS, value_of
from spec_envs.retail.tools.changes import changed, credited, payment
from spec_envs.retail.tools.tool import Tool, ToolError, ToolResponse


class RetailTools:
    """The tools on the data of one moment, which they do not change."""

    def __init__(self, store: StoreSnapshot) -> None:
        self._store = store

    def calculate(self, expression: str) -> ToolResponse:
        """Compute an arithmetic expression."""
        if not all(character in CHARACTERS for character in expression):
            raise ToolError("Invalid characters in expression")
        if not isinstance(expression, str):  # only what is empty comes so far
            raise ToolError("eval() arg 1 must be a string, bytes or code object")
        return ToolResponse(value_of(expression))

    def find_user_id_by_email(self, email: str) -> ToolResponse:
        """Find a user by e-mail address, in any case."""
        return ToolResponse(functions.found("User", self._store.find_user(email.lower())))

    def find_user_id_by_name_zip(self, first_name: str, last_name: str, zip: str) -> ToolResponse:
        """Find a user by name, in any case, and zip code."""
        key = (first_name.lower(), last_name.lower())
        return ToolResponse(functions.found("User", self._store.find_user(key, zip) if isinstance(zip, str) else None))

    def get_order_details(self, order_id: str) -> ToolResponse:
        """Look an order up."""
        return _record(self._find("orders", order_id))

    def get_product_details(self, product_id: str) -> ToolResponse:
        """Look a product up, with all its items."""
        return _record(self._find("products", product_id))

    def get_item_details(self, item_id: str) -> ToolResponse:
        """Look up one item of whichever product."""
        products = (product for _, product in self._store.items("products"))
        return _record(
            functions.found("Item", next((p["variants"][item_id] for p in products if item_id in p["variants"]), None))
        )

    def get_user_details(self, user_id: str) -> ToolResponse:
        """Look a user up."""
        return _record(self._find("users", user_id))

    def list_all_product_types(self) -> ToolResponse:
        """List the products' names and ids."""
        names = {product["name"]: product["product_id"] for _, product in self._store.items("products")}
        return ToolResponse(json.dumps(names, sort_keys=True))

    def transfer_to_human_agents(self, summary: str) -> ToolResponse:
        """Hand the user over to a person, which is for the customer to end the episode on."""
        return ToolResponse("Transfer successful")

    def modify_user_address(
        self, user_id: str, address1: str, address2: str, city: str, state: str, country: str, zip: str
    ) -> ToolResponse:
        """Change a user's default address."""
        user = self._find("users", user_id)
        address = UserAddress(address1=address1, address2=address2, city=city, state=state, country=country, zip=zip)
        return changed("users", user_id, {**user, "address": address.model_dump()})

    def modify_pending_order_address(
        self, order_id: str, address1: str, address2: str, city: str, state: str, country: str, zip: str
    ) -> ToolResponse:
        """Change where an order is sent to."""
        order = self._order(order_id, "pending", "modified", exactly=False)
        address = UserAddress(address1=address1, address2=address2, city=city, state=state, country=country, zip=zip)
        return changed("orders", order_id, {**order, "address": address.model_dump()})

    def cancel_pending_order(self, order_id: str, reason: str) -> ToolResponse:
        """Cancel an order and refund every payment, a gift card's at once."""
        order = self._order(order_id, "pending", "cancelled")
        if reason not in set(args.REASONS):
            raise ToolError("Invalid reason")
        user_id, history = order["user_id"], order["payment_history"]
        user, refunds = self._find("users", user_id), []
        for paid in history:
            amount, method_id = paid["amount"], paid["payment_method_id"]
            refunds.append(payment("refund", amount, method_id))
            if _method(user, method_id)["source"] == "gift_card":
                user = credited(user, method_id, amount)
        cancelled = {"status": "cancelled", "payment_history": [*history, *refunds], "cancel_reason": reason}
        return changed("orders", order_id, {**order, **cancelled}, self._store, user_id, user)

    def modify_pending_order_payment(self, order_id: str, payment_method_id: str) -> ToolResponse:
        """Pay an order by another method, and refund the first payment."""
        order = self._order(order_id, "pending", "modified", exactly=False)
        user_id, history = order["user_id"], order["payment_history"]
        user = self._find("users", user_id)
        method = _method(user, payment_method_id)
        if len(history) != 1 or history[0]["transaction_type"] != "payment":
            raise ToolError("There should be exactly one payment for a pending order")
        amount, old_id = history[0]["amount"], history[0]["payment_method_id"]
        if old_id == payment_method_id:
            raise ToolError("The new payment method should be different from the current one")
        _check_balance(method, amount, "the order")
        moved = [payment("payment", amount, payment_method_id), payment("refund", amount, old_id)]
        if method["source"] == "gift_card":
            user = credited(user, payment_method_id, -amount)
        if _method(user, old_id)["source"] == "gift_card":
            user = credited(user, old_id, amount)
        order = {**order, "payment_history": [*history, *moved]}
        return changed("orders", order_id, order, self._store, user_id, user)

    def modify_pending_order_items(
        self, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
    ) -> ToolResponse:
        """Change items of an order, and settle the difference, which is not rounded."""
        order = self._order(order_id, "pending", "modified")
        if (lacking := _lacking(order, item_ids)) is not None:
            raise ToolError(f"{lacking} not found")
        if len(item_ids) != len(new_item_ids):
            raise ToolError("The number of items to be exchanged should match")
        difference, variant = self._replaced(order, item_ids, new_item_ids, same=False)
        user_id = order["user_id"]
        user = self._find("users", user_id)
        method = _method(user, payment_method_id)
        _check_balance(method, difference, "the new item")
        settled = payment("payment" if difference > 0 else "refund", float(abs(difference)), payment_method_id)
        if method["source"] == "gift_card":
            user = credited(user, payment_method_id, -difference)
        items = list(order["items"])
        for old, new in zip(item_ids, new_item_ids, strict=True):
            place = next(place for place, item in enumerate(items) if item["item_id"] == old)
            # Not the variant ``new``: see the differences above.
            items[place] = {**items[place], "item_id": new, "price": variant["price"], "options": variant["options"]}
        history = [*order["payment_history"], settled]
        order = {**order, "items": items, "status": "pending (item modified)", "payment_history": history}
        return changed("orders", order_id, order, self._store, user_id, user)

    def exchange_delivered_order_items(
        self, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
    ) -> ToolResponse:
        """Request an exchange of items; the difference is rounded to cents."""
        order = self._order(order_id, "delivered", "exchanged")
        if (lacking := _lacking(order, item_ids)) is not None:
            raise ToolError(f"Number of {lacking} not found.")
        if len(item_ids) != len(new_item_ids):
            raise ToolError("The number of items to be exchanged should match.")
        difference = round(self._replaced(order, item_ids, new_item_ids, same=True)[0], 2)
        method = _method(self._find("users", order["user_id"]), payment_method_id)
        _check_balance(method, difference, "the price difference")
        requested = {
            "status": "exchange requested",
            "exchange_items": sorted(item_ids),
            "exchange_new_items": sorted(new_item_ids),
            "exchange_payment_method_id": payment_method_id,
            "exchange_price_difference": difference,
        }
        return changed("orders", order_id, {**order, **requested})

    def return_delivered_order_items(self, order_id: str, item_ids: list[str], payment_method_id: str) -> ToolResponse:
        """Request the return of items, with a refund to a gift card or by the original method."""
        order = self._order(order_id, "delivered", "returned")
        method = _method(self._find("users", order["user_id"]), payment_method_id)
        if method["source"] != "gift_card" and payment_method_id != order["payment_history"][0]["payment_method_id"]:
            raise ToolError("Payment method should be the original payment method")
        if _lacking(order, item_ids) is not None:
            raise ToolError("Some item not found")
        requested = {
            "status": "return requested",
            "return_items": sorted(item_ids),
            "return_payment_method_id": payment_method_id,
        }
        return changed("orders", order_id, {**order, **requested})

    def _find(self, table: Table, key: str) -> Record:
        return functions.found(_NOUNS[table], self._store.get(table, key))

    def _order(self, order_id: str, status: str, to_be: str, *, exactly: bool = True) -> Record:
        """Return an order that has the status, or with ``exactly=False`` one that begins so."""
        order = self._find("orders", order_id)
        if status != order["status"] and (exactly or status not in order["status"]):
            raise ToolError(f"Non-{status} order cannot be {to_be}")
        return order

    def _replaced(
        self, order: Record, item_ids: Sequence[str], new_item_ids: Sequence[str], *, same: bool
    ) -> tuple[float, Any]:
        """Return what the new items cost more than the old ones, item by item and not rounded, and the last new item.

        With ``same=False``, an item cannot be replaced by itself.
        """
        difference: float = 0
        variant: Any = None
        for old, new in zip(item_ids, new_item_ids, strict=True):
            if old == new and not same:
                raise ToolError("The new item id should be different from the old item id")
            item = next(item for item in order["items"] if item["item_id"] == old)
            variant = functions.found("Variant", self._find("products", item["product_id"])["variants"].get(new))
            if not variant["available"]:
                raise ToolError(f"New item {new} not found or available")
            difference += variant["price"] - item["price"]
        return difference, variant


_NOUNS: Mapping[Table, str] = {"orders": "Order", "products": "Product", "users": "User"}


def _record(record: Any) -> ToolResponse:
    return ToolResponse(json.dumps(record))


def _method(user: Record, method_id: str) -> Record:
    method: Record = functions.found("Payment method", user["payment_methods"].get(method_id))
    return method


def _lacking(order: Record, item_ids: Sequence[str]) -> str | None:
    """Return the first item that the order does not hold as often as ``item_ids`` names it, or ``None``."""
    held = [item["item_id"] for item in order["items"]]
    return next((item_id for item_id in item_ids if item_ids.count(item_id) > held.count(item_id)), None)


def _check_balance(method: Record, amount: float, what: str) -> None:
    if method["source"] == "gift_card" and method["balance"] < amount:
        raise ToolError(f"Insufficient gift card balance to pay for {what}")


#: The errors that a call with wrong arguments can end in; their texts are the answers.
_ERRORS = (ToolError, ArithmeticError, AttributeError, LookupError, SyntaxError, TypeError, ValueError)


@dataclasses.dataclass(frozen=True)
class _Tau3Tool(Tool):
    """A tool whose function is a method of ``RetailTools``; ``arguments`` only describes the arguments to the agent."""

    def run(self, store: StoreSnapshot, arguments: Mapping[str, Any]) -> ToolResponse:
        plain = json.loads(json.dumps(arguments))  # what cannot change has types of its own, which errors would name
        try:
            return self.function(RetailTools(store), **plain)
        except _ERRORS as error:
            return ToolResponse(f"Error: {error}")


def _like(tool: Tool) -> Tool:
    return _Tau3Tool(tool.name, tool.description, tool.arguments, tool.effect, getattr(RetailTools, tool.name))


#: The tools whose answers are plain text; the others answer with a record as JSON text.
TEXTS = frozenset(
    {
        "calculate",
        "find_user_id_by_email",
        "find_user_id_by_name_zip",
        "list_all_product_types",
        "transfer_to_human_agents",
    }
)
#: The tools, in any order.
TAU3_TOOLS: Sequence[Tool] = (
    _Tau3Tool(
        "get_item_details",
        "The details of one item: its options, its price, and whether it is available.",
        args.Item,
        Effect.READ,
        RetailTools.get_item_details,
    ),
    *(_like(tool) for tool in vars(functions).values() if isinstance(tool, Tool) and hasattr(RetailTools, tool.name)),
)
