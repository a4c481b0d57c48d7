"""How tools change records: each function returns a new record, or the answer and the patch of a finished change."""

import json
from typing import Any

from spec_envs.retail.store.data import Record, Table
from spec_envs.retail.store.snapshot import Change, Patch, StoreSnapshot
from spec_envs.retail.tools.tool import ToolResponse


def credited(user: Any, method_id: str, amount: float) -> Record:
    """Return a user's record with ``amount`` more on a gift card, rounded to cents."""
    methods = user["payment_methods"]
    card = {**methods[method_id], "balance": round(methods[method_id]["balance"] + amount, 2)}
    return {**user, "payment_methods": {**methods, method_id: card}}


def payment(kind: str, amount: float, method_id: str) -> dict[str, Any]:
    """Return an entry of an order's payment history; ``kind`` is "payment" or "refund"."""
    return {"transaction_type": kind, "amount": amount, "payment_method_id": method_id}


def changed(
    table: Table, key: str, record: Record, store: StoreSnapshot | None = None, user_id: str = "", user: Any = None
) -> ToolResponse:
    """Return a result with the record as answer and as change, and a change of the user if the user has changed."""
    patch: Patch = (Change(table, key, record),)
    if store is not None and user is not store.get("users", user_id):
        patch += (Change("users", user_id, user),)
    return ToolResponse(json.dumps(record), patch)
