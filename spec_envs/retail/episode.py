"""An episode of ``SpecRetail-v0`` as an immutable value, and how messages and tool calls continue it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from spec_envs.errors import HandlerFailed
from spec_envs.retail.actions import CallAction
from spec_envs.retail.queries import GREETING, CustomerQuery, JudgeQuery, hangs_up
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tasks import Part, Task, replay, was_said
from spec_envs.retail.tools.table import TOOL_SETS
from spec_envs.retail.tools.tool import ToolResponse


@dataclasses.dataclass(frozen=True, slots=True)
class Episode:
    """The whole state of an episode."""

    task: Task  # what the customer wants
    seed: int  # the seed for a customer that draws
    name: str  # a name that no other episode has; a shop keeps the episode's data under it
    start: StoreSnapshot  # the data at the beginning
    store: StoreSnapshot  # the data now
    said: tuple[str, ...] = (GREETING,)  # what agent and customer said, in turns, beginning with ``GREETING``
    messages: tuple[str, ...] = ()  # the dialogue as the agent sees it: chat messages, each as JSON text
    steps: int = 0  # the number of actions taken
    outcome: str | None = None  # how the episode ended: "stop", "transfer" or "max_steps"; ``None`` while it goes on
    verdicts: tuple[bool, ...] | None = None  # for each assertion of the task, whether it is true; ``None``: not judged

    def query(self, text: str) -> CustomerQuery:
        """Return the query of the call that asks the customer for an answer to ``text``."""
        return CustomerQuery((*self.said, text), self.task, self.seed)

    def told(self, text: str, reply: str) -> Episode:
        """Return the episode after the agent said ``text`` and the customer answered ``reply``."""
        new = ({"role": "assistant", "content": text}, {"role": "user", "content": reply})
        outcome = "stop" if hangs_up(reply, self.store.dialect) else None
        return self._continued(*new, said=(*self.said, text, reply), outcome=outcome)

    def called(self, call: CallAction, result: ToolResponse) -> Episode:
        """Return the episode after a tool call; ``HandlerFailed`` if the tool changed a record that does not exist."""
        try:
            store = self.store.patched(result.patch) if result.patch else self.store
        except KeyError as error:
            raise HandlerFailed(f"the tool {call.name} changed {error}, which is not in the data") from None
        number = f"call_{self.steps}"
        described = {"id": number, "type": "function", "function": {"name": call.name, "arguments": call.text}}
        new = (
            {"role": "assistant", "content": None, "tool_calls": [described]},
            {"role": "tool", "tool_call_id": number, "name": call.name, "content": result.output},
        )
        return self._continued(*new, store=store, outcome="transfer" if call.name in self._terminal else None)

    @property
    def to_judge(self) -> JudgeQuery | None:
        """The query of the call that judges the ended dialogue; ``None`` if no verdict counts."""
        criteria = self.task.criteria
        if criteria is None or "NL_ASSERTION" not in criteria.basis or not criteria.assertions:
            return None
        greeting = json.dumps({"role": "assistant", "content": GREETING})
        return JudgeQuery((greeting, *self.messages), criteria.assertions)

    def info(self) -> dict[str, Any]:
        """Return what ``reset`` and ``step`` return as ``info``."""
        info: dict[str, Any] = {"task": self.task.name, "steps": self.steps, "outcome": self.outcome}
        if self.outcome is None:
            return info
        criteria = self.task.criteria
        gold = (action for action in self.task.actions if action.name not in self._terminal)
        any_data = criteria is not None and not criteria.compares_data
        info["database"] = any_data or self.store.matches(replay(self.start, gold)[1])
        # To τ³-bench, also the greeting is a message of the agent.
        told = self.said[::2] if self.store.dialect == "tau3" else self.said[2::2]
        info["outputs"] = {wanted: any(was_said(wanted, each) for each in told) for wanted in self.task.outputs}
        if criteria is not None:
            info["parts"] = {part: self._is_right(part, info) for part in criteria.basis}
            info["unscored"] = [part for part, right in info["parts"].items() if right is None]
        return info

    def _is_right(self, part: Part, info: Mapping[str, Any]) -> bool | None:
        """Return whether a part of the score is right; ``None`` if nobody has judged it."""
        match part:
            case "DB":
                return bool(info["database"])
            case "COMMUNICATE":
                return all(info["outputs"].values())
            case "ACTION":
                calls = [call["function"] for text in self.messages for call in json.loads(text).get("tool_calls", ())]
                made = [(call["name"], json.loads(call["arguments"])) for call in calls]
                made = [(name, arguments) for name, arguments in made if isinstance(arguments, dict)]
                return all(any(action.is_made_by(*each) for each in made) for action in self.task.actions)
            case "NL_ASSERTION" if self.to_judge is not None:
                return None if self.verdicts is None else all(self.verdicts)
        return True  # nothing to check

    @property
    def _terminal(self) -> frozenset[str]:
        return TOOL_SETS[self.store.dialect].terminal

    def _continued(self, *messages: dict[str, Any], **changes: Any) -> Episode:
        texts = (*self.messages, *map(json.dumps, messages))
        return dataclasses.replace(self, messages=texts, steps=self.steps + 1, **changes)


def is_won(info: Mapping[str, Any]) -> bool:
    """Return whether all that counts for the score is right at the end of an episode; unscored parts are left out."""
    if "parts" in info:
        return all(right is not False for right in info["parts"].values())
    return info["database"] and all(info["outputs"].values())
