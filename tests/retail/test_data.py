"""Loading a shop: the generated one, and folders in tau-bench's form."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from spec_envs.errors import InvalidConfiguration
from spec_envs.retail.loading import load_data
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tools.table import run_tool
from tests.retail.shops import as_dict, tables

#: A change of the generated shop changes every recorded episode of it: do so on purpose, and say so in the changelog.
DIGEST = 0xEB1EA38AE0A56EB5449269053737A078


class TestEmbedded:
    def test_is_as_large_as_it_should_be(self):
        base = load_data("embedded")
        assert len(base.tables["users"]) >= 200 and len(base.tables["orders"]) >= 500
        assert len(base.tables["products"]) >= 40
        assert all(len(product["variants"]) >= 4 for product in base.tables["products"].values())

    def test_is_the_same_in_every_process(self):
        code = "from spec_envs.retail.loading import load_data; print(load_data().digest)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
        assert int(done.stdout) == load_data().digest == DIGEST

    def test_is_consistent(self):
        data = load_data().tables
        ids = [item_id for product in data["products"].values() for item_id in product["variants"]]
        assert len(ids) == len(set(ids))
        for order_id, order in data["orders"].items():
            user = data["users"][order["user_id"]]
            assert order_id == order["order_id"] and order_id in user["orders"]
            for item in order["items"]:
                product = data["products"][item["product_id"]]
                variant = product["variants"][item["item_id"]]
                assert item["name"] == product["name"] and item["options"] == variant["options"]
                assert item["price"] == variant["price"] > 0
            for payment in order["payment_history"]:
                assert payment["payment_method_id"] in user["payment_methods"]
                assert payment["amount"] == round(sum(item["price"] for item in order["items"]), 2)
            shipped = order["status"] in ("processed", "delivered")
            assert bool(order["fulfillments"]) == shipped
        assert {order["status"] for order in data["orders"].values()} == {
            "pending",
            "processed",
            "delivered",
            "cancelled",
        }
        for user_id, user in data["users"].items():
            assert all(data["orders"][order_id]["user_id"] == user_id for order_id in user["orders"])
            assert all(method_id == method["id"] for method_id, method in user["payment_methods"].items())
            assert all(method_id.startswith(m["source"]) for method_id, m in user["payment_methods"].items())
        emails = [user["email"] for user in data["users"].values()]
        assert len(set(emails)) == len(emails)


def written(folder, data):
    for table, records in data.items():
        (folder / f"{table}.json").write_text(json.dumps(records), encoding="utf-8")
    return folder


def changed(table, field, value):
    def damage(folder):
        records = tables()[table]
        next(iter(records.values()))[field] = value
        (folder / f"{table}.json").write_text(json.dumps(records), encoding="utf-8")

    return damage


class TestFolder:
    def test_keeps_the_order_of_keys_and_the_types_of_numbers(self, tmp_path):
        data = tables()
        data["products"]["1"]["variants"]["10"]["price"] = 60.0
        snapshot = StoreSnapshot(load_data(written(tmp_path, data)))
        assert run_tool(snapshot, "get_product_details", {"product_id": "1"}).output == json.dumps(
            data["products"]["1"]
        )
        assert json.dumps(as_dict(snapshot)) == json.dumps(data)
        assert '"price": 60}' in run_tool(snapshot, "get_product_details", {"product_id": "2"}).output

    def test_is_loaded_once_until_it_changes(self, tmp_path):
        first = load_data(str(written(tmp_path, tables())))
        assert load_data(tmp_path) is first
        data = tables()
        data["users"]["ann_lee_1"]["email"] = "another@example.com"
        assert load_data(written(tmp_path, data)).digest != first.digest

    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            (lambda folder: (folder / "users.json").unlink(), "no users.json"),
            (lambda folder: (folder / "users.json").write_text("{"), "users.json cannot be read as JSON"),
            (lambda folder: (folder / "users.json").write_text("[]"), "must hold an object of users by id, not list"),
            (lambda folder: (folder / "products.json").write_text('{"9": 1}'), "'9' lacks name, product_id, variants"),
            (lambda folder: (folder / "users.json").write_text("{}"), "order '#W1' is of 'ann_lee_1', who is not in"),
            (changed("users", "email", None), "users.json: email of 'ann_lee_1' must be a text, not None"),
            (changed("users", "name", {"first_name": "Ann"}), "name of 'ann_lee_1' must have a last_name"),
            (changed("orders", "items", {}), "orders.json: items of '#W1' must be a list, not {}"),
            (changed("orders", "user_id", ["x"]), "orders.json: user_id of '#W1' must be a text"),
        ],
    )
    def test_says_what_is_wrong_with_it(self, tmp_path, damage, words):
        damage(written(tmp_path, tables()))
        with pytest.raises(InvalidConfiguration, match=words):
            load_data(tmp_path)

    def test_that_is_not_there(self, tmp_path):
        with pytest.raises(InvalidConfiguration, match="data must be"):
            load_data(tmp_path / "nowhere")
