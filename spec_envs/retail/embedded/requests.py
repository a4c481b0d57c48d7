"""The kinds of request that customers of the generated shop may have: one function for each kind.

Each function looks for a request that this customer could have of the shop as it is, and returns it with the gold
actions; or returns ``None`` where it finds no such request.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from spec_envs.draws import Draws
from spec_envs.retail.embedded.data import address as draw_address
from spec_envs.retail.store.data import Record
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tasks import Action, Request
from spec_envs.retail.tools.arguments import REASONS


@dataclasses.dataclass
class Situation:
    """The customer and the shop for which a request is drawn."""

    store: StoreSnapshot  # the data as the customer's earlier requests leave them
    user_id: str
    draws: Draws  # makes the random choices
    used: set[str] = dataclasses.field(default_factory=set)  # orders that earlier requests are about

    @property
    def user(self) -> Any:
        """The customer's record."""
        return self.store.get("users", self.user_id)

    def orders(self, *statuses: str) -> list[Any]:
        """Return the customer's orders with one of these statuses that no request is about yet, shuffled."""
        orders: list[Any] = [self.store.get("orders", order_id) for order_id in self.user["orders"]]
        fresh = [order for order in orders if order["order_id"] not in self.used and order["status"] in statuses]
        return self.draws.shuffled(fresh)

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


def names(items: Sequence[Record]) -> str:
    """Return the items' names, without their options."""
    return " and ".join(f"the {item['name']}" for item in items)


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


def cancel(situation: Situation) -> Plan | None:
    """Cancel a pending order."""
    for order in situation.orders("pending"):
        reason, which = situation.draws.pick(REASONS), which_order(situation, order)
        why = {"no longer needed": "it is no longer needed", "ordered by mistake": "it was ordered by mistake"}[reason]
        return _plan(order, which, "cancel_pending_order", f"cancel {which}", {"reason": why}, {"reason": reason})
    return None


def change_payment(situation: Situation) -> Plan | None:
    """Pay for a pending order with another payment method."""
    for order in situation.orders("pending"):
        payment = order["payment_history"][0]
        amount, current = payment["amount"], payment["payment_method_id"]
        method = situation.one_of(
            [each for each in situation.methods if each["id"] != current and each.get("balance", amount) >= amount]
        )
        if method is None or len(order["payment_history"]) != 1:
            continue
        which, how = which_order(situation, order), phrase_of(method)
        goal, arguments = f"pay for {which} with {how} instead", {"payment_method_id": method["id"]}
        return _plan(order, which, "modify_pending_order_payment", goal, {"payment": how}, arguments)
    return None


def change_order_address(situation: Situation) -> Plan | None:
    """Have a pending order sent to another address."""
    for order in situation.orders("pending"):
        which, new = which_order(situation, order), draw_address(situation.draws)
        goal, facts = f"have {which} sent to another address", {"address": phrase_of_address(new)}
        return _plan(order, which, "modify_pending_order_address", goal, facts, _as_arguments(new))
    return None


def change_own_address(situation: Situation) -> Plan | None:
    """Change the address of the account."""
    new = draw_address(situation.draws)
    goal = "change the default address of my account, as I have moved"
    arguments = {"user_id": situation.user_id, **_as_arguments(new)}
    request = Request("modify_user_address", goal, {"address": phrase_of_address(new)}, arguments)
    return Plan(request, (Action(request.kind, arguments),))


def change_items(situation: Situation) -> Plan | None:
    """Change items of a pending order to other variants."""
    return _replacement(situation, "pending", "modify_pending_order_items", "change {} to {} in {}")


def exchange(situation: Situation) -> Plan | None:
    """Exchange delivered items for other variants."""
    return _replacement(situation, "delivered", "exchange_delivered_order_items", "exchange {} for {} from {}")


def decline(situation: Situation) -> Plan | None:
    """Ask for another variant, but say no when asked to confirm."""
    plan = change_items(situation) or exchange(situation)
    if plan is None:
        return None
    request = dataclasses.replace(plan.request, confirms=False)
    return dataclasses.replace(plan, request=request, actions=plan.actions[:-1])


def send_back(situation: Situation) -> Plan | None:
    """Return delivered items; in some tasks the customer also wants to know the refund."""
    for order in situation.orders("delivered"):
        items = situation.draws.shuffled(order["items"])[: situation.draws.between(1, 3)]
        original = order["payment_history"][0]["payment_method_id"]
        method = situation.one_of(
            [each for each in situation.methods if each["id"] == original or each["source"] == "gift_card"]
        )
        if method is None:
            continue
        which = which_order(situation, order)
        facts = {"items": " and ".join(map(described, items)), "payment": phrase_of(method)}
        arguments = {"item_ids": [item["item_id"] for item in items], "payment_method_id": method["id"]}
        goal = f"return {names(items)} from {which}"
        plan = _plan(order, which, "return_delivered_order_items", goal, facts, arguments)
        return _with_sum(plan, [item["price"] for item in items]) if situation.draws.chance(0.4) else plan
    return None


def ask_total(situation: Situation) -> Plan | None:
    """Ask for the price of an order."""
    for order in situation.orders("pending", "processed", "delivered"):
        which = which_order(situation, order)
        return _question(order, which, f"know how much I paid for {which}", order["payment_history"][0]["amount"])
    return None


