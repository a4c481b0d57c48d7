"""How hard a task of a generated shop is."""

from typing import Any

from spec_envs.difficulty import Difficulty
from spec_envs.errors import InvalidConfiguration
from spec_envs.retail.store.data import RetailData
from spec_envs.retail.tasks import Task
from spec_envs.retail.tools.table import READS, TERMINAL, WRITES

__all__ = ["Difficulty", "difficulty_of"]


def difficulty_of(task: Task, data: RetailData) -> Difficulty:
    """Return how hard a task of a generated shop is.

    Args:
        task: The task.
        data: The data of the shop, as ``load_data`` returns them.

    Returns:
        ``hops``: the reads among the gold actions. ``writes``: the gold actions that change the data. ``distractors``:
        the customer's orders that no request is about. ``negations``: the changes that the customer asks for and then
        does not confirm, so that they must not be made.

    Raises:
        InvalidConfiguration: The customer is not in these data, or the task has no scenario, so that its requests are
            not known.
    """
    user: Any = data.tables["users"].get(task.user_id)
    if user is None:
        raise InvalidConfiguration(f"the customer {task.user_id!r} of task {task.name!r} is not in these data")
    if task.scenario is None:
        raise InvalidConfiguration(
            f"task {task.name!r} has an instruction in words and no scenario; only for generated tasks "
            f"can the difficulty be told"
        )
    about = {action.arguments.get("order_id") for action in task.actions}
    return Difficulty(
        hops=sum(action.name in READS for action in task.actions),
        writes=sum(action.name in WRITES - TERMINAL for action in task.actions),
        distractors=sum(order_id not in about for order_id in user["orders"]),
        negations=sum(not request.confirms for request in task.scenario.requests),
    )
