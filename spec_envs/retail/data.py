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

_REQUIRED: Mapping[Table, Mapping[str, type]] = {
    "orders": {
        "order_id": str,
        "user_id": str,
        "address": dict,
        "items": list,
        "fulfillments": list,
        "status": str,
        "payment_history": list,
    },
    "products": {"name": str, "product_id": str, "variants": dict},
    "users": {"name": dict, "address": dict, "email": str, "payment_methods": dict, "orders": list},
}
_NAMES: Mapping[type, str] = {str: "a text", dict: "an object", list: "a list"}


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
        required = _REQUIRED[table]
        if lacking := required.keys() - (record.keys() if isinstance(record, dict) else ()):
            raise InvalidConfiguration(f"{path}: {key!r} lacks {', '.join(sorted(lacking))}")
        for field, kind in required.items():
            if not isinstance(record[field], kind):
                raise InvalidConfiguration(
                    f"{path}: {field} of {key!r} must be {_NAMES[kind]}, not {record[field]!r:.100}"
                )
        if table == "users":
            _check_name(path, key, record["name"])
    return records


def _check_name(path: Path, key: str, name: Mapping[str, Any]) -> None:
    # Every search goes over all users, so one without these would make it fail for each of them.
    for field in ("first_name", "last_name"):
        if not isinstance(name.get(field), str):
            raise InvalidConfiguration(f"{path}: name of {key!r} must have a {field}, a text, and is {name!r:.100}")
