"""τ³-bench's retail domain: its data, tasks, tools, ends and score; all gold outputs and hashes of its train tasks."""

from __future__ import annotations

import json
import pickle
from hashlib import sha256
from typing import Any

import gymnasium as gym
import pytest

from spec_envs.benchmarks.checks import replayed
from spec_envs.errors import InvalidConfiguration
from spec_envs.retail.loading import load_data, load_tasks
from spec_envs.retail.store.data import RetailData
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tools.table import READS, TOOL_SETS, WRITES, run_tool
from spec_envs.retail.tools.visible import view_of
from tests.retail.shops import AWAY, TAU3, as_dict, database, needs_tau3, tau3_shop

ANN = "ann_lee_1"
LEE = {"first_name": "ann", "last_name": "LEE"}
LITTLE = "Insufficient gift card balance to pay for"
NEW = ["exchange_items", "exchange_new_items", "exchange_payment_method_id", "exchange_price_difference"]


def call(store: StoreSnapshot, name: str, **arguments: Any) -> str:
    return run_tool(store, name, arguments).output


def after(store: StoreSnapshot, name: str, **arguments: Any) -> tuple[Any, StoreSnapshot]:
    """The record that a tool answers with, and the data after it."""
    result = run_tool(store, name, arguments)
    assert result.patch, result.output
    return json.loads(result.output), store.patched(result.patch)


def balance_of(store: StoreSnapshot, card: str) -> float:
    user = store.get("users", ANN)
    assert user is not None
    return float(user["payment_methods"][card]["balance"])


class TestRecordings:
    @needs_tau3
    def test_all_gold_actions_give_the_gold_outputs_and_hashes(self):
        gold = json.loads((TAU3 / "gold_train.json").read_text(encoding="utf-8"))
        options: Any = {"data": TAU3, "tasks": TAU3 / "tasks_train.json", "split": None, "max_steps": None}
        with gym.make("SpecRetail-v0", customer=hangs_up_at("Bye"), **options) as env:
            results = list(replayed(env))
        assert len(results) == 74 and results == gold
        assert json.dumps(results) == json.dumps(gold)  # also the order of fields, and 1 is not 1.0

    @needs_tau3
    def test_the_hash_of_all_data(self):
        store = StoreSnapshot(load_data(TAU3 / "db.json"))
        assert store.tau_hash() == sha256(json.dumps(as_dict(store), sort_keys=True).encode()).hexdigest()
        assert load_data(TAU3) is load_data(TAU3 / "db.json")

    @needs_tau3
    def test_an_agent_that_takes_the_gold_actions_wins_every_task(self):
        tasks = load_tasks(TAU3 / "tasks_train.json")
        policy = (TAU3 / "policy.md").read_text(encoding="utf-8")
        with gym.make("SpecRetail-v0", data=TAU3, tasks=tasks, customer=hangs_up_at("Bye")) as env:
            for index, task in enumerate(tasks):
                observation, _ = env.reset(seed=0, options={"task": index})
                assert observation["policy"] == policy
                for action in task.actions:
                    env.step({"name": action.name, "arguments": dict(action.arguments)})
                _, reward, terminated, _, info = env.step("Bye")
                assert (reward, terminated, info["database"]) == (1.0, True, True)
                assert task.criteria is not None
                assert info["unscored"] == ["NL_ASSERTION"] * bool(task.criteria.assertions)


