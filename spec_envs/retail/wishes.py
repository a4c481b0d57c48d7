"""What a request of a generated customer is made of: the shop that it is drawn from, and the customer's words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from spec_envs.retail.tasks import Action, Request

if TYPE_CHECKING:
    from spec_envs.draws import Draws
    from spec_envs.retail.store import Record, StoreSnapshot


@dataclasses.dataclass
class Shop:
    """What a request is made of: the customer, the shop after the requests before, and the draws."""

    store: StoreSnapshot
    user_id: str
    draws: Draws
    #: Orders that an earlier request of the same customer is about.
    used: set[str] = dataclasses.field(default_factory=set)

    @property
    def user(self) -> Any:
        """The customer's record."""
        return self.store.get("users", self.user_id)

    def orders(self, *statuses: str) -> list[Any]:
        """The customer's orders of those statuses that no request is about yet, shuffled."""
        orders: list[Any] = [self.store.get("orders", order_id) for order_id in self.user["orders"]]
        fresh = [order for order in orders if order["order_id"] not in self.used and order["status"] in statuses]
        return self.draws.shuffled(fresh)

    def variants(self, item: Record) -> list[Any]:
        """All variants of the item's product."""
        product: Any = self.store.get("products", item["product_id"])
        return list(product["variants"].values())

    def method(self, allowed: Callable[[Any], bool]) -> Any:
        """One of the customer's payment methods that ``allowed`` accepts, or ``None``."""
        methods = [method for method in self.user["payment_methods"].values() if allowed(method)]
        return self.draws.pick(methods) if methods else None


@dataclasses.dataclass(frozen=True)
class Plan:
    """A request, how it is brought about, and which order it is about."""

    request: Request
    actions: tuple[Action, ...]
    order_id: str = ""


def phrase_of(method: Record) -> str:
    """A payment method as its owner calls it."""
    if method["source"] == "credit_card":
        return f"my credit card ending in {method['last_four']}"
    return {"paypal": "my PayPal account", "gift_card": "my gift card"}[method["source"]]


def phrase_of_address(address: Record) -> str:
    """An address in one line."""
    street = ", ".join(part for part in (address["address1"], address["address2"]) if part)
    return f"{street}, {address['city']}, {address['state']} {address['zip']}, {address['country']}"


def described(item: Record) -> str:
    """An item with its options."""
    options = ", ".join(f"{option}: {value}" for option, value in item["options"].items())
    return f"the {item['name']} ({options})"


def listed(phrases: Sequence[str]) -> str:
    """Several things in one phrase."""
    return " and ".join(phrases)


def names(items: Sequence[Record]) -> str:
    """Items without their options."""
    return listed([f"the {item['name']}" for item in items])


def which_order(shop: Shop, order: Any) -> str:
    """The order's id, or what is in it where that says which of the customer's orders it is."""
    names = {
        item["name"] for other in shop.user["orders"] if other != order["order_id"] for item in _items(shop, other)
    }
    telling = [item["name"] for item in order["items"] if item["name"] not in names]
    if telling and shop.draws.chance(0.4):
        return f"the order with the {shop.draws.pick(telling)}"
    return f"order {order['order_id']}"


def _items(shop: Shop, order_id: str) -> Any:
    order: Any = shop.store.get("orders", order_id)
    return order["items"]


def look_up(order: Any, items: Sequence[Any] = ()) -> tuple[Action, ...]:
    """What an agent looks up about an order, and about the products of those items."""
    products = dict.fromkeys(item["product_id"] for item in items)
    return (
        Action("get_order_details", {"order_id": order["order_id"]}),
        *(Action("get_product_details", {"product_id": product_id}) for product_id in products),
    )
