"""What the customers of the generated shop may want: one function for each kind of request.

Each looks for something that this customer could want of the shop as it is, and tells what the customer knows about
it, the gold actions and what must be said; or finds nothing and returns ``None``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from spec_envs.retail.arguments import REASONS
from spec_envs.retail.embedded import address as made_up_address
from spec_envs.retail.tasks import Action, Request
from spec_envs.retail.wishes import (
    Plan,
    Shop,
    described,
    listed,
    look_up,
    names,
    phrase_of,
    phrase_of_address,
    which_order,
)


def cancel(shop: Shop) -> Plan | None:
    """Cancels a pending order."""
    for order in shop.orders("pending"):
        reason, which = shop.draws.pick(REASONS), which_order(shop, order)
        why = {"no longer needed": "it is no longer needed", "ordered by mistake": "it was ordered by mistake"}[reason]
        arguments = {"order_id": order["order_id"], "reason": reason}
        request = Request("cancel_pending_order", f"cancel {which}", {"order": which, "reason": why}, arguments)
        return Plan(request, (*look_up(order), Action(request.kind, arguments)), order["order_id"])
    return None


def change_payment(shop: Shop) -> Plan | None:
    """Pays a pending order in another way."""
    for order in shop.orders("pending"):
        payment = order["payment_history"][0]
        method = shop.method(
            lambda method, payment=payment: (
                method["id"] != payment["payment_method_id"]  # type: ignore[misc]
                and method.get("balance", payment["amount"]) >= payment["amount"]
            )
        )
        if method is None or len(order["payment_history"]) != 1:
            continue
        which, how = which_order(shop, order), phrase_of(method)
        arguments = {"order_id": order["order_id"], "payment_method_id": method["id"]}
        facts = {"order": which, "payment": how}
        request = Request("modify_pending_order_payment", f"pay for {which} with {how} instead", facts, arguments)
        return Plan(request, (*look_up(order), Action(request.kind, arguments)), order["order_id"])
    return None


def change_order_address(shop: Shop) -> Plan | None:
    """Has a pending order sent elsewhere."""
    for order in shop.orders("pending"):
        which, new = which_order(shop, order), made_up_address(shop.draws)
        facts = {"order": which, "address": phrase_of_address(new)}
        arguments = {"order_id": order["order_id"], **_as_arguments(new)}
        request = Request("modify_pending_order_address", f"have {which} sent to another address", facts, arguments)
        return Plan(request, (*look_up(order), Action(request.kind, arguments)), order["order_id"])
    return None


def change_own_address(shop: Shop) -> Plan | None:
    """Moves to another address."""
    new = made_up_address(shop.draws)
    arguments = {"user_id": shop.user_id, **_as_arguments(new)}
    facts = {"address": phrase_of_address(new)}
    request = Request(
        "modify_user_address", "change the default address of my account, as I have moved", facts, arguments
    )
    return Plan(request, (Action(request.kind, arguments),))


def _as_arguments(address: Any) -> dict[str, str]:
    return {name: address[name] for name in ("address1", "address2", "city", "state", "country", "zip")}


def change_items(shop: Shop) -> Plan | None:
    """Changes items of a pending order to other variants."""
    return _replacement(shop, "pending", "modify_pending_order_items", "change {} to {} in {}")


def exchange(shop: Shop) -> Plan | None:
    """Exchanges delivered items for other variants."""
    return _replacement(shop, "delivered", "exchange_delivered_order_items", "exchange {} for {} from {}")


def decline(shop: Shop) -> Plan | None:
    """Asks for another variant, hears what would be done, and then wants nothing changed."""
    plan = change_items(shop) or exchange(shop)
    if plan is None:
        return None
    return dataclasses.replace(
        plan, request=dataclasses.replace(plan.request, confirms=False), actions=plan.actions[:-1]
    )


def _replacement(shop: Shop, status: str, kind: str, goal: str) -> Plan | None:
    for order in shop.orders(status):
        wanted = [(item, _other_variant(shop, item)) for item in shop.draws.shuffled(order["items"])]
        pairs = [(item, found) for item, found in wanted if found is not None][: 1 + shop.draws.chance(0.4)]
        if not pairs:
            continue
        difference = round(sum(variant["price"] - item["price"] for item, (variant, _) in pairs), 2)
        # Well above or below: a card that is just enough would make the outcome hang on a rounding.
        method = shop.method(lambda method, needed=difference + 1: method.get("balance", needed) >= needed)  # type: ignore[misc]
        if method is None:
            continue
        which = which_order(shop, order)
        old, new = listed([described(item) for item, _ in pairs]), listed([words for _, (_, words) in pairs])
        arguments = {
            "order_id": order["order_id"],
            "item_ids": [item["item_id"] for item, _ in pairs],
            "new_item_ids": [variant["item_id"] for _, (variant, _) in pairs],
            "payment_method_id": method["id"],
        }
        facts = {"order": which, "items": old, "new items": new, "payment": phrase_of(method)}
        named = names([item for item, _ in pairs])
        request = Request(kind, goal.format(named, "another version", which), facts, arguments)
        actions = (*look_up(order, [item for item, _ in pairs]), Action(kind, arguments))
        return Plan(request, actions, order["order_id"])
    return None


def _other_variant(shop: Shop, item: Any) -> tuple[Any, str] | None:
    """An available variant of the item's product, and words that say which: what to change, or the cheapest."""
    others = [v for v in shop.variants(item) if v["available"] and v["item_id"] != item["item_id"]]
    prices = sorted(variant["price"] for variant in others)
    cheapest = [variant for variant in others if variant["price"] == prices[0]]
    if len(prices) > 1 and len(cheapest) == 1 and shop.draws.chance(0.25):
        return cheapest[0], f"the cheapest other {item['name']} that is available"
    close = [variant for variant in others if len(_changed_options(item, variant)) <= 2]
    if not close:
        return None
    variant = shop.draws.pick(close)
    changes = ", ".join(f"{option}: {value}" for option, value in _changed_options(item, variant).items())
    same = ", everything else as it is" if len(item["options"]) > len(_changed_options(item, variant)) else ""
    return variant, f"the {item['name']} with {changes}{same}"


