"""The data of generated shops: users, orders and products in tau-bench's form, made from one seed."""

import itertools
from collections.abc import Mapping
from typing import Any

from spec_envs.draws import Draws
from spec_envs.retail.embedded.catalogue import CITIES, FIRST_NAMES, LAST_NAMES, PRODUCTS, STREETS
from spec_envs.retail.store.data import Table

#: The seed of the data called "embedded".
SEED = 20240

#: The number of users of the embedded shop, and the most orders that a user of it has beyond two.
USERS, MORE_ORDERS = 240, 2

_STATUSES = ("pending",) * 9 + ("delivered",) * 8 + ("processed",) * 2 + ("cancelled",)
_BRANDS = ("visa", "mastercard", "amex")
_Json = dict[str, Any]


def generate_tables(
    seed: int | str, *, num_users: int = USERS, more_orders: int = MORE_ORDERS
) -> dict[Table, Mapping[str, Any]]:
    """Return the three tables of the shop that is generated from ``seed``.

    Args:
        seed: Seeds everything that is drawn.
        num_users: The number of users.
        more_orders: The most orders of a user beyond the two that every user has.
    """
    ids = _Ids()
    products = _products(Draws("products", seed), ids)
    draws = Draws("users", seed)
    users, orders = {}, {}
    for number in range(num_users):
        user_id, user = _user(draws, ids)
        # Every user has at least one order that can be changed and one that can be returned.
        first = ["pending", "delivered"] if number % 2 else ["delivered", "pending"]
        for status in (*first, *(draws.pick(_STATUSES) for _ in range(draws.between(0, more_orders)))):
            order_id = ids.new(draws, 7, "#W")
            orders[order_id] = _order(draws, ids, order_id, user_id, user, status, products)
            user["orders"].append(order_id)
        users[user_id] = user
    return {"orders": orders, "products": products, "users": users}


def address(draws: Draws) -> dict[str, str]:
    """Draw an address."""
    city, state, zip_start = draws.pick(CITIES)
    line2 = f"{draws.pick(('Apt', 'Suite', 'Unit'))} {draws.between(1, 990)}" if draws.chance(0.8) else ""
    return {
        "address1": f"{draws.between(10, 990)} {draws.pick(STREETS)}",
        "address2": line2,
        "city": city,
        "country": "USA",
        "state": state,
        "zip": zip_start + "".join(str(draws.below(10)) for _ in range(2)),
    }


class _Ids:
    """Makes ids, each of them once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, draws: Draws, digits: int, prefix: str = "") -> str:
        while (made := prefix + draws.digits(digits)) in self._taken:
            pass
        self._taken.add(made)
        return made


def _products(draws: Draws, ids: _Ids) -> _Json:
    products = {}
    for name, price, options in draws.shuffled(PRODUCTS):
        product_id = ids.new(draws, 10)
        variants = {}
        combinations = draws.shuffled(list(itertools.product(*options.values())))
        for values in combinations[: max(5, len(combinations) * 3 // 4)]:
            item_id = ids.new(draws, 10)
            variants[item_id] = {
                "item_id": item_id,
                "options": dict(zip(options, values, strict=True)),
                "available": draws.chance(0.8),
                "price": round(price * (0.85 + draws.below(3000) / 10_000), 2),
            }
        products[product_id] = {"name": name, "product_id": product_id, "variants": variants}
    return products


def _user(draws: Draws, ids: _Ids) -> tuple[str, _Json]:
    first, last = draws.pick(FIRST_NAMES), draws.pick(LAST_NAMES)
    user_id = ids.new(draws, 4, f"{first}_{last}_".lower())
    user = {
        "name": {"first_name": first, "last_name": last},
        "address": address(draws),
        "email": f"{ids.new(draws, 4, f'{first}.{last}'.lower())}@example.com",
        "payment_methods": {method["id"]: method for method in _methods(draws, ids)},
        "orders": [],
    }
    return user_id, user


def _methods(draws: Draws, ids: _Ids) -> list[_Json]:
    """Draw one to three payment methods of different kinds, so that "my gift card" means only one of them."""
    methods = []
    for kind in draws.shuffled(("credit_card", "gift_card", "paypal"))[: draws.pick((1, 2, 2, 3, 3))]:
        method: _Json = {"source": kind}
        if kind == "credit_card":
            method |= {"brand": draws.pick(_BRANDS), "last_four": draws.digits(4)}
        if kind == "gift_card":
            method["balance"] = draws.pick((0, draws.between(5, 100), draws.between(100, 900)))
        methods.append(method | {"id": ids.new(draws, 7, f"{kind}_")})
    return methods


def _order(
    draws: Draws, ids: _Ids, order_id: str, user_id: str, user: _Json, status: str, products: Mapping[str, Any]
) -> _Json:
    items = []
    for product in draws.shuffled(list(products.values()))[: draws.between(1, 5)]:
        variant = draws.pick(list(product["variants"].values()))
        items.append(
            {
                "name": product["name"],
                "product_id": product["product_id"],
                "item_id": variant["item_id"],
                "price": variant["price"],
                "options": dict(variant["options"]),
            }
        )
    method = draws.pick(list(user["payment_methods"]))
    total = round(sum(item["price"] for item in items), 2)
    kinds = ("payment", "refund") if status == "cancelled" else ("payment",)
    shipped = status in ("processed", "delivered")
    tracking = {"tracking_id": [draws.digits(12)], "item_ids": [item["item_id"] for item in items]}
    return {
        "order_id": order_id,
        "user_id": user_id,
        # Some orders are sent to another address than the customer's own.
        "address": dict(user["address"]) if draws.chance(0.8) else address(draws),
        "items": items,
        "fulfillments": [tracking] if shipped else [],
        "status": status,
        "payment_history": [{"transaction_type": kind, "amount": total, "payment_method_id": method} for kind in kinds],
    }
