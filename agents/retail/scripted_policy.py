"""``ScriptedRetailPolicy``: a clerk that solves generated tasks of ``SpecRetail-v0`` by recognising their phrases."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from spec_envs import Effect
from spec_envs.agents.retail.case import CONFIRM, MORE, Action, Case, Next, call, give_up
from spec_envs.checks import number
from spec_envs.draws import Draws
from spec_envs.retail.tasks import Task
from spec_envs.retail.tools.table import TERMINAL

_ORDER = r"(?:order #W\d+|the order with the .+?)"
_ADDRESS = re.compile(r"(\d+ [^,]+), (?:([^,]+), )?([^,]+), ([A-Z]{2}) (\w+), ([^,.]+)")
_METHODS = {"credit card": "credit_card", "paypal": "paypal", "gift card": "gift_card"}


class ScriptedRetailPolicy:
    """A scripted clerk that follows the shop's policy: identifies the customer, looks up, confirms, acts and answers.

    The script understands only generated text: the phrases of ``ScriptedCustomer``, by regular expressions. Any other
    request is transferred to a human agent. A function of the observation alone.

    Args:
        error_rate: The share of requests that the clerk gets wrong, from 0 to 1. An error is another reason, variant,
            payment method, address or number than the right one.
        seed: The seed of the errors. Equal observations get equal errors.
    """

    effect: ClassVar[Effect] = Effect.SAMPLE

    def __init__(self, error_rate: float = 0.0, seed: int = 0) -> None:
        self._error_rate = number("error_rate", error_rate, least=0.0, most=1.0)
        self._seed = seed

    def __call__(self, observation: Mapping[str, str]) -> Action:
        """Return the next message or tool call."""
        case = Case(json.loads(observation["dialogue"]))
        draws = Draws("clerk", self._seed, len(case.wishes), case.wishes[0].text)
        try:
            return _Clerk(case, draws.chance(self._error_rate)).act()
        except Next as found:
            return found.action


class _Clerk:
    """Serves the latest wish. Each method raises ``Next`` where the dialogue does not hold what the method needs."""

    def __init__(self, case: Case, slips: bool) -> None:
        self._case = case
        self._slips = slips
        self._wish = case.wishes[-1]

    def act(self) -> Action:
        if (result := self._wish.result) is not None:
            if result.startswith("Error"):
                give_up(f"The shop refuses: {result}")
            return f"That has been done. {MORE}"
        user = self._case.user()
        for pattern, serve in _WISHES:
            if match := re.search(pattern, self._wish.text):
                return serve(self, user, match)
        give_up(f"The customer says: {self._wish.text}")

    def cancel(self, user: Any, match: re.Match[str]) -> Action:
        order = self._case.order(self._wish, user)
        mistake = "mistake" in self._case.fact(self._wish, "reason")
        reason = "ordered by mistake" if mistake is not self._slips else "no longer needed"
        what = f"I will cancel order {order['order_id']} as {reason}."
        return self._write(what, "cancel_pending_order", order_id=order["order_id"], reason=reason)

    def change_payment(self, user: Any, match: re.Match[str]) -> Action:
        order = self._case.order(self._wish, user)
        method = self._method(user, match[1])
        what = f"I will have order {order['order_id']} paid with {method}."
        name = "modify_pending_order_payment"
        return self._write(what, name, order_id=order["order_id"], payment_method_id=method)

    def change_order_address(self, user: Any, match: re.Match[str]) -> Action:
        order, address = self._case.order(self._wish, user), self._address()
        what = f"I will have order {order['order_id']} sent to {', '.join(address.values())}."
        return self._write(what, "modify_pending_order_address", order_id=order["order_id"], **address)

    def change_own_address(self, user: Any, match: re.Match[str]) -> Action:
        address = self._address()
        what = f"I will change your default address to {', '.join(address.values())}."
        return self._write(what, "modify_user_address", user_id=user["user_id"], **address)

    def replace(self, user: Any, match: re.Match[str]) -> Action:
        order = self._case.order(self._wish, user)
        items = _named(order, match[2])
        wanted = self._case.fact(self._wish, "new items")
        new = [self._variant(item, wanted) for item in items]
        method = self._method(user, self._case.fact(self._wish, "payment"))
        changes = ", ".join(
            f"the {item['name']} for item {variant['item_id']} at {variant['price']}"
            for item, variant in zip(items, new, strict=True)
        )
        what = f"In order {order['order_id']}, I will change {changes}; the difference is settled with {method}."
        pending = match[1] == "change"
        return self._write(
            what,
            "modify_pending_order_items" if pending else "exchange_delivered_order_items",
            order_id=order["order_id"],
            item_ids=[item["item_id"] for item in items],
            new_item_ids=[variant["item_id"] for variant in new],
            payment_method_id=method,
        )

    def send_back(self, user: Any, match: re.Match[str]) -> Action:
        order = self._case.order(self._wish, user)
        items = _named(order, match[1])
        method = self._method(user, self._case.fact(self._wish, "payment"))
        total = ""
        if "how much" in self._wish.text:
            total = f" You get back {self._number(self._sum([item['price'] for item in items]))} in total."
        names = ", ".join(f"the {item['name']}" for item in items)
        return self._write(
            f"I will return {names} of order {order['order_id']}, refunded to {method}.{total}",
            "return_delivered_order_items",
            order_id=order["order_id"],
            item_ids=[item["item_id"] for item in items],
            payment_method_id=method,
        )

    def tell_total(self, user: Any, match: re.Match[str]) -> Action:
        order = self._case.order(self._wish, user)
        amount = self._number(str(order["payment_history"][0]["amount"]))
        return f"You paid {amount} for order {order['order_id']}. {MORE}"

    def tell_tracking(self, user: Any, match: re.Match[str]) -> Action:
        order = self._case.order(self._wish, user)
        numbers = [number for parcel in order["fulfillments"] for number in parcel["tracking_id"]]
        return f"The tracking number of order {order['order_id']} is {self._number(', '.join(numbers))}. {MORE}"

    def tell_balance(self, user: Any, match: re.Match[str]) -> Action:
        user = self._case.user(fresh=True)  # a refund may have gone to the card
        cards = [method for method in user["payment_methods"].values() if method["source"] == "gift_card"]
        balance = " and ".join(str(card["balance"]) for card in cards)
        return f"The balance of your gift card is {self._number(balance)}. {MORE}"

    def count_variants(self, user: Any, match: re.Match[str]) -> Action:
        products = json.loads(self._case.look_up("list_all_product_types"))
        if match[1] not in products:
            return f"I'm sorry, we have no {match[1]}. {MORE}"
        variants = self._case.product(products[match[1]])["variants"].values()
        count = self._number(str(sum(variant["available"] for variant in variants)))
        return f"There are {count} versions of the {match[1]} available. {MORE}"

    def _write(self, what: str, name: str, **arguments: Any) -> Action:
        """Have the customer confirm ``what``, and then call the tool ``name``."""
        if self._wish.agreed is None:
            return f"{what} {CONFIRM}"
        return call(name, **arguments) if self._wish.agreed else f"All right, nothing has been changed. {MORE}"

    def _address(self) -> dict[str, str]:
        found = _ADDRESS.search(self._case.fact(self._wish, "address"))
        if found is None:
            give_up(f"The customer's new address is not clear: {self._wish.facts['address']}")
        line1, line2, city, state, zip_code, country = found.groups(default="")
        zip_code = zip_code[::-1] if self._slips else zip_code
        where = {"address1": line1, "address2": line2, "city": city, "state": state}
        return {**where, "country": country, "zip": zip_code}

    def _method(self, user: Any, text: str) -> str:
        """Return the payment method that the customer means; for an error, another method of the customer."""
        kind = next((kind for words, kind in _METHODS.items() if words in text.lower()), None)
        methods = user["payment_methods"].values()
        meant = [m["id"] for m in methods if m["source"] == kind and m.get("last_four", "") in text]
        others = [method["id"] for method in methods if method["id"] not in meant]
        if not meant:
            give_up(f"The customer has no such payment method: {text}")
        return str(others[0] if self._slips and others else meant[0])

    def _variant(self, item: Any, wanted: str) -> Any:
        """Return the variant that the customer wants instead of ``item``."""
        variants = self._case.product(item["product_id"])["variants"].values()
        others = [v for v in variants if v["available"] and v["item_id"] != item["item_id"]]
        if not others:
            give_up(f"No other {item['name']} is available.")
        if f"the cheapest other {item['name']}" in wanted.replace("The", "the"):
            return min(others, key=lambda variant: variant["price"] * (-1 if self._slips else 1))
        words = _words_about(item["name"], wanted)
        # If one value begins with another, both are found; the longer one is meant.
        options = {
            option: max(
                (v["options"][option] for v in variants if f"{option}: {v['options'][option]}" in words), key=len
            )
            for option in item["options"]
            if f"{option}: " in words
        }
        fitting = [v for v in others if v["options"] == {**item["options"], **options}]
        if not fitting:
            give_up(f"No {item['name']} is available as wanted: {wanted}")
        return next((v for v in others if self._slips and v is not fitting[0]), fitting[0])

    def _sum(self, prices: list[float]) -> str:
        if len(prices) == 1:
            return str(prices[0])
        return self._case.look_up("calculate", expression=" + ".join(map(str, prices)))

    def _number(self, text: str) -> str:
        return f"9{text[:-1]}" if self._slips else text


def _named(order: Any, phrase: str) -> list[Any]:
    """Return the items of an order that a phrase like "the Lamp and the Rug" names, in the order of the phrase."""
    by_name = {item["name"]: item for item in order["items"]}
    names = [name.removeprefix("the ") for name in phrase.split(" and ")]
    if missing := [name for name in names if name not in by_name]:
        give_up(f"Order {order['order_id']} holds no {missing[0]}.")
    return [by_name[name] for name in names]


def _words_about(name: str, wanted: str) -> str:
    """Return the part of "the Lamp with color: red and the Rug with size: small" that is about the item ``name``."""
    found = re.search(rf"\b[Tt]he {re.escape(name)} with (.+?)(?: and the |\.$|$)", wanted)
    return found[1] if found else ""


_WISHES: tuple[tuple[str, Callable[[_Clerk, Any, re.Match[str]], Action]], ...] = (
    (r"\bcancel ", _Clerk.cancel),
    (rf"\bpay for {_ORDER} with (.+?) instead", _Clerk.change_payment),
    (r"sent to another address", _Clerk.change_order_address),
    (r"default address of my account", _Clerk.change_own_address),
    (r"\b(change|exchange) (the .+?) (?:to|for) another version ", _Clerk.replace),
    (rf"\breturn (the .+?) from {_ORDER}", _Clerk.send_back),
    (r"how much I paid for ", _Clerk.tell_total),
    (r"the tracking number of ", _Clerk.tell_tracking),
    (r"the balance of my gift card", _Clerk.tell_balance),
    (r"how many different versions of the (.+?) are available", _Clerk.count_variants),
)


class GoldReplay:
    """Calls a task's gold actions one after the other, and then tells the customer the outputs, until the episode ends.

    A transfer ends the episode, so the outputs are told before a transfer.

    Args:
        task: The task, with its gold actions and outputs.
    """

    effect: ClassVar[Effect] = Effect.SAMPLE

    def __init__(self, task: Task) -> None:
        self._task = task

    def __call__(self, observation: Mapping[str, str]) -> Action:
        """Return the first gold action that was not called yet, or the closing message."""
        dialogue = json.loads(observation["dialogue"])
        made = sum(message["role"] == "tool" for message in dialogue)
        told = f"You wanted to know: {'; '.join(self._task.outputs)}." if self._task.outputs else ""
        if made < len(self._task.actions):
            action = self._task.actions[made]
            is_told = any(message["role"] == "assistant" and message["content"] for message in dialogue)
            if told and action.name in TERMINAL and not is_told:
                return told
            return {"name": action.name, "arguments": dict(action.arguments)}
        return " ".join(part for part in ("That has been done.", told, MORE) if part)
