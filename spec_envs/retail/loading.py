"""Loads the shop's data and tasks: from files of tau-bench or τ³-bench, or from shops that are generated."""

import functools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spec_envs.checks import seed_and_size
from spec_envs.errors import InvalidConfiguration
from spec_envs.json_files import list_of, naming, read_json
from spec_envs.retail import loading_tau3 as tau3
from spec_envs.retail.embedded.data import SEED, generate_tables
from spec_envs.retail.embedded.tasks import SIZES, generate_tasks
from spec_envs.retail.generated import generated_data, generated_tasks, name_of
from spec_envs.retail.store.data import TABLES, Record, RetailData, Table
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tasks import Action, Task

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
#: The names of data, and of tasks, that need no files.
BUILT_IN = ("embedded", "generated")
_DATABASE = "db.json"
_NAMES: Mapping[type, str] = {str: "a text", dict: "an object", list: "a list"}


def load_data(
    data: str | os.PathLike[str] = "embedded", *, data_seed: int | None = None, size: int | None = None
) -> RetailData:
    """Load the data that a ``StoreSnapshot`` starts from. The same data are loaded once in a process.

    Args:
        data: "embedded" for the shop that comes with the package; "generated" for another shop, which is generated from
            ``data_seed``; a folder with tau-bench's ``users.json``, ``orders.json`` and ``products.json``; or the
            ``db.json`` of τ³-bench or its folder. Tools, outputs and hash are those of the benchmark of the data.
        data_seed: With "generated": the seed, at least 0 (default 0).
        size: With "generated": the number of customers, as a multiple of the embedded shop's, 1 (default) to 100.

    Raises:
        InvalidConfiguration: There is no such folder, or its files do not hold retail data; the message says where. Or
            ``data_seed`` or ``size`` is out of range, or was given for data that are not generated.
    """
    if found := seed_and_size(data, data_seed, size, name="data_seed"):
        return generated_data(name_of(*found))
    if not isinstance(data, str | os.PathLike):
        raise InvalidConfiguration(f'data must be "embedded", "generated" or a folder, not {data!r}')
    name = os.fspath(data)
    if name == "embedded":
        return _embedded_data(name)
    place = Path(name).expanduser().resolve()
    database = place / _DATABASE if place.is_dir() else place
    if database.is_file():
        if database.with_name("orders.json").is_file():
            raise InvalidConfiguration(f"{place} has the data of tau-bench and of τ³-bench; keep them in two folders")
        return _database_in(database, _version(database))
    paths = [place / f"{table}.json" for table in TABLES]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise InvalidConfiguration(
            f'data must be "embedded", "generated", a folder with tau-bench\'s users.json, orders.json and '
            f"products.json, or one with τ³-bench's {_DATABASE}; {place} has no {_DATABASE} and no {', '.join(missing)}"
        )
    return _data_in(place, tuple(map(_version, paths)))


def folder_of(data: str | os.PathLike[str]) -> Path:
    """Return the folder of data that are not embedded: ``data``, or the folder of the file ``data``."""
    place = Path(data).expanduser().resolve()
    return place.parent if place.is_file() else place


def task_file_in(folder: Path) -> Path:
    """The file with the tasks in a folder of data: ``tasks.json``, or else the only ``tasks*.json``.

    Raises:
        InvalidConfiguration: There is no such file, or there are several.
    """
    if (usual := folder / "tasks.json").is_file():
        return usual
    files = sorted(folder.glob("tasks*.json"))
    if len(files) != 1:
        found = f"several: {', '.join(each.name for each in files)}" if files else "none"
        raise InvalidConfiguration(
            f"the tasks are read from tasks.json, or else the only tasks*.json, in {folder}, which holds {found}; name "
            "the file with the tasks (tasks=, --tasks, or --task-file of bench retail)"
        )
    return files[0]


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def load_tasks(
    tasks: str | os.PathLike[str] = "embedded",
    split: str | None = None,
    *,
    data_seed: int | None = None,
    size: int | None = None,
) -> tuple[Task, ...]:
    """Load all tasks, or the tasks of one split.

    Args:
        tasks: "embedded" for the tasks of the embedded shop, "generated" for those of a generated one, or a JSON file
            with a list of ``{split, index, user_id, instruction, actions: [{name, kwargs}], outputs}``, or τ³-bench's
            ``tasks.json``.
        split: "train", "dev" or "test"; for τ³-bench, a split that ``split_tasks.json`` beside the file names. ``None``
            (default) for all tasks.
        data_seed: With "generated": as for ``load_data``.
        size: With "generated": as for ``load_data``.

    Raises:
        InvalidConfiguration: The file cannot be read, or has no task of that split. Or ``data_seed`` or ``size`` is out
            of range, or was given for tasks that are not generated.
    """
    name = os.fspath(tasks)
    if generated := seed_and_size(name, data_seed, size, name="data_seed"):
        found = _generated_tasks(name_of(*generated), split)
    elif name == "embedded":
        found = _embedded_tasks()
    else:
        path = Path(name).expanduser().resolve()
        if not path.is_file():
            raise InvalidConfiguration(
                f'tasks must be "embedded", "generated" or a JSON file with tasks; there is no {path}'
            )
        splits_path = tau3.splits_file(path)
        found = _tasks_in(path, _version(path), _version(splits_path) if splits_path.is_file() else None)
        if split is not None and any(task.id for task in found):
            return tau3.tasks_of_split(found, path, split)
    if split is None:
        return found
    chosen = tuple(task for task in found if task.split == split)
    if not chosen:
        splits = ", ".join(sorted({repr(task.split) for task in found})) or "no task at all"
        raise InvalidConfiguration(f"{name} has no tasks of split {split!r}; it has {splits}")
    return chosen


