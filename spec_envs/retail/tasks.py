"""Tasks: what a customer wants, the actions that bring it about, and what must have been said to the customer."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spec_envs.errors import InvalidConfiguration
from spec_envs.retail.tools import run_tool

if TYPE_CHECKING:
    from spec_envs.retail.store import StoreSnapshot

__all__ = ["Action", "Identity", "Request", "Scenario", "Task", "check_tasks", "load_tasks", "replay", "was_said"]


@dataclasses.dataclass(frozen=True, slots=True)
class Action:
    """A tool call: the tool's name and its arguments, never to be changed in place."""

    name: str
    arguments: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Who the customer is, and what the customer says when asked for it.

    Attributes:
        knows_email: Whether the customer remembers the e-mail address. Name and zip code are always known.
    """

    user_id: str
    first_name: str
    last_name: str
    zip: str
    email: str
    knows_email: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One thing that the customer wants.

    Attributes:
        kind: The name of the tool that does it, or "information".
        goal: What the customer wants, after "I would like to".
        facts: What the customer says when asked, by topic, each a phrase: "order", "items", "new items", "payment",
            "reason", "address". A topic that is not here is one that the customer has nothing to say about.
        arguments: Those of the tool, once all is found out; empty for "information".
        confirms: The answer when asked to confirm: a customer who does not confirm wants nothing changed after all.
        outputs: What the customer wants to hear before this is done, as in ``Task.outputs``.
    """

    kind: str
    goal: str
    facts: Mapping[str, str]
    arguments: Mapping[str, Any]
    confirms: bool = True
    outputs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Scenario:
    """A customer for a script: who it is, and the requests in the order in which they come up."""

    identity: Identity
    requests: tuple[Request, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """A task in tau-bench's form.

    Attributes:
        split: "train", "dev" or "test".
        index: The position in its split.
        user_id: The customer's id.
        instruction: The customer's part, in words for a language model; never shown to the agent.
        actions: Gold actions; the state of the data after them is the one to reach.
        outputs: Strings that the agent must say to the customer, whatever the case, commas not counted.
        scenario: The customer's part as data, for a scripted customer; tau-bench's tasks have none.
    """

    split: str
    index: int
    user_id: str
    instruction: str
    actions: tuple[Action, ...]
    outputs: tuple[str, ...] = ()
    scenario: Scenario | None = None

    @property
    def name(self) -> str:
        """The split and the index: "test-12"."""
        return f"{self.split}-{self.index}"

    def as_json(self) -> dict[str, Any]:
        """The task as ``load_tasks`` reads it, without its scenario."""
        return {
            "split": self.split,
            "index": self.index,
            "user_id": self.user_id,
            "instruction": self.instruction,
            "actions": [{"name": action.name, "kwargs": dict(action.arguments)} for action in self.actions],
            "outputs": list(self.outputs),
        }


def load_tasks(tasks: str | os.PathLike[str] = "embedded", split: str | None = None) -> tuple[Task, ...]:
    """All tasks, or those of one split.

    Args:
        tasks: "embedded" for those of the generated shop ("embedded:SEED" for those of another seed), or a JSON file
            with a list of ``{split, index, user_id, instruction, actions: [{name, kwargs}], outputs}``.
        split: "train", "dev" or "test".

    Raises:
        InvalidConfiguration: The file cannot be read, or has no task of that split.
    """
    name = os.fspath(tasks)
    if name == "embedded" or name.startswith("embedded:"):
        from spec_envs.retail.embedded_tasks import generate_tasks  # late: it builds on this module

        found = generate_tasks(name)
    else:
        path = Path(name).expanduser().resolve()
        if not path.is_file():
            raise InvalidConfiguration(f'tasks must be "embedded" or a JSON file with tasks; there is no {path}')
        found = _read(path, path.stat().st_mtime_ns)
    if split is None:
        return found
    chosen = tuple(task for task in found if task.split == split)
    if not chosen:
        splits = ", ".join(sorted({repr(task.split) for task in found})) or "no task at all"
        raise InvalidConfiguration(f"{name} has no tasks of split {split!r}; it has {splits}")
    return chosen


@functools.lru_cache(maxsize=4)
def _read(path: Path, version: int) -> tuple[Task, ...]:
    try:
        listed: Any = json.loads(path.read_text(encoding="utf-8"))
        return tuple(map(_task, _list(listed)))
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidConfiguration(f"{path} does not hold a JSON list of tasks: {error}") from None
    except KeyError as error:
        raise InvalidConfiguration(f"{path}: a task lacks {error}") from None


def _task(value: Mapping[str, Any]) -> Task:
    actions = tuple(Action(str(action["name"]), dict(action["kwargs"])) for action in _list(value["actions"]))
    return Task(
        split=str(value["split"]),
        index=int(value["index"]),
        user_id=str(value["user_id"]),
        instruction=str(value["instruction"]),
        actions=actions,
        outputs=tuple(map(str, _list(value.get("outputs", [])))),
    )


def _list(value: Any) -> list[Any]:
    # A text would pass for a list of its characters, and an object for one of its keys.
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.100} is no list")
    return value


def replay(store: StoreSnapshot, actions: Iterable[Action]) -> tuple[list[str], StoreSnapshot]:
    """What the tools answer to the actions, one after the other, and the data after them."""
    outputs = []
    for action in actions:
        result = run_tool(store, action.name, action.arguments)
        outputs.append(result.output)
        if result.patch:
            store = store.patched(result.patch)
    return outputs, store


def check_tasks(store: StoreSnapshot, tasks: Iterable[Task]) -> None:
    """Notice tasks that belong to other data.

    Raises:
        InvalidConfiguration: One is no ``Task``, or none of the tasks' customers is a user of this shop.
    """
    tasks = tuple(tasks)
    for task in tasks:
        if not isinstance(task, Task):
            raise InvalidConfiguration(f"a task is a Task, as load_tasks() gives them, not {task!r:.200}")
    users = [task.user_id for task in tasks]
    if users and all(store.get("users", user_id) is None for user_id in users):
        raise InvalidConfiguration(
            f"the tasks belong to other data: {users[0]!r} and the other customers are no users of this shop; give "
            f"data and tasks that belong together"
        )


def was_said(output: str, message: str) -> bool:
    """Whether a message to the customer says ``output``, as tau-bench looks for it."""
    return output.lower() in message.lower().replace(",", "")
