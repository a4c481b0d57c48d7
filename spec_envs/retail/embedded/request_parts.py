"""What the generated requests are made of: the customer's situation, and the customer's phrases for things."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from spec_envs.draws import Draws
from spec_envs.retail.store.data import Record
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tasks import Action, Request


@dataclasses.dataclass
class Situation:
    """The customer and the shop for which a request is drawn.

    Attributes:
        store: The data as the customer's earlier requests leave them.
        user_id: The customer's id.
        draws: Makes the random choices.
        used: Orders that an earlier request of the same customer is about.
    """

    store: StoreSnapshot
    user_id: str
    draws: Draws
    used: set[str] = dataclasses.field(default_factory=set)

    @property
    def user(self) -> Any:
        """The customer's record."""
        return self.store.get("users", self.user_id)

    def orders(self, *statuses: str) -> list[Any]:
        """Return the customer's orders with one of these statuses that no request is about yet, shuffled."""
        orders: list[Any] = [self.store.get("orders", order_id) for order_id in self.user["orders"]]
        fresh = [order for order in orders if order["order_id"] not in self.used and order["status"] in statuses]
        return self.draws.shuffled(fresh)

    def variants(self, item: Record) -> list[Any]:
        """Return all variants of the item's product."""
        product: Any = self.store.get("products", item["product_id"])
        return list(product["variants"].values())

    @property
    def methods(self) -> list[Any]:
        """The customer's payment methods."""
        return list(self.user["payment_methods"].values())

    def one_of(self, values: Sequence[Any]) -> Any:
        """Draw one of the values; ``None`` if there are none."""
        return self.draws.pick(values) if values else None


@dataclasses.dataclass(frozen=True)
class Plan:
    """A request, the gold actions that fulfil it, and the id of the order that it is about ("" for none)."""

    request: Request
    actions: tuple[Action, ...]
    order_id: str = ""


def phrase_of(method: Record) -> str:
    """Return what a customer calls a payment method."""
    if method["source"] == "credit_card":
        return f"my credit card ending in {method['last_four']}"
    return {"paypal": "my PayPal account", "gift_card": "my gift card"}[method["source"]]


def phrase_of_address(address: Record) -> str:
    """Return an address in one line."""
    street = ", ".join(part for part in (address["address1"], address["address2"]) if part)
    return f"{street}, {address['city']}, {address['state']} {address['zip']}, {address['country']}"


def described(item: Record) -> str:
    """Return an item's name with its options."""
    options = ", ".join(f"{option}: {value}" for option, value in item["options"].items())
    return f"the {item['name']} ({options})"


def listed(phrases: Sequence[str]) -> str:
    """Return several phrases as one."""
    return " and ".join(phrases)


def names(items: Sequence[Record]) -> str:
    """Return the items' names, without their options."""
    return listed([f"the {item['name']}" for item in items])


def which_order(situation: Situation, order: Any) -> str:
    """Return a phrase that identifies an order: its id, or an item that none of the customer's other orders has."""
    others: list[Any] = [situation.store.get("orders", other) for other in situation.user["orders"]]
    names = {item["name"] for other in others if other["order_id"] != order["order_id"] for item in other["items"]}
    telling = [item["name"] for item in order["items"] if item["name"] not in names]
    if telling and situation.draws.chance(0.4):
        return f"the order with the {situation.draws.pick(telling)}"
    return f"order {order['order_id']}"


def look_up(order: Any, items: Sequence[Any] = ()) -> tuple[Action, ...]:
    """Return the actions that look up an order, and the products of ``items``."""
    products = dict.fromkeys(item["product_id"] for item in items)
    return (
        Action("get_order_details", {"order_id": order["order_id"]}),
        *(Action("get_product_details", {"product_id": product_id}) for product_id in products),
    )
