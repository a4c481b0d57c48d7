"""The tasks of the generated shop: who wants what, in three splits.

A task depends on the seed, its split and its index alone, so the others stay what they are when some are added. The
splits share no customers.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from spec_envs.draws import Draws
from spec_envs.retail import scenarios
from spec_envs.retail.data import load
from spec_envs.retail.store import StoreSnapshot
from spec_envs.retail.tasks import Action, Identity, Scenario, Task, replay
from spec_envs.retail.wishes import Plan, Shop

#: A kind of request.
Kind = Callable[[Shop], Plan | None]

#: How many tasks each split has.
SIZES = {"train": 140, "dev": 20, "test": 60}


# What the customers want, one line a task, in turn. A transfer ends the conversation, so it comes last.
_MIX: tuple[tuple[Kind, ...], ...] = (
    (scenarios.cancel,),
    (scenarios.change_items,),
    (scenarios.exchange,),
    (scenarios.send_back,),
    (scenarios.change_order_address,),
    (scenarios.change_payment,),
    (scenarios.change_own_address, scenarios.change_order_address),
    (scenarios.ask_total, scenarios.send_back),
    (scenarios.cancel, scenarios.send_back),
    (scenarios.change_items, scenarios.exchange),
    (scenarios.ask_options, scenarios.exchange),
    (scenarios.decline,),
    (scenarios.ask_tracking, scenarios.change_own_address),
    (scenarios.change_order_address, scenarios.change_items),
    (scenarios.ask_balance, scenarios.change_payment),
    (scenarios.exchange, scenarios.cancel, scenarios.ask_balance),
    (scenarios.decline, scenarios.cancel),
    (scenarios.send_back, scenarios.transfer),
    (scenarios.change_own_address,),
    (scenarios.transfer,),
)


@functools.lru_cache(maxsize=4)
def generate_tasks(data: str = "embedded") -> tuple[Task, ...]:
    """All tasks of the generated shop called ``data``, split after split."""
    store = StoreSnapshot(load(data))
    users: dict[str, list[str]] = {split: [] for split in SIZES}
    # Twelve users in a row: 7 for train, 1 for dev, 4 for test.
    for place, (user_id, _) in enumerate(store.items("users")):
        users["train" if place % 12 < 7 else "dev" if place % 12 == 7 else "test"].append(user_id)
    return tuple(
        _task(data, store, users[split], split, index) for split, size in SIZES.items() for index in range(size)
    )


def _task(data: str, store: StoreSnapshot, users: list[str], split: str, index: int) -> Task:
    draws = Draws("tasks", data, split, index)
    kinds = _MIX[index % len(_MIX)]
    for user_id in draws.shuffled(users):
        plans = _plans(Shop(store, user_id, draws), kinds)
        if plans is not None:
            return _made(store, split, index, user_id, draws, plans)
    raise AssertionError(f"no customer of the generated shop can want {kinds}")


def _plans(shop: Shop, kinds: tuple[Kind, ...]) -> list[Plan] | None:
    plans = []
    for kind in kinds:
        plan = kind(shop)
        if plan is None:
            return None
        outputs, shop.store = replay(shop.store, plan.actions)
        if any(output.startswith("Error") for output in outputs):
            return None
        shop.used.add(plan.order_id)
        plans.append(plan)
    return plans


def _made(store: StoreSnapshot, split: str, index: int, user_id: str, draws: Draws, plans: list[Plan]) -> Task:
    user: Any = store.get("users", user_id)
    by_email = Action("find_user_id_by_email", {"email": user["email"]})
    name = {**user["name"], "zip": user["address"]["zip"]}
    by_name = Action("find_user_id_by_name_zip", name)
    # Two of the same name in one zip code: then only the e-mail says who it is.
    knows_email = draws.chance(0.6) or replay(store, [by_name])[0] != [user_id]
    identity = Identity(user_id, **name, email=user["email"], knows_email=knows_email)
    look_up = (by_email if knows_email else by_name, Action("get_user_details", {"user_id": user_id}))
    requests = tuple(plan.request for plan in plans)
    return Task(
        split=split,
        index=index,
        user_id=user_id,
        instruction=_instruction(identity, plans),
        actions=(*look_up, *(action for plan in plans for action in plan.actions)),
        outputs=tuple(output for request in requests for output in request.outputs),
        scenario=Scenario(identity, requests),
    )


def _instruction(identity: Identity, plans: list[Plan]) -> str:
    """The customer's part in words, for a language model that plays it."""
    contact = f"your email is {identity.email}" if identity.knows_email else "you do not remember your email address"
    parts = [
        f"Your name is {identity.first_name} {identity.last_name}, your zip code is {identity.zip}, and {contact}."
    ]
    for number, plan in enumerate(plans):
        request = plan.request
        parts.append(f"{'You' if number == 0 else 'Then you'} would like to {request.goal}.")
        parts += [f"If asked about the {topic}: {fact}." for topic, fact in request.facts.items()]
        if not request.confirms:
            parts.append("When asked to confirm, change your mind and say no: you want nothing changed.")
    # The phrases are the customer's own, and this is said to the customer.
    return re.sub(r"\bI\b", "you", re.sub(r"\bmy\b", "your", " ".join(parts)))
