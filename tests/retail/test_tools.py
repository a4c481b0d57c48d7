"""Each tool's answers, errors and changes; that nothing else changes; and arithmetic that is never run as code."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from spec_envs import Effect
from spec_envs.retail.store.data import Record, RetailData, Table
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tools.calculator import MAX_LENGTH
from spec_envs.retail.tools.table import READS, SCHEMAS, TERMINAL, TOOLS, WRITES, effect_of, run_tool
from tests.retail.shops import AWAY, HOME, as_dict, shop

ANN = "ann_lee_1"


def call(tool, store=None, **arguments):
    return run_tool(store if store is not None else shop(), tool, arguments)


def after(tool, store=None, **arguments):
    """The record that the tool answered with, and the data after it."""
    store = store if store is not None else shop()
    result = call(tool, store, **arguments)
    changed = store.patched(result.patch)
    first = result.patch[0]
    assert result.output == json.dumps(changed.get(first.table, first.key))
    return json.loads(result.output), changed


def balance(store, card="gift_card_1"):
    return store.get("users", ANN)["payment_methods"][card]["balance"]


def found(store: StoreSnapshot, table: Table, key: str) -> Record:
    """A record that must be there."""
    record = store.get(table, key)
    assert record is not None
    return record


def refund(amount, method):
    return {"transaction_type": "refund", "amount": amount, "payment_method_id": method}


def payment(amount, method):
    return {"transaction_type": "payment", "amount": amount, "payment_method_id": method}


class TestReads:
    def test_details_are_the_records_as_they_stand(self):
        store = shop()
        rows: list[tuple[str, Table, str, str]] = [
            ("get_user_details", "users", "user_id", ANN),
            ("get_order_details", "orders", "order_id", "#W1"),
            ("get_product_details", "products", "product_id", "1"),
        ]
        for tool, table, argument, key in rows:
            assert call(tool, **{argument: key}) == (json.dumps(store.get(table, key)), ())
            assert call(tool, **{argument: "nothing"}) == (f"Error: {table[:-1]} not found", ())

    def test_find_users(self):
        assert call("find_user_id_by_email", email="ann@example.com") == (ANN, ())
        assert call("find_user_id_by_email", email="bob@example.com") == ("Error: user not found", ())
        name = {"first_name": "aNN", "last_name": "lee"}
        assert call("find_user_id_by_name_zip", **name, zip=HOME["zip"]) == (ANN, ())
        assert call("find_user_id_by_name_zip", **name, zip=AWAY["zip"]) == ("ann_lee_2", ())
        assert call("find_user_id_by_name_zip", **name, zip="00000") == ("Error: user not found", ())

    def test_products_by_name(self):
        assert call("list_all_product_types") == ('{"Lamp": "1", "Rug": "2"}', ())

    def test_think_and_transfer(self):
        assert call("think", thought="hm") == ("", ())
        assert call("transfer_to_human_agents", summary="lost") == ("Transfer successful", ())


class TestAddresses:
    def test_of_a_user(self):
        user, store = after("modify_user_address", user_id=ANN, **AWAY)
        assert user["address"] == AWAY and found(store, "orders", "#W1")["address"] == HOME
        assert list(user["address"]) == ["address1", "address2", "city", "state", "country", "zip"]
        assert call("modify_user_address", user_id="bob", **AWAY) == ("Error: user not found", ())

    def test_of_an_order(self):
        order, store = after("modify_pending_order_address", order_id="#W1", **AWAY)
        assert order["address"] == AWAY and found(store, "users", ANN)["address"] == HOME
        again, _ = after("modify_pending_order_address", store, order_id="#W1", **HOME)
        assert again["address"] == HOME


class TestCancel:
    def test_refunds_a_card_later(self):
        order, store = after("cancel_pending_order", order_id="#W1", reason="no longer needed")
        assert order["status"] == "cancelled" and list(order)[-1] == "cancel_reason"
        total = 10.1 + 20.2
        assert order["payment_history"] == [payment(total, "credit_card_1"), refund(total, "credit_card_1")]
        assert store.get("users", ANN) is shop().get("users", ANN) or balance(store) == 50

    def test_refunds_a_gift_card_at_once(self):
        order, store = after("cancel_pending_order", order_id="#W2", reason="ordered by mistake")
        assert order["cancel_reason"] == "ordered by mistake" and balance(store) == 70.2

    def test_refunds_every_payment_as_tau_bench_does(self):
        _, store = after("modify_pending_order_payment", order_id="#W2", payment_method_id="paypal_1")
        order, store = after("cancel_pending_order", store, order_id="#W2", reason="no longer needed")
        assert len(order["payment_history"]) == 6 and balance(store) == round(50 + 3 * 20.2, 2)

    def test_errors(self):
        assert call("cancel_pending_order", order_id="W1", reason="x").output == "Error: order not found"
        wrong = call("cancel_pending_order", order_id="#W3", reason="x")
        assert wrong == ("Error: non-pending order cannot be cancelled", ())
        assert call("cancel_pending_order", order_id="#W1", reason="x") == ("Error: invalid reason", ())


class TestPayment:
    def test_to_another_card(self):
        order, store = after("modify_pending_order_payment", order_id="#W2", payment_method_id="paypal_1")
        assert order["payment_history"][1:] == [payment(20.2, "paypal_1"), refund(20.2, "gift_card_1")]
        assert order["status"] == "pending" and balance(store) == 70.2

    def test_to_a_gift_card(self):
        order, store = after("modify_pending_order_payment", order_id="#W1", payment_method_id="gift_card_1")
        assert balance(store) == round(50 - (10.1 + 20.2), 2) and order["payment_history"][1]["amount"] == 10.1 + 20.2

    @pytest.mark.parametrize(
        ("order_id", "method", "error"),
        [
            ("#W0", "paypal_1", "order not found"),
            ("#W4", "paypal_1", "non-pending order cannot be modified"),
            ("#W1", "paypal_2", "payment method not found"),
            ("#W1", "credit_card_1", "the new payment method should be different from the current one"),
            ("#W1", "gift_card_2", "insufficient gift card balance to pay for the order"),
        ],
    )
    def test_errors(self, order_id, method, error):
        wrong = call("modify_pending_order_payment", order_id=order_id, payment_method_id=method)
        assert wrong == (f"Error: {error}", ())

    def test_only_once(self):
        _, store = after("modify_pending_order_payment", order_id="#W1", payment_method_id="paypal_1")
        again = call("modify_pending_order_payment", store, order_id="#W1", payment_method_id="gift_card_1")
        assert again == ("Error: there should be exactly one payment for a pending order", ())


class TestItems:
    def change(self, store=None, order_id="#W1", old=("10",), new=("11",), method="gift_card_1", **more):
        return {"order_id": order_id, "item_ids": list(old), "new_item_ids": list(new), "payment_method_id": method}

    def test_costs_are_not_rounded_and_a_balance_is(self):
        order, store = after("modify_pending_order_items", **self.change())
        assert order["status"] == "pending (item modified)" and order["items"][0]["item_id"] == "11"
        assert order["items"][0]["options"] == {"color": "blue"} and order["items"][0]["price"] == 20.2
        assert order["payment_history"][1] == payment(20.2 - 10.1, "gift_card_1")
        assert balance(store) == 39.9

    def test_cheaper_gives_money_back(self):
        order, store = after("modify_pending_order_items", **self.change(old=("11",), new=("10",)))
        assert order["payment_history"][1] == refund(20.2 - 10.1, "gift_card_1") and balance(store) == 60.1

    def test_one_after_the_other(self):
        # The first 10 becomes 11, and that is then the first 11.
        order, _ = after(
            "modify_pending_order_items", **self.change(old=("10", "11"), new=("11", "13"), method="paypal_1")
        )
        assert [item["item_id"] for item in order["items"]] == ["13", "11"]

    def test_the_same_item_twice(self):
        twice = self.change(order_id="#W2", old=("10", "10"), new=("11", "11"))
        order, store = after("modify_pending_order_items", **twice)
        assert [item["item_id"] for item in order["items"]] == ["11", "11"] and balance(store) == 29.8
        assert found(shop(), "orders", "#W2")["items"][0]["item_id"] == "10"

    def test_exchange_is_rounded_and_sorted_and_settled_later(self):
        order, store = after("exchange_delivered_order_items", **self.change(order_id="#W3"))
        assert order["status"] == "exchange requested" and order["exchange_price_difference"] == 10.1
        assert order["exchange_items"] == ["10"] and order["exchange_new_items"] == ["11"]
        assert order["exchange_payment_method_id"] == "gift_card_1" and balance(store) == 50
        both = self.change(order_id="#W3", old=("20", "10"), new=("20", "11"))
        order, _ = after("exchange_delivered_order_items", **both)
        assert order["exchange_items"] == ["10", "20"] and order["exchange_new_items"] == ["11", "20"]

    @pytest.mark.parametrize(
        ("given", "error"),
        [
            ({"order_id": "#W9"}, "order not found"),
            ({"order_id": "#W4"}, "non-{} order cannot be {}"),
            ({"old": ("12",)}, "12 not found"),
            ({"old": ("10", "10", "10"), "new": ("11",) * 3}, "10 not found"),
            ({"new": ("11", "11")}, "the number of items to be exchanged should match"),
            ({"new": ("12",)}, "new item 12 not found or available"),
            ({"new": ("20",)}, "new item 20 not found or available"),
            ({"method": "paypal_2"}, "payment method not found"),
            ({"new": ("13",)}, "insufficient gift card balance to pay for the {}"),
        ],
    )
    def test_errors(self, given, error):
        for tool, order_id, words, price in (
            ("modify_pending_order_items", "#W1", ("pending", "modified"), ("new item",)),
            ("exchange_delivered_order_items", "#W3", ("delivered", "exchanged"), ("price difference",)),
        ):
            wrong = call(tool, **self.change(**{"order_id": order_id, **given}))
            assert wrong == (f"Error: {error.format(*(price if 'balance' in error else words))}", ())

    def test_only_once(self):
        _, store = after("modify_pending_order_items", **self.change())
        again = call("modify_pending_order_items", store, **self.change())
        assert again.output == "Error: non-pending order cannot be modified"


class TestReturn:
    def give(self, order_id="#W3", items=("20", "10"), method="credit_card_1"):
        return {"order_id": order_id, "item_ids": list(items), "payment_method_id": method}

    def test_to_the_original_method_or_a_gift_card(self):
        for method in ("credit_card_1", "gift_card_1", "gift_card_2"):
            order, store = after("return_delivered_order_items", **self.give(method=method))
            assert order["status"] == "return requested" and order["return_items"] == ["10", "20"]
            assert order["return_payment_method_id"] == method and balance(store) == 50

    @pytest.mark.parametrize(
        ("given", "error"),
        [
            ({"order_id": "#W9"}, "order not found"),
            ({"order_id": "#W1"}, "non-delivered order cannot be returned"),
            ({"method": "paypal_2"}, "payment method not found"),
            ({"method": "paypal_1"}, "payment method should be either the original payment method or a gift card"),
            ({"items": ("10", "10")}, "some item not found"),
        ],
    )
    def test_errors(self, given, error):
        assert call("return_delivered_order_items", **self.give(**given)) == (f"Error: {error}", ())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
SEEN = st.sampled_from(
    ["#W1", "#W2", "#W3", "#W4", "#W5", ANN, "1", "10", "11", "12", "13", "20", "credit_card_1", "gift_card_1"]
    + ["paypal_1", "no longer needed", "1 + 1", [], ["10"], ["11"], ["12"], ["10", "10"], ["10", "11"]]
)


class TestCalls:
    @given(st.data())
    def test_say_what_is_wrong_and_change_nothing(self, data):
        name = data.draw(st.sampled_from(sorted(TOOLS)))
        names = list(TOOLS[name].arguments.model_fields)
        arguments = {argument: data.draw(SEEN | JSON) for argument in names}
        arguments |= data.draw(st.dictionaries(st.sampled_from([*names, "other"]), JSON, max_size=1))
        store, fresh = shop(), shop()
        result = run_tool(store, name, arguments)
        assert result == run_tool(store, name, arguments)
        assert as_dict(store) == as_dict(fresh)
        assert not (result.output.startswith("Error") and result.patch)
        assert bool(result.patch) <= (name in WRITES)
        if result.patch:  # the old records still are as their digests say
            changed = store.patched(result.patch)
            tables: Any = as_dict(changed)
            assert StoreSnapshot(RetailData(tables)) == changed
        assert StoreSnapshot(RetailData(store.initial.tables)) == fresh

    @pytest.mark.parametrize(
        ("name", "arguments", "words"),
        [
            ("get_order_details", {"order_id": 7}, ["order_id: Input should be a valid string"]),
            ("get_order_details", "#W1", ["Error: invalid arguments for get_order_details: arguments:"]),
            ("get_order_details", None, ["arguments:"]),
            (
                "return_delivered_order_items",
                {"order_id": 3, "item_ids": ["10", 2], "payment_method_id": ""},
                ["order_id: Input should be a valid string; item_ids.1: Input should be a valid string"],
            ),
        ],
    )
    def test_with_arguments_of_wrong_types(self, name, arguments, words):
        result = run_tool(shop(), name, arguments)
        assert result.output.startswith("Error: invalid arguments") and result.patch == ()
        assert all(word in result.output for word in words)

    @pytest.mark.parametrize("tool", TOOLS)
    @given(data=st.data())
    def test_with_unknown_or_missing_arguments(self, tool, data):
        """As Python says it of tau-bench's functions: each has the data and the tool's arguments as parameters."""
        names = [description["function"]["parameters"]["required"] for description in SCHEMAS]
        names = dict(zip(TOOLS, names, strict=True))[tool]
        given = data.draw(st.lists(st.sampled_from([*names, "other", "summery"]), unique=True))
        assume(set(given) != set(names))
        scope: dict[str, Any] = {}
        exec(f"def invoke(data, {', '.join(names)}): pass", scope)  # parameters as listed above
        scope["invoke"].__qualname__ = "".join(part.capitalize() for part in tool.split("_")) + ".invoke"
        arguments = dict.fromkeys(given, "")
        with pytest.raises(TypeError) as error:
            scope["invoke"](data=None, **arguments)
        said = str(error.value).partition(". Did you mean")[0]  # which newer versions of Python add
        assert run_tool(shop(), tool, arguments) == (f"Error: {said}", ())

    def test_of_no_tool(self):
        assert call("sing", song="la") == ("Unknown action sing", ())
        nonsense: Any = ["think"]
        assert run_tool(shop(), nonsense, {}).output == "Unknown action ['think']"

    def test_with_contradictory_data(self):
        store = shop()
        order = {**found(store, "orders", "#W1"), "user_id": "ghost", "payment_history": []}
        store = store.patched([type(call("modify_user_address", user_id=ANN, **HOME).patch[0])("orders", "#W1", order)])
        for name, more in (
            ("modify_pending_order_payment", {"payment_method_id": "x"}),
            ("modify_pending_order_items", {"payment_method_id": "x", "item_ids": [], "new_item_ids": []}),
        ):
            result = call(name, store, order_id="#W1", **more)
            assert result.output.startswith("Error: ") and result.patch == ()


class TestCatalogue:
    def test_has_the_sixteen_tools(self):
        assert len(TOOLS) == 16 and list(TOOLS) == sorted(TOOLS) and {*READS} | {*WRITES} == {*TOOLS}
        assert not READS & WRITES and TERMINAL <= WRITES
        assert effect_of("cancel_pending_order") is Effect.WRITE and effect_of("think") is Effect.READ
        assert effect_of("no_such_tool") is Effect.READ

    @pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema["function"]["name"])
    def test_schemas_are_what_chat_models_want(self, schema):
        assert json.loads(json.dumps(schema)) == schema and schema["type"] == "function"
        function = schema["function"]
        assert function.keys() == {"name", "description", "parameters"} and len(function["description"]) > 20
        parameters = function["parameters"]
        assert parameters["type"] == "object" and parameters["required"] == list(parameters["properties"])
        for value in parameters["properties"].values():
            assert value.keys() <= {"type", "description", "items", "enum"} and value["description"].endswith(".")
            assert value["type"] == "string" or value["items"] == {"type": "string"}

    def test_reasons_are_told(self):
        cancel = next(schema for schema in SCHEMAS if schema["function"]["name"] == "cancel_pending_order")
        reason = cancel["function"]["parameters"]["properties"]["reason"]
        assert reason["enum"] == ["no longer needed", "ordered by mistake"]


def calculate(expression):
    return call("calculate", expression=expression).output


def by_python(expression):
    """What tau-bench answers: it evaluates the expression."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(round(float(eval(expression, {"__builtins__": None}, {})), 2))
        except SyntaxError as error:
            return f"Error: {error}"
        except Exception:
            return "Error"


