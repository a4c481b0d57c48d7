"""An episode of ``SpecRetail-v0`` as an immutable value, and how messages and tool calls continue it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from spec_envs.errors import HandlerFailed
from spec_envs.retail.actions import CallAction
from spec_envs.retail.queries import GREETING, STOP, CustomerQuery
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tasks import Task, replay, was_said
from spec_envs.retail.tools.table import TERMINAL
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

    def query(self, text: str) -> CustomerQuery:
        """Return the query of the call that asks the customer for an answer to ``text``."""
        return CustomerQuery((*self.said, text), self.task, self.seed)

    def told(self, text: str, reply: str) -> Episode:
        """Return the episode after the agent said ``text`` and the customer answered ``reply``."""
        new = ({"role": "assistant", "content": text}, {"role": "user", "content": reply})
        return self._continued(*new, said=(*self.said, text, reply), outcome="stop" if STOP in reply else None)

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
        return self._continued(*new, store=store, outcome="transfer" if call.name in TERMINAL else None)

    def info(self) -> dict[str, Any]:
        """Return what ``reset`` and ``step`` return as ``info``."""
        info: dict[str, Any] = {"task": self.task.name, "steps": self.steps, "outcome": self.outcome}
        if self.outcome is not None:
            gold = (action for action in self.task.actions if action.name not in TERMINAL)
            info["database"] = self.store.matches(replay(self.start, gold)[1])
            told = self.said[2::2]
            info["outputs"] = {wanted: any(was_said(wanted, each) for each in told) for wanted in self.task.outputs}
        return info

    def _continued(self, *messages: dict[str, Any], **changes: Any) -> Episode:
        texts = (*self.messages, *map(json.dumps, messages))
        return dataclasses.replace(self, messages=texts, steps=self.steps + 1, **changes)
