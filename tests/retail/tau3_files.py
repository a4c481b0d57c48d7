"""Files of τ³-bench on the tiny shop, for the tests that read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.retail.shops import database

CANCEL: dict[str, Any] = {
    "name": "cancel_pending_order",
    "arguments": {"order_id": "#W2", "reason": "no longer needed"},
}
TRANSFER: dict[str, Any] = {"name": "transfer_to_human_agents", "arguments": {"summary": "Both orders."}}


def entry(
    task_id: str = "0", actions: Any = (CANCEL,), reason: str = "You want to cancel order #W2.", **criteria: Any
) -> dict[str, Any]:
    """A task as ``tasks.json`` has it."""
    if actions is not None:
        actions = [{"action_id": f"{task_id}_{n}", "info": None, **action} for n, action in enumerate(actions)]
    instructions = {
        "domain": "retail",
        "reason_for_call": reason,
        "known_info": "You are Ann Lee.",
        "unknown_info": None,
        "task_instructions": ".",
    }
    return {
        "id": task_id,
        "description": None,
        "user_scenario": {"persona": None, "instructions": instructions},
        "initial_state": None,
        "evaluation_criteria": {
            "actions": actions,
            "communicate_info": [],
            "nl_assertions": None,
            "reward_basis": ["DB"],
            **criteria,
        },
    }


def written(folder: Path, *entries: Any, splits: Any = None) -> Path:
    """The folder with the tiny shop and these tasks."""
    (folder / "db.json").write_text(json.dumps(database()), encoding="utf-8")
    (folder / "policy.md").write_text("Be kind.", encoding="utf-8")
    (folder / "tasks.json").write_text(json.dumps(entries), encoding="utf-8")
    if splits is not None:
        (folder / "split_tasks.json").write_text(json.dumps(splits), encoding="utf-8")
    return folder