def check_tasks(store: StoreSnapshot, tasks: Iterable[Task]) -> None:
    """Raise ``InvalidConfiguration`` unless all ``tasks`` are tasks, and some customer is a user of this shop."""
    tasks = tuple(tasks)
    for task in tasks:
        if not isinstance(task, Task):
            raise InvalidConfiguration(f"a task must be a Task, as load_tasks() returns them, not {task!r:.200}")
    if store.dialect != "tau3" and any(task.id for task in tasks):
        raise InvalidConfiguration("the tasks are those of τ³-bench, and the data are not: give its db.json as data")
    users = [task.user_id for task in tasks if task.user_id]
    if users and all(store.get("users", user_id) is None for user_id in users):
        raise InvalidConfiguration(
            f"the tasks belong to other data: neither {users[0]!r} nor any other customer is a user of this shop; "
            f"give data and tasks that belong together"
        )


@functools.cache
def _embedded_data(name: str) -> RetailData:
    return RetailData(generate_tables(SEED), source=(_embedded_data, name))


@functools.cache
def _embedded_tasks() -> tuple[Task, ...]:
    store = StoreSnapshot(load_data("embedded"))
    return tuple(task for split in SIZES for task in generate_tasks("embedded", store, split))


def _generated_tasks(name: str, split: str | None) -> tuple[Task, ...]:
    return tuple(task for each in SIZES if split in (None, each) for task in generated_tasks(name, each))


@functools.lru_cache(maxsize=4)
def _database_in(path: Path, version: tuple[int, int]) -> RetailData:
    return tau3.read_database(path, (load_data, str(path)))


@functools.lru_cache(maxsize=4)
def _data_in(folder: Path, versions: tuple[tuple[int, int], ...]) -> RetailData:
    tables: dict[Table, Mapping[str, Record]] = {table: _records(folder / f"{table}.json", table) for table in TABLES}
    for order_id, order in tables["orders"].items():
        if order["user_id"] not in tables["users"]:
            raise InvalidConfiguration(
                f"{folder / 'orders.json'}: order {order_id!r} is of {order['user_id']!r}, who is not in users.json"
            )
    return RetailData(tables, source=(load_data, str(folder)))


def _records(path: Path, table: Table) -> dict[str, Record]:
    records = read_json(path)
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
    # The index of users needs every name, so one user without a name would make every search fail.
    for field in ("first_name", "last_name"):
        if not isinstance(name.get(field), str):
            raise InvalidConfiguration(f"{path}: name of {key!r} must have a {field}, a text, and is {name!r:.100}")


@functools.lru_cache(maxsize=4)
def _tasks_in(path: Path, version: tuple[int, int], splits: tuple[int, int] | None) -> tuple[Task, ...]:
    listed, tasks = read_json(path), []
    if not isinstance(listed, list):
        raise InvalidConfiguration(f"{path} must hold a JSON list of tasks, not {listed!r:.100}")
    if tau3.has_form_of_tau3(listed):
        return tau3.read_tasks(listed, path)
    for number, entry in enumerate(listed):
        with naming(f"{path}, task {number}"):
            tasks.append(_task(entry))
    return tuple(tasks)


def _task(value: Mapping[str, Any]) -> Task:
    actions = tuple(
        Action(str(action["name"]), dict(action["kwargs"])) for action in list_of(value["actions"], "actions")
    )
    return Task(
        split=str(value["split"]),
        index=int(value["index"]),
        user_id=str(value["user_id"]),
        instruction=str(value["instruction"]),
        actions=actions,
        outputs=tuple(map(str, list_of(value.get("outputs", []), "outputs"))),
    )