def _changed_options(item: Any, variant: Any) -> dict[str, str]:
    return {option: value for option, value in variant["options"].items() if item["options"].get(option) != value}


def send_back(shop: Shop) -> Plan | None:
    """Returns delivered items, and may want to know how much comes back."""
    for order in shop.orders("delivered"):
        items = shop.draws.shuffled(order["items"])[: shop.draws.between(1, 3)]
        original = order["payment_history"][0]["payment_method_id"]
        method = shop.method(lambda method, id=original: method["id"] == id or method["source"] == "gift_card")  # type: ignore[misc]
        if method is None:
            continue
        which, actions = which_order(shop, order), look_up(order)
        outputs: tuple[str, ...] = ()
        facts = {"order": which, "items": listed(list(map(described, items))), "payment": phrase_of(method)}
        goal = f"return {names(items)} from {which}"
        if shop.draws.chance(0.4):
            goal += " and know how much I get back in total"
            actions, outputs = _summed(actions, [item["price"] for item in items])
        arguments = {
            "order_id": order["order_id"],
            "item_ids": [item["item_id"] for item in items],
            "payment_method_id": method["id"],
        }
        request = Request("return_delivered_order_items", goal, facts, arguments, outputs=outputs)
        return Plan(request, (*actions, Action(request.kind, arguments)), order["order_id"])
    return None


def _summed(actions: tuple[Action, ...], prices: Sequence[float]) -> tuple[tuple[Action, ...], tuple[str, ...]]:
    if len(prices) == 1:
        return actions, (str(prices[0]),)
    expression = " + ".join(map(str, prices))
    return (*actions, Action("calculate", {"expression": expression})), (str(round(sum(prices), 2)),)


def ask_total(shop: Shop) -> Plan | None:
    """Asks what an order has cost."""
    for order in shop.orders("pending", "processed", "delivered"):
        which = which_order(shop, order)
        total = str(order["payment_history"][0]["amount"])
        request = Request("information", f"know how much I paid for {which}", {"order": which}, {}, outputs=(total,))
        return Plan(request, look_up(order), order["order_id"])
    return None


def ask_tracking(shop: Shop) -> Plan | None:
    """Asks for the tracking number of a parcel."""
    for order in shop.orders("processed", "delivered"):
        which, number = which_order(shop, order), order["fulfillments"][0]["tracking_id"][0]
        request = Request(
            "information", f"have the tracking number of {which}", {"order": which}, {}, outputs=(number,)
        )
        return Plan(request, look_up(order), order["order_id"])
    return None


def ask_balance(shop: Shop) -> Plan | None:
    """Asks what is left on the gift card."""
    card = shop.method(lambda method: method["source"] == "gift_card" and method["balance"] > 0)
    if card is None:
        return None
    request = Request("information", "know the balance of my gift card", {}, {}, outputs=(str(card["balance"]),))
    return Plan(request, (Action("get_user_details", {"user_id": shop.user_id}),))


def ask_options(shop: Shop) -> Plan | None:
    """Asks how many items of a product are to be had."""
    products = [product for _, product in shop.store.items("products")]
    product = shop.draws.pick(products)
    available = sum(variant["available"] for variant in product["variants"].values())
    goal = f"know how many different versions of the {product['name']} are available right now"
    request = Request("information", goal, {"items": f"the {product['name']}"}, {}, outputs=(str(available),))
    look = (Action("list_all_product_types", {}), Action("get_product_details", {"product_id": product["product_id"]}))
    return Plan(request, look)


_BEYOND = (
    "have the name on my account changed",
    "speak to a person about a complaint",
    "place a new order over this chat",
    "have the price of my last order matched with another shop's",
    "have my two latest orders merged into one parcel",
)


def transfer(shop: Shop) -> Plan | None:
    """Wants what no tool does, so that a person has to take over."""
    goal = shop.draws.pick(_BEYOND)
    arguments = {"summary": f"The customer would like to {goal}."}
    request = Request("transfer_to_human_agents", goal, {}, arguments)
    return Plan(request, (Action(request.kind, arguments),))
