"""Loading the shop's data: a folder in tau-bench's form, or our own generated shop."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spec_envs.errors import InvalidConfiguration
from spec_envs.retail.base import TABLES, Base, Record, Table

__all__ = ["load"]

_REQUIRED: Mapping[Table, frozenset[str]] = {
    "orders": frozenset({"order_id", "user_id", "address", "items", "fulfillments", "status", "payment_history"}),
    "products": frozenset({"name", "product_id", "variants"}),
    "users": frozenset({"name", "address", "email", "payment_methods", "orders"}),
}


def load(data: str | os.PathLike[str] = "embedded") -> Base:
    """The data to start a store from: ``StoreSnapshot(load(...))``. The same data are loaded once in a process.

    Args:
        data: "embedded" for the generated shop, "embedded:SEED" for another one like it, or a folder with tau-bench's
            ``users.json``, ``orders.json`` and ``products.json``.

    Raises:
        InvalidConfiguration: There is no such folder, or its files hold something else; the message says where.
    """
    if not isinstance(data, str | os.PathLike):
        raise InvalidConfiguration(f'data must be "embedded" or a folder, not {data!r}')
    name = os.fspath(data)
    if name == "embedded" or name.startswith("embedded:"):
        return _embedded(name)
    folder = Path(name).expanduser().resolve()
    paths = {table: folder / f"{table}.json" for table in TABLES}
    if missing := [path.name for path in paths.values() if not path.is_file()]:
        raise InvalidConfiguration(
            f'data must be "embedded" or a folder with tau-bench\'s users.json, orders.json and products.json; '
            f"{folder} has no {', '.join(missing)}"
        )
    versions = tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in paths.values())
    return _folder(folder, versions)


@functools.lru_cache(maxsize=4)
def _embedded(name: str) -> Base:
    from spec_envs.retail.embedded import SEED, generate  # late: most users of a folder never need it

    _, _, seed = name.partition(":")
    if seed and not seed.isdecimal():
        raise InvalidConfiguration(f'data must be "embedded" or "embedded:SEED" with a whole number, not {name!r}')
    return Base(generate(int(seed) if seed else SEED), source=name)


@functools.lru_cache(maxsize=4)
def _folder(folder: Path, versions: tuple[tuple[int, int], ...]) -> Base:
    tables: dict[Table, Mapping[str, Record]] = {table: _read(folder / f"{table}.json", table) for table in TABLES}
    for order_id, order in tables["orders"].items():
        if order["user_id"] not in tables["users"]:
            raise InvalidConfiguration(
                f"{folder / 'orders.json'}: order {order_id!r} is of {order['user_id']!r}, who is not in users.json"
            )
    return Base(tables, source=str(folder))


def _read(path: Path, table: Table) -> dict[str, Record]:
    try:
        records: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidConfiguration(f"{path} is not JSON: {error}") from None
    if not isinstance(records, dict):
        raise InvalidConfiguration(f"{path} must hold an object of {table} by id, not {type(records).__name__}")
    for key, record in records.items():
        lacking = _REQUIRED[table] - record.keys() if isinstance(record, dict) else _REQUIRED[table]
        if lacking:
            raise InvalidConfiguration(f"{path}: {key!r} lacks {', '.join(sorted(lacking))}")
    return records