NUMBERS = st.one_of(
    st.integers(0, 10**6).map(str),
    st.decimals(0, 10**6, places=2).map(str),
    st.sampled_from([".5", "7.", "0", "00", "00.10", "1" * 30]),
)
EXPRESSIONS = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", " - ", "*", " / ", "//"]), inner).map("".join),
        inner.map("({})".format),
        inner.map(" -{}".format),
        st.tuples(inner, st.sampled_from(["**2", " ** -1", "**0.5", "**0"])).map("".join),
    ),
    max_leaves=8,
)


class TestCalculate:
    @pytest.mark.parametrize(
        ("expression", "value"),
        [
            ("3131.1 + 4777.75 + 367.38", "8276.23"),
            ("135.24 - 153.23", "-17.99"),
            (" (1 + 2) * -3 ", "-9.0"),
            ("-2**2", "-4.0"),
            ("2**3**2", "512.0"),
            ("2**-1", "0.5"),
            ("7 // 2 * 2", "6.0"),
            ("1/3", "0.33"),
            ("2**4000 / 2**3999", "2.0"),
            ("1**999999999", "1.0"),
            ("1" + "0" * 309 + ".0 - 1" + "0" * 309 + ".0", "nan"),
        ],
    )
    def test_known_values(self, expression, value):
        assert calculate(expression) == value

    @pytest.mark.parametrize(
        ("expression", "words"),
        [
            ("2 + x", "invalid characters in expression"),
            ("__import__('os')", "invalid characters in expression"),
            ("1,000", "invalid characters"),
            ("1\n+1", "invalid characters"),
            ("", "invalid syntax"),
            ("1 2", "invalid syntax"),
            ("01", "leading zeros"),
            ("(1", "never closed"),
            ("1 +", "invalid syntax"),
            ("1)", "unmatched ')' (<string>, line 1)"),
            ("1 / 0", "division by zero"),
            ("9**9**9**9", "too large"),
            ("-9**999999999", "too large"),
            ("2**5000", "too large"),
            ("9.0**9999", "out of range"),
            ("(-8)**0.5", "complex"),
            ("(" * 300 + "1" + ")" * 300, "too many nested parentheses"),
            ("-" * 900 + "1", "too deep"),
            ("1**" * 300 + "1", "too deep"),
            ("1" * (MAX_LENGTH + 1), "too long"),
        ],
    )
    def test_known_errors(self, expression, words):
        answer = calculate(expression)
        assert answer.startswith("Error: ") and words in answer

    @given(EXPRESSIONS)
    @example("7.**0.5/00")
    def test_gives_what_python_gives(self, expression):
        expected = by_python(expression)
        assert calculate(expression)[: len(expected)] == expected

    @given(st.text("0123456789+-*/(). ", max_size=12))
    @example("1.5.5")
    @example("...")
    @example("(1)(2)")
    def test_takes_for_an_expression_what_python_does(self, expression):
        assume("**" not in expression)  # Python would compute any power
        expected = by_python(expression)
        assert calculate(expression)[: len(expected)] == expected

    @given(st.text(max_size=30) | st.text("0123456789*()", max_size=60))
    def test_always_answers(self, expression):
        assert isinstance(calculate(expression), str)
