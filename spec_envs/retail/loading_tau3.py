"""Reads the files of τ³-bench's retail domain as they are: ``db.json``, ``tasks.json`` and ``split_tasks.json``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from spec_envs.errors import InvalidConfiguration
from spec_envs.json_files import list_of, naming, read_json, text_of, texts_of
from spec_envs.retail.store.data import RetailData
from spec_envs.retail.store.tau3_records import tables_of
from spec_envs.retail.tasks import Action, Criteria, Part, Task

#: What the fields of a customer's instructions tell, in the order in which ``Task.instruction`` has them.
_INSTRUCTIONS = {
    "reason_for_call": "Why you contact the shop: {}",
    "known_info": "What you know: {}",
    "unknown_info": "What you do not know: {}",
    "task_instructions": "How you go about it: {}",
}


def read_database(path: Path, source: Any) -> RetailData:
    """Return the data in a ``db.json``; ``source`` loads them in another process.

    Raises:
        InvalidConfiguration: The file has another form; the message says where.
    """
    with naming(str(path)):
        return RetailData(tables_of(read_json(path)), source=source, dialect="tau3")


def has_form_of_tau3(tasks: object) -> bool:
    """Return whether a list of tasks, read from JSON, has τ³-bench's form."""
    return isinstance(tasks, list) and any(isinstance(task, dict) and "user_scenario" in task for task in tasks)


def splits_file(tasks: Path) -> Path:
    """Return the file that says which tasks of the file ``tasks`` each split holds."""
    return tasks.with_name(f"split_{tasks.stem}.json")


def read_splits(tasks: Path) -> Mapping[str, Sequence[str]]:
    """Return the ids of the tasks of each split; no splits if there is no file that names them.

    Raises:
        InvalidConfiguration: The file holds something else.
    """
    path = splits_file(tasks)
    if not path.is_file():
        return {}
    splits = read_json(path)
    with naming(str(path)):
        return {str(name): texts_of(ids, str(name)) for name, ids in splits.items()}


def read_tasks(listed: Sequence[Mapping[str, Any]], path: Path) -> tuple[Task, ...]:
    """Return the tasks in the JSON list that was read from ``path``.

    Raises:
        InvalidConfiguration: A task has another form, or needs what the retail domain does not have.
    """
    splits, tasks = read_splits(path), []
    for index, entry in enumerate(listed):
        with naming(f"{path}, task {index}"):
            task_id = text_of(entry["id"], "id")
            split = next((name for name, ids in splits.items() if task_id in ids), "")
            tasks.append(_task(entry, task_id, split, index))
    return tuple(tasks)


def _task(entry: Mapping[str, Any], task_id: str, split: str, index: int) -> Task:
    if entry.get("initial_state") is not None:
        raise ValueError("'initial_state' must be null: an episode begins with the data as they were loaded")
    given = entry.get("evaluation_criteria")
    criteria: Mapping[str, Any] = {"reward_basis": []} if given is None else given
    if criteria.get("env_assertions"):
        raise ValueError("'env_assertions' must be empty: the retail domain has no functions that they could name")
    actions = criteria.get("actions")
    return Task(
        split=split,
        index=index,
        user_id="",
        instruction=_instruction(entry["user_scenario"]),
        actions=tuple(_action(action) for action in list_of(actions or [], "actions")),
        outputs=texts_of(criteria.get("communicate_info") or [], "communicate_info"),
        id=task_id,
        criteria=Criteria(
            basis=_basis(criteria),
            compares_data=actions is not None or criteria.get("env_assertions") is not None,
            assertions=texts_of(criteria.get("nl_assertions") or [], "nl_assertions"),
        ),
    )


def _action(action: Mapping[str, Any]) -> Action:
    if action.get("requestor", "assistant") != "assistant":
        raise ValueError(f"the action {action['name']!r} is the customer's, who has no tools in the retail domain")
    compared = action.get("compare_args")
    return Action(
        text_of(action["name"], "name"),
        dict(action["arguments"]),
        None if compared is None else texts_of(compared, "compare_args"),
    )


def _basis(criteria: Mapping[str, Any]) -> tuple[Part, ...]:
    basis: Any = criteria.get("reward_basis", ["DB", "COMMUNICATE"])
    if unknown := set(texts_of(basis, "reward_basis")) - set(get_args(Part)):
        raise ValueError(f"'reward_basis' must name parts of a score ({', '.join(get_args(Part))}), not {unknown}")
    return tuple(basis)


def _instruction(scenario: Mapping[str, Any]) -> str:
    """Return the customer's part in words."""
    instructions = scenario["instructions"]
    if isinstance(instructions, str):
        parts = [instructions]
    else:
        told = {field: (instructions.get(field) or "").strip() for field in _INSTRUCTIONS}
        parts = [_INSTRUCTIONS[field].format(text) for field, text in told.items() if text.strip(".")]
    if persona := scenario.get("persona"):
        parts.insert(0, f"Who you are: {persona}")
    return "\n".join(parts)


def tasks_of_split(tasks: Sequence[Task], path: Path, split: str) -> tuple[Task, ...]:
    """Return those of the tasks from the file ``path`` that are in a split; a task may be in several.

    Raises:
        InvalidConfiguration: There is no such split, or it has no task.
    """
    splits = read_splits(path)
    chosen = tuple(task for task in tasks if task.id in splits.get(split, ()))
    if not chosen:
        name = splits_file(path).name
        known = (
            f"{name} has {', '.join(map(repr, splits))}"
            if splits
            else f"there is no {name} beside it that names splits, so give split=None for all tasks"
        )
        raise InvalidConfiguration(f"{path} has no tasks of split {split!r}; {known}")
    return chosen