class TestData:
    def test_records_have_all_fields_that_the_tools_show(self):
        order = json.loads(call(tau3_shop(), "get_order_details", order_id="#W3"))
        assert list(order)[-7:] == ["cancel_reason", *NEW, "return_items", "return_payment_method_id"]
        assert order["cancel_reason"] is None
        assert '"price": 60.0' in call(tau3_shop(), "get_order_details", order_id="#W3")
        card = json.loads(call(tau3_shop(), "get_user_details", user_id=ANN))["payment_methods"]["credit_card_1"]
        assert list(card) == ["source", "id", "brand", "last_four"]

    def test_fields_that_nobody_knows_are_dropped(self, tmp_path):
        data = database()
        data["orders"]["#W1"]["colour"] = "red"
        assert StoreSnapshot(loaded(tmp_path, data)).digest == tau3_shop().digest

    def test_the_hash_is_that_of_sorted_json(self):
        _, store = after(tau3_shop(), "cancel_pending_order", order_id="#W2", reason="no longer needed")
        for each in (tau3_shop(), store):
            assert each.tau_hash() == sha256(json.dumps(as_dict(each), sort_keys=True).encode()).hexdigest()
        assert not store.matches(tau3_shop())

    def test_equal_records_of_two_benchmarks_are_different_data(self):
        other = StoreSnapshot(RetailData(tau3_shop().initial.tables))
        assert other != tau3_shop() and other.tau_hash() != tau3_shop().tau_hash()

    def test_a_pickle_keeps_the_tools(self, tmp_path):
        for store in (tau3_shop(), StoreSnapshot(loaded(tmp_path, database()))):
            twin = pickle.loads(pickle.dumps(store))
            assert twin == store and call(twin, "get_item_details", item_id="10").startswith('{"item_id": "10"')

    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            (lambda data: data["orders"]["#W1"].update(status="lost"), r"db.json: .*orders.#W1.status"),
            (lambda data: data.update(stock={}), r"db.json: .*\n?stock"),
            (lambda data: data["orders"]["#W1"].update(user_id="bob"), "order '#W1' is of 'bob', who is not among"),
            (lambda data: data["users"][ANN]["payment_methods"].pop("gift_card_1"), "'gift_card_1', which is no pay"),
        ],
    )
    def test_says_what_is_wrong_with_it(self, tmp_path, damage, words):
        data = database()
        damage(data)
        with pytest.raises(InvalidConfiguration, match=f"(?s){words}"):
            loaded(tmp_path, data)

    def test_two_benchmarks_in_one_folder(self, tmp_path):
        (tmp_path / "orders.json").write_text("{}", encoding="utf-8")
        with pytest.raises(InvalidConfiguration, match="has the data of tau-bench and of τ³-bench"):
            loaded(tmp_path, database())


