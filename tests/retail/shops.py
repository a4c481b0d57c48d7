"""Shops for the tests: a tiny one written out, and tau-bench's where its data is at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spec_envs.retail.store.data import TABLES, RetailData, Table
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.store.tau3_records import tables_of

#: tau-bench's data, which is not part of the repository.
TAU_BENCH = Path(__file__).parents[2].parent / "shared" / "data" / "tau_bench"

needs_tau_bench = pytest.mark.skipif(
    not (TAU_BENCH / "orders.json").is_file(), reason=f"tau-bench's retail data is not in {TAU_BENCH}"
)

#: τ³-bench's data, which are not part of the repository.
TAU3 = TAU_BENCH.with_name("tau3_retail")

needs_tau3 = pytest.mark.skipif(
    not (TAU3 / "gold_train.json").is_file(), reason=f"τ³-bench's retail data are not in {TAU3}"
)

HOME = {"address1": "1 Elm St", "address2": "", "city": "Reno", "country": "USA", "state": "NV", "zip": "89501"}
AWAY = {"address1": "2 Oak St", "address2": "Apt 2", "city": "Waco", "country": "USA", "state": "TX", "zip": "76701"}


def variant(item_id, color, price, available=True):
    return {"item_id": item_id, "options": {"color": color}, "available": available, "price": price}


def item(item_id, color, price, product="1"):
    name = {"1": "Lamp", "2": "Rug"}[product]
    return {"name": name, "product_id": product, "item_id": item_id, "price": price, "options": {"color": color}}


def order(order_id, status, items, method, amount=None, user_id="ann_lee_1"):
    return {
        "order_id": order_id,
        "user_id": user_id,
        "address": HOME,
        "items": items,
        "fulfillments": [],
        "status": status,
        "payment_history": [
            {
                "transaction_type": "payment",
                "amount": sum(item["price"] for item in items) if amount is None else amount,
                "payment_method_id": method,
            }
        ],
    }


def user(first, last, email, methods, orders, address=HOME):
    return {
        "name": {"first_name": first, "last_name": last},
        "address": address,
        "email": email,
        "payment_methods": {method["id"]: method for method in methods},
        "orders": orders,
    }


def tables() -> dict[Table, dict[str, Any]]:
    """Two products, two users of the same name, and an order for every occasion."""
    lamps = [
        variant("10", "red", 10.1),
        variant("11", "blue", 20.2),
        variant("12", "green", 30.3, available=False),
        variant("13", "gold", 900.0),
    ]
    products = {
        "1": {"name": "Lamp", "product_id": "1", "variants": {lamp["item_id"]: lamp for lamp in lamps}},
        "2": {"name": "Rug", "product_id": "2", "variants": {"20": variant("20", "red", 60)}},
    }
    card = {"source": "credit_card", "brand": "visa", "last_four": "1234", "id": "credit_card_1"}
    gift = {"source": "gift_card", "balance": 50, "id": "gift_card_1"}
    empty = {"source": "gift_card", "balance": 0, "id": "gift_card_2"}
    paypal = {"source": "paypal", "id": "paypal_1"}
    lamp = item("10", "red", 10.1)
    orders = {
        "#W1": order("#W1", "pending", [lamp, item("11", "blue", 20.2)], "credit_card_1"),
        "#W2": order("#W2", "pending", [lamp, lamp], "gift_card_1"),
        "#W3": order("#W3", "delivered", [lamp, item("20", "red", 60, "2")], "credit_card_1"),
        "#W4": order("#W4", "processed", [lamp], "credit_card_1"),
        "#W5": order("#W5", "delivered", [lamp], "paypal_2", user_id="ann_lee_2"),
    }
    users = {
        "ann_lee_1": user("Ann", "Lee", "Ann@Example.com", [card, gift, empty, paypal], ["#W1", "#W2", "#W3", "#W4"]),
        "ann_lee_2": user("Ann", "Lee", "ann2@example.com", [{"source": "paypal", "id": "paypal_2"}], ["#W5"], AWAY),
    }
    return {"orders": orders, "products": products, "users": users}


def shop():
    """A snapshot of the tiny shop."""
    return StoreSnapshot(RetailData(tables()))


def database():
    """The data of the tiny shop in the form of τ³-bench's ``db.json``."""
    tiny = tables()
    users = {user_id: {"user_id": user_id, **record} for user_id, record in tiny["users"].items()}
    return {"products": tiny["products"], "users": users, "orders": tiny["orders"]}


def tau3_shop():
    """A snapshot of the tiny shop, with the tools of τ³-bench."""
    return StoreSnapshot(RetailData(tables_of(database()), dialect="tau3"))


def as_dict(store):
    """A copy of all data in a snapshot, as plain JSON objects."""
    return {table: json.loads(json.dumps(dict(store.items(table)))) for table in TABLES}


def as_json(task):
    """A task in the form that ``load_tasks`` reads, without its scenario."""
    return {
        "split": task.split,
        "index": task.index,
        "user_id": task.user_id,
        "instruction": task.instruction,
        "actions": [{"name": action.name, "kwargs": dict(action.arguments)} for action in task.actions],
        "outputs": list(task.outputs),
    }
