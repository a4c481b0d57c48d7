"""The tasks of generated shops: which customer wants what, in three splits that share no customers.

A task depends on the name of the data, its split and its index alone, so adding tasks does not change the others.
"""

import re
from collections.abc import Callable
from typing import Any

from spec_envs.draws import Draws
from spec_envs.retail.embedded import requests
from spec_envs.retail.embedded.data import USERS
from spec_envs.retail.embedded.requests import Plan, Situation
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tasks import Action, Identity, Scenario, Task, replay, was_said
from spec_envs.retail.tools.table import TERMINAL, WRITES

#: Draws a request of one kind, or returns ``None`` where the customer cannot have such a request.
Kind = Callable[[Situation], Plan | None]

#: A mixture of tasks, one line a task: its requests. The tasks take the lines in turn.
Mixture = tuple[tuple[Kind, ...], ...]

#: The number of tasks in each split, for ``USERS`` users.
SIZES = {"train": 140, "dev": 20, "test": 60}

#: The mixture of the embedded tasks. A transfer ends the conversation, so it comes last.
MIXTURE: Mixture = (
    (requests.cancel,),
    (requests.change_items,),
    (requests.exchange,),
    (requests.send_back,),
    (requests.change_order_address,),
    (requests.change_payment,),
    (requests.change_own_address, requests.change_order_address),
    (requests.ask_total, requests.send_back),
    (requests.cancel, requests.send_back),
    (requests.change_items, requests.exchange),
    (requests.ask_options, requests.exchange),
    (requests.decline,),
    (requests.ask_tracking, requests.change_own_address),
    (requests.change_order_address, requests.change_items),
    (requests.ask_balance, requests.change_payment),
    (requests.exchange, requests.cancel, requests.ask_balance),
    (requests.decline, requests.cancel),
    (requests.send_back, requests.transfer),
    (requests.change_own_address,),
    (requests.transfer,),
)


def generate_tasks(name: str, store: StoreSnapshot, split: str, mixture: Mixture = MIXTURE) -> tuple[Task, ...]:
    """Return the tasks of a split. Each was checked: its gold actions solve it.

    Args:
        name: The name of the data, which seeds the draws.
        store: The data of the shop. ``USERS`` of its users in a row are the customers of ``SIZES[split]`` tasks.
        split: "train", "dev" or "test".
        mixture: What the tasks are.
    """
    everybody, made = [user_id for user_id, _ in store.items("users")], list[Task]()
    for start in range(0, len(everybody), USERS):
        users = [user_id for place, user_id in enumerate(everybody[start : start + USERS]) if _split_of(place) == split]
        made += [_task(name, store, users, split, len(made) + number, mixture) for number in range(SIZES[split])]
    return tuple(made)


def _split_of(place: int) -> str:
    # Of twelve users in a row, 7 are for train, 1 for dev and 4 for test.
    return "train" if place % 12 < 7 else "dev" if place % 12 == 7 else "test"


def _task(name: str, store: StoreSnapshot, users: list[str], split: str, index: int, mixture: Mixture) -> Task:
    draws = Draws("tasks", name, split, index)
    place = index % len(mixture)
    # The next line of the mixture is for shops in which nobody can want what this line says.
    for kinds in (*mixture[place:], *mixture[:place]):
        for user_id in draws.shuffled(users):
            plans = _plans(Situation(store, user_id, draws), kinds)
            if plans is not None:
                task = _made(store, split, index, user_id, draws, plans)
                if _is_solved(task, store):
                    return task
    raise AssertionError(f"no customer of the generated shop can want anything of {mixture}")


def _is_solved(task: Task, store: StoreSnapshot) -> bool:
    """Return whether the gold actions find the right customer, raise no error, yield the outputs, and fit the task."""
    outputs, after = replay(store, task.actions)
    accepted = not any(output.startswith("Error") for output in outputs)
    told = all(any(was_said(wanted, output) for output in outputs) for wanted in task.outputs)
    is_to_change = any(action.name in WRITES - TERMINAL for action in task.actions)
    return accepted and told and outputs[0] == task.user_id and (after != store) == is_to_change


def _plans(situation: Situation, kinds: tuple[Kind, ...]) -> list[Plan] | None:
    plans = []
    for kind in kinds:
        plan = kind(situation)
        if plan is None:
            return None
        outputs, situation.store = replay(situation.store, plan.actions)
        if any(output.startswith("Error") for output in outputs):
            return None
        situation.used.add(plan.order_id)
        plans.append(plan)
    return plans


def _made(store: StoreSnapshot, split: str, index: int, user_id: str, draws: Draws, plans: list[Plan]) -> Task:
    user: Any = store.get("users", user_id)
    by_email = Action("find_user_id_by_email", {"email": user["email"]})
    name = {**user["name"], "zip": user["address"]["zip"]}
    by_name = Action("find_user_id_by_name_zip", name)
    # Where two customers share a name and a zip code, only the e-mail address identifies this one.
    knows_email = draws.chance(0.6) or replay(store, [by_name])[0] != [user_id]
    identity = Identity(user_id, **name, email=user["email"], knows_email=knows_email)
    look_up = (by_email if knows_email else by_name, Action("get_user_details", {"user_id": user_id}))
    wanted = tuple(plan.request for plan in plans)
    return Task(
        split=split,
        index=index,
        user_id=user_id,
        instruction=_instruction(identity, plans),
        actions=(*look_up, *(action for plan in plans for action in plan.actions)),
        outputs=tuple(output for request in wanted for output in request.outputs),
        scenario=Scenario(identity, wanted),
    )


def _instruction(identity: Identity, plans: list[Plan]) -> str:
    """Return the customer's part in words, for a language model or a person who plays the customer."""
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
    # The facts are in the customer's own words; the instruction speaks to the customer.
    return re.sub(r"\bI\b", "you", re.sub(r"\bmy\b", "your", " ".join(parts)))