class TestTools:
    def test_names(self):
        known = TOOL_SETS["tau3"]
        assert len(known.tools) == 16 and set(known.tools) == (READS | WRITES | {"get_item_details"}) - {"think"}
        assert [schema["function"]["name"] for schema in known.schemas] == sorted(known.tools)
        assert known.reads == known.tools.keys() - WRITES

    @pytest.mark.parametrize(
        ("name", "arguments", "answer"),
        [
            ("find_user_id_by_email", {"email": "ANN@example.com"}, ANN),
            ("find_user_id_by_email", {"email": "x"}, "Error: User not found"),
            ("find_user_id_by_email", {"email": 5}, "Error: 'int' object has no attribute 'lower'"),
            ("find_user_id_by_name_zip", {"first_name": "ann", "last_name": "LEE", "zip": "76701"}, "ann_lee_2"),
            (
                "find_user_id_by_name_zip",
                {"first_name": "ann", "last_name": "LEE", "zip": 76701},
                "Error: User not found",
            ),
            (
                "find_user_id_by_name_zip",
                {"first_name": "ann", "last_name": "LEE", "zip": None},
                "Error: User not found",
            ),
            ("get_order_details", {"order_id": "W1"}, "Error: Order not found"),
            ("get_order_details", {"order_id": 1}, "Error: Order not found"),
            ("get_order_details", {"order_id": ["#W1"]}, "Error: unhashable type: 'list'"),
            ("get_product_details", {"product_id": "10"}, "Error: Product not found"),
            ("get_item_details", {"item_id": "1"}, "Error: Item not found"),
            ("get_user_details", {"user_id": "bob"}, "Error: User not found"),
            ("list_all_product_types", {}, '{"Lamp": "1", "Rug": "2"}'),
            ("calculate", {"expression": "1.255 * 2"}, "2.51"),
            ("calculate", {"expression": "1 + x"}, "Error: Invalid characters in expression"),
            ("calculate", {"expression": []}, "Error: eval() arg 1 must be a string, bytes or code object"),
            ("calculate", {"expression": "1 +"}, "Error: invalid syntax (<string>, line 1)"),
            ("transfer_to_human_agents", {"summary": ""}, "Transfer successful"),
            ("think", {"thought": ""}, "Error: Tool 'think' not found."),
            (
                "get_user_details",
                {},
                "Error: RetailTools.get_user_details() missing 1 required positional argument: 'user_id'",
            ),
            (
                "get_user_details",
                {"user": ANN},
                "Error: RetailTools.get_user_details() got an unexpected keyword argument 'user'",
            ),
        ],
    )
    def test_answers(self, name, arguments, answer):
        assert run_tool(tau3_shop(), name, arguments) == (answer, ())

    def test_addresses_have_the_order_of_the_records(self):
        user, _ = after(tau3_shop(), "modify_user_address", user_id=ANN, **AWAY)
        assert list(user["address"]) == ["address1", "address2", "city", "country", "state", "zip"]
        wrong = call(tau3_shop(), "modify_pending_order_address", order_id="#W1", **{**AWAY, "zip": 76701})
        assert wrong.startswith("Error: 1 validation error for UserAddress\nzip\n  Input should be a valid string")

    def test_cancel(self):
        order, store = after(tau3_shop(), "cancel_pending_order", order_id="#W2", reason="ordered by mistake")
        assert order["status"] == "cancelled" and order["payment_history"][1]["transaction_type"] == "refund"
        assert balance_of(store, "gift_card_1") == 70.2
        assert call(tau3_shop(), "cancel_pending_order", order_id="#W1", reason="x") == "Error: Invalid reason"
        again = call(store, "cancel_pending_order", order_id="#W2", reason="x")
        assert again == "Error: Non-pending order cannot be cancelled"

    def test_changed_items_get_the_price_of_the_last_one(self):
        change = {"order_id": "#W2", "item_ids": ["10", "10"], "payment_method_id": "paypal_1"}
        order, store = after(tau3_shop(), "modify_pending_order_items", **change, new_item_ids=["13", "11"])
        assert [(item["item_id"], item["price"]) for item in order["items"]] == [("13", 20.2), ("11", 20.2)]
        assert [item["options"] for item in order["items"]] == [{"color": "blue"}] * 2
        assert order["payment_history"][-1]["amount"] == (900.0 - 10.1) + (20.2 - 10.1)
        assert order["status"] == "pending (item modified)"
        moved, _ = after(store, "modify_pending_order_address", order_id="#W2", **AWAY)  # still allowed
        assert moved["address"]["city"] == "Waco"
        again = call(store, "modify_pending_order_items", **change, new_item_ids=["13", "11"])
        assert again == "Error: Non-pending order cannot be modified"

    def test_no_items_cost_nothing_which_is_an_integer_in_an_exchange_alone(self):
        none: Any = {"item_ids": [], "new_item_ids": [], "payment_method_id": "credit_card_1"}
        order, _ = after(tau3_shop(), "exchange_delivered_order_items", order_id="#W3", **none)
        assert repr(order["exchange_price_difference"]) == "0"
        order, _ = after(tau3_shop(), "modify_pending_order_items", order_id="#W1", **none)
        assert repr(order["payment_history"][-1]["amount"]) == "0.0"

    @pytest.mark.parametrize(
        ("tool", "order_id", "items", "new", "method", "error"),
        [
            ("exchange_delivered", "#W1", [], [], "x", "Non-delivered order cannot be exchanged"),
            ("exchange_delivered", "#W3", ["10", "10"], ["11", "11"], "x", "Number of 10 not found."),
            ("exchange_delivered", "#W3", ["10"], [], "x", "The number of items to be exchanged should match."),
            ("exchange_delivered", "#W3", ["10"], ["20"], "x", "Variant not found"),
            ("exchange_delivered", "#W3", ["10"], ["12"], "x", "New item 12 not found or available"),
            ("exchange_delivered", "#W3", ["10"], ["11"], "x", "Payment method not found"),
            (
                "exchange_delivered",
                "#W3",
                ["10"],
                ["11"],
                "gift_card_2",
                f"{LITTLE} the price difference",
            ),
            ("modify_pending", "#W1", ["20"], ["20"], "x", "20 not found"),
            ("modify_pending", "#W1", ["10"], [], "x", "The number of items to be exchanged should match"),
            ("modify_pending", "#W1", ["10"], ["10"], "x", "The new item id should be different from the old item id"),
            (
                "modify_pending",
                "#W1",
                ["10"],
                ["13"],
                "gift_card_1",
                "Insufficient gift card balance to pay for the new item",
            ),
            ("modify_pending", "#W1", None, ["13"], "gift_card_1", "'NoneType' object is not iterable"),
        ],
    )
    def test_errors_of_replaced_items(self, tool, order_id, items, new, method, error):
        arguments = {"order_id": order_id, "item_ids": items, "new_item_ids": new, "payment_method_id": method}
        assert run_tool(tau3_shop(), f"{tool}_order_items", arguments) == (f"Error: {error}", ())

    def test_an_exchange_of_an_item_for_itself_is_allowed(self):
        same = {"order_id": "#W3", "item_ids": ["10"], "new_item_ids": ["10"], "payment_method_id": "credit_card_1"}
        order, _ = after(tau3_shop(), "exchange_delivered_order_items", **same)
        assert [order[field] for field in NEW] == [["10"], ["10"], "credit_card_1", 0.0]

    def test_payment(self):
        paid = {"order_id": "#W2", "payment_method_id": "paypal_1"}
        order, store = after(tau3_shop(), "modify_pending_order_payment", **paid)
        assert [entry["payment_method_id"] for entry in order["payment_history"]] == [
            "gift_card_1",
            "paypal_1",
            "gift_card_1",
        ]
        assert balance_of(store, "gift_card_1") == 70.2
        assert call(store, "modify_pending_order_payment", **paid) == (
            "Error: There should be exactly one payment for a pending order"
        )
        errors = {
            "x": "Payment method not found",
            "gift_card_1": "The new payment method should be different from the current one",
            "gift_card_2": "Insufficient gift card balance to pay for the order",
        }
        for method, error in errors.items():
            wrong = call(tau3_shop(), "modify_pending_order_payment", order_id="#W2", payment_method_id=method)
            assert wrong == f"Error: {error}"

    def test_return(self):
        back = {"order_id": "#W3", "item_ids": ["20", "10"]}
        order, _ = after(tau3_shop(), "return_delivered_order_items", **back, payment_method_id="gift_card_2")
        assert (order["status"], order["return_items"]) == ("return requested", ["10", "20"])
        wrong = call(tau3_shop(), "return_delivered_order_items", **back, payment_method_id="paypal_1")
        assert wrong == "Error: Payment method should be the original payment method"
        back["item_ids"] = ["11"]
        wrong = call(tau3_shop(), "return_delivered_order_items", **back, payment_method_id="credit_card_1")
        assert wrong == "Error: Some item not found"

    def test_what_a_read_sees(self):
        store = tau3_shop()
        _, changed = after(store, "cancel_pending_order", order_id="#W1", reason="no longer needed")
        for name, arguments, same in [
            ("get_item_details", {"item_id": "10"}, True),
            ("get_order_details", {"order_id": "#W2"}, True),
            ("get_order_details", {"order_id": "#W1"}, False),
            ("think", {}, False),
        ]:
            assert (view_of(store, name, arguments) == view_of(changed, name, arguments)) is same


def loaded(folder: Any, data: Any) -> Any:
    (folder / "db.json").write_text(json.dumps(data), encoding="utf-8")
    return load_data(folder)


def hangs_up_at(word: str, stop: str = "###STOP###") -> Any:
    """A customer who ends the conversation when the agent says ``word``."""
    return lambda query: stop if word in query.said[-1] else "Hm."
