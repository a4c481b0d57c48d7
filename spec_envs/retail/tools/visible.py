"""The part of the shop's data that a tool call can see: an answer stays valid until a write changes this part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spec_envs.retail.tools.table import READS

if TYPE_CHECKING:
    from spec_envs.retail.store.data import Table
    from spec_envs.retail.store.snapshot import StoreSnapshot

# The tools that read one record, and the argument with its key; and the tools that read a whole table. The reads that
# are in neither mapping see no data.
_RECORDS: Mapping[str, tuple[Table, str]] = {
    "get_order_details": ("orders", "order_id"),
    "get_product_details": ("products", "product_id"),
    "get_user_details": ("users", "user_id"),
}
_WHOLE_TABLES: Mapping[str, Table] = {
    "find_user_id_by_email": "users",
    "find_user_id_by_name_zip": "users",
    "list_all_product_types": "products",
}


class StoreView:
    """A snapshot for the query of one tool call: two views are equal if the parts that the call sees are equal.

    Args:
        snapshot: All data, for the handler.
        part: The digests of what the call sees, and where it stands; all that is compared.
    """

    __slots__ = ("part", "snapshot")

    def __init__(self, snapshot: StoreSnapshot, part: tuple[str | int | None, ...]) -> None:
        self.snapshot = snapshot
        self.part = part

    def __eq__(self, other: object) -> bool:
        return self.part == other.part if isinstance(other, StoreView) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.part)

    def __repr__(self) -> str:
        return f"<StoreView of {self.part!r}>"


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
    return StoreView(snapshot, () if name in READS else ("all", snapshot.digest))
