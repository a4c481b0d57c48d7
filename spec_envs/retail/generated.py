"""Shops without end: data and tasks like the embedded ones, from any seed, and up to a hundred times as large.

A shop depends on its seed and size alone, on any machine and in any version of Python. Shops of other seeds
have other customers and orders; their products have the same names, and other variants, prices and stock.
"""

import functools

from spec_envs.retail.embedded import requests
from spec_envs.retail.embedded.data import USERS, generate_tables
from spec_envs.retail.embedded.tasks import MIXTURE, Mixture, generate_tasks
from spec_envs.retail.store.data import RetailData
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tasks import Task

#: The most orders of a user beyond two: more than in the embedded shop, so that an order is harder to find.
_MORE_ORDERS = 6

#: Requests beyond those of the embedded tasks: up to five in a task, and up to two that the customer takes back.
_MORE: Mixture = (
    (requests.decline, requests.decline, requests.cancel),
    (requests.exchange, requests.send_back, requests.cancel, requests.ask_total),
    (requests.ask_tracking, requests.ask_total, requests.ask_balance),
    (requests.change_payment, requests.change_order_address, requests.send_back),
    (requests.change_items, requests.exchange, requests.decline, requests.change_own_address),
    (requests.change_own_address, requests.change_order_address, requests.change_payment, requests.change_items),
    (requests.ask_options, requests.ask_options, requests.exchange),
    (requests.decline, requests.send_back, requests.transfer),
    (requests.cancel, requests.change_order_address, requests.exchange, requests.send_back, requests.ask_options),
    (requests.cancel, requests.cancel, requests.send_back, requests.ask_balance),
)


@functools.lru_cache(maxsize=4)
def generated_data(name: str) -> RetailData:
    """Return the data of the shop called ``name_of(seed, size)``."""
    _, seed, size = name.split(":")
    tables = generate_tables(f"generated:{seed}", num_users=USERS * int(size), more_orders=_MORE_ORDERS)
    return RetailData(tables, source=(generated_data, name))


@functools.lru_cache(maxsize=12)
def generated_tasks(name: str, split: str) -> tuple[Task, ...]:
    """Return the tasks of a split of the shop called ``name_of(seed, size)``."""
    _, seed, _ = name.split(":")
    # The size is no part of what the draws depend on, so a larger shop has the tasks of a smaller one and more.
    return generate_tasks(f"generated:{seed}", StoreSnapshot(generated_data(name)), split, (*MIXTURE, *_MORE))


def name_of(seed: int, size: int) -> str:
    """Return the name of the shop with this seed and size."""
    return f"generated:{seed}:{size}"
