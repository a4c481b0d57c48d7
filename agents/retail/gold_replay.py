"""``GoldReplay``: the recorded solution of a task, as a policy for ``SpecRetail-v0``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from spec_envs import Effect
from spec_envs.agents.retail.case import MORE, Action
from spec_envs.retail.tasks import Task


class GoldReplay:
    """Calls a task's gold actions one after the other, and then tells its outputs until the customer is done.

    Args:
        task: The task, with its gold actions and outputs.
    """

    effect: ClassVar[Effect] = Effect.SAMPLE

    def __init__(self, task: Task) -> None:
        self._task = task

    def __call__(self, observation: Mapping[str, str]) -> Action:
        """Return the first gold action that was not called yet, or the closing message."""
        made = sum(message["role"] == "tool" for message in json.loads(observation["dialogue"]))
        if made < len(self._task.actions):
            action = self._task.actions[made]
            return {"name": action.name, "arguments": dict(action.arguments)}
        outputs = f" You wanted to know: {'; '.join(self._task.outputs)}." if self._task.outputs else ""
        return f"That has been done.{outputs} {MORE}"
