"""The part of the shop's data that a tool call can see: an answer stays valid until a write changes this part."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from spec_envs.retail.store.data import Table
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tools.table import TOOL_SETS

# The tools that read one record, and the argument with its key; and the tools that read a whole table. The reads that
# are in neither mapping see no data.
_RECORDS: Mapping[str, tuple[Table, str]] = {
    "get_order_details": ("orders", "order_id"),
    "get_product_details": ("products", "product_id"),
    "get_user_details": ("users", "user_id"),
}
_WHOLE_TABLES: Mapping[str, Table] = {
    "get_item_details": "products",
    "find_user_id_by_email": "users",
    "find_user_id_by_name_zip": "users",
    "list_all_product_types": "products",
}
_READS = {dialect: known.reads for dialect, known in TOOL_SETS.items()}


@dataclasses.dataclass(frozen=True, slots=True)
class StoreView:
    """A snapshot for the query of one tool call: two views are equal if the parts that the call sees are equal."""

    snapshot: StoreSnapshot = dataclasses.field(compare=False, repr=False)  # all data, for the handler
    part: tuple[str | int | None, ...]  # the digests of what the call sees, and where it stands; all that is compared


def view_of(snapshot: StoreSnapshot, name: str, arguments: Mapping[str, Any]) -> StoreView:
    """Return the view that the answer of a tool call depends on; a view of all data for a tool that writes."""
    if name in _WHOLE_TABLES:
        table = _WHOLE_TABLES[name]
        return StoreView(snapshot, (table, snapshot.table_digest(table)))
    if name in _RECORDS:
        table, argument = _RECORDS[name]
        key = arguments.get(argument) if isinstance(arguments, Mapping) else None
        if isinstance(key, str):  # the tool refuses any other key, whatever the data
            return StoreView(snapshot, (table, key, snapshot.record_digest(table, key)))
    return StoreView(snapshot, () if name in _READS[snapshot.dialect] else ("all", snapshot.digest))