def ask_tracking(situation: Situation) -> Plan | None:
    """Ask for the tracking number of an order."""
    for order in situation.orders("processed", "delivered"):
        which, number = which_order(situation, order), order["fulfillments"][0]["tracking_id"][0]
        return _question(order, which, f"have the tracking number of {which}", number)
    return None


def ask_balance(situation: Situation) -> Plan | None:
    """Ask for the balance of the gift card."""
    card = situation.one_of(
        [each for each in situation.methods if each["source"] == "gift_card" and each["balance"] > 0]
    )
    if card is None:
        return None
    request = Request("information", "know the balance of my gift card", {}, {}, outputs=(str(card["balance"]),))
    return Plan(request, (Action("get_user_details", {"user_id": situation.user_id}),))


def ask_options(situation: Situation) -> Plan | None:
    """Ask how many variants of a product are available."""
    product = situation.draws.pick([product for _, product in situation.store.items("products")])
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


def transfer(situation: Situation) -> Plan | None:
    """Ask for something that no tool does, so that a person has to take over."""
    goal = situation.draws.pick(_BEYOND)
    arguments = {"summary": f"The customer would like to {goal}."}
    request = Request("transfer_to_human_agents", goal, {}, arguments)
    return Plan(request, (Action(request.kind, arguments),))


def _plan(
    order: Any,
    which: str,
    kind: str,
    goal: str,
    facts: dict[str, str],
    arguments: dict[str, Any],
    items: Sequence[Any] = (),
) -> Plan:
    """Return the plan of a request about an order: look the order up, and the products of ``items``, and then act."""
    arguments = {"order_id": order["order_id"], **arguments}
    request = Request(kind, goal, {"order": which, **facts}, arguments)
    return Plan(request, (*look_up(order, items), Action(kind, arguments)), order["order_id"])


def _question(order: Any, which: str, goal: str, output: object) -> Plan:
    """Return the plan of a question about an order, which is answered with ``output``."""
    request = Request("information", goal, {"order": which}, {}, outputs=(str(output),))
    return Plan(request, look_up(order), order["order_id"])


def _as_arguments(address: dict[str, str]) -> dict[str, str]:
    return {name: address[name] for name in ("address1", "address2", "city", "state", "country", "zip")}


def _replacement(situation: Situation, status: str, kind: str, goal: str) -> Plan | None:
    for order in situation.orders(status):
        wanted = [(item, _other_variant(situation, item)) for item in situation.draws.shuffled(order["items"])]
        pairs = [(item, found) for item, found in wanted if found is not None][: 1 + situation.draws.chance(0.4)]
        if not pairs:
            continue
        # A gift card has enough on it by a margin, so that no outcome depends on how a price is rounded.
        needed = round(sum(variant["price"] - item["price"] for item, (variant, _) in pairs), 2) + 1
        method = situation.one_of([each for each in situation.methods if each.get("balance", needed) >= needed])
        if method is None:
            continue
        which, items = which_order(situation, order), [item for item, _ in pairs]
        arguments = {
            "item_ids": [item["item_id"] for item in items],
            "new_item_ids": [variant["item_id"] for _, (variant, _) in pairs],
            "payment_method_id": method["id"],
        }
        facts = {
            "items": " and ".join(map(described, items)),
            "new items": " and ".join(words for _, (_, words) in pairs),
            "payment": phrase_of(method),
        }
        return _plan(order, which, kind, goal.format(names(items), "another version", which), facts, arguments, items)
    return None


def _other_variant(situation: Situation, item: Any) -> tuple[Any, str] | None:
    """Return another available variant of the item's product, and a phrase that identifies it."""
    product: Any = situation.store.get("products", item["product_id"])
    variants = product["variants"].values()
    others = [each for each in variants if each["available"] and each["item_id"] != item["item_id"]]
    prices = sorted(variant["price"] for variant in others)
    cheapest = [variant for variant in others if variant["price"] == prices[0]]
    if len(prices) > 1 and len(cheapest) == 1 and situation.draws.chance(0.25):
        return cheapest[0], f"the cheapest other {item['name']} that is available"
    variant = situation.one_of([variant for variant in others if len(_changed_options(item, variant)) <= 2])
    if variant is None:
        return None
    changed = _changed_options(item, variant)
    changes = ", ".join(f"{option}: {value}" for option, value in changed.items())
    same = ", everything else as it is" if len(item["options"]) > len(changed) else ""
    return variant, f"the {item['name']} with {changes}{same}"


def _changed_options(item: Any, variant: Any) -> dict[str, str]:
    return {option: value for option, value in variant["options"].items() if item["options"].get(option) != value}


def _with_sum(plan: Plan, prices: Sequence[float]) -> Plan:
    """Return the plan of a customer who also wants to know the sum of the prices."""
    total = prices[0] if len(prices) == 1 else round(sum(prices), 2)
    goal = f"{plan.request.goal} and know how much I get back in total"
    request = dataclasses.replace(plan.request, goal=goal, outputs=(str(total),))
    adding = (Action("calculate", {"expression": " + ".join(map(str, prices))}),) if len(prices) > 1 else ()
    return dataclasses.replace(plan, request=request, actions=(*plan.actions[:-1], *adding, plan.actions[-1]))
