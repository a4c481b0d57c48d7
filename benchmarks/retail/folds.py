"""The tasks of ``spec-envs bench retail``: those that are run, and those that guessers learn from before."""

from __future__ import annotations

from spec_envs.benchmarks.retail.settings import RetailSettings
from spec_envs.errors import InvalidConfiguration
from spec_envs.retail.loading import load_tasks
from spec_envs.retail.tasks import Task


def tasks_of(settings: RetailSettings, split: str | None = None) -> tuple[Task, ...]:
    """The tasks of a split. Default: the split of the settings.

    Raises:
        InvalidConfiguration: The file with the tasks does not exist, or has no such split.
    """
    split = split or settings.split
    if settings.data is None:
        return load_tasks("embedded", split)
    if settings.task_file is not None:
        return load_tasks(settings.task_file, split)
    files = sorted(settings.data.glob("tasks*.json"))
    if len(files) != 1:
        found = ", ".join(each.name for each in files) or "none"
        raise InvalidConfiguration(
            f"{settings.data} should hold exactly one file tasks*.json, and holds {found}; give --task-file"
        )
    return load_tasks(files[0], split)


def folds_of(settings: RetailSettings) -> list[tuple[tuple[Task, ...], tuple[Task, ...]]]:
    """Pairs of tasks to learn from and tasks to run. No customer is in both.

    Raises:
        InvalidConfiguration: There are too few customers for the folds.
    """
    tasks = tasks_of(settings)[: settings.num_tasks]
    parts = settings.folds or (5 if settings.tasks == "tau-bench" else None)
    if parts is None:
        if settings.split == "train":
            raise InvalidConfiguration(
                'guessers learn from the tasks of split "train", so these cannot be run as well; give --folds to '
                "learn from a part of them, and run the others"
            )
        return [(tasks_of(settings, "train")[: settings.learn], tasks)]
    users = list(dict.fromkeys(task.user_id for task in tasks))
    if len(users) < parts:
        raise InvalidConfiguration(f"{parts} folds need at least as many customers, and there are {len(users)}")
    folds = []
    for part in range(parts):
        held_out = set(users[part::parts])
        known = [task for task in tasks if task.user_id not in held_out][: settings.learn]
        folds.append((tuple(known), tuple(task for task in tasks if task.user_id in held_out)))
    return folds
