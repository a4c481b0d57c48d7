"""What a tool call can see of the shop: so that a finished read stays good until a write touches what it has read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spec_envs.retail.tools import READS

if TYPE_CHECKING:
    from spec_envs.retail.store import StoreSnapshot, Table

__all__ = ["StoreView", "view_of"]

# What a read looks at: the record that an argument names, or a whole table; nothing for those not named here.
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
    """A snapshot, of which only a part counts when it is compared: views are equal if that part has equal digests.

    Put one into a ``Call``'s query in place of the snapshot, and let the handler use ``snapshot``.
    """

    __slots__ = ("part", "snapshot")

    def __init__(self, snapshot: StoreSnapshot, part: tuple[str | int | None, ...]) -> None:
        #: All data, for the handler.
        self.snapshot = snapshot
        #: The digests of what counts, and where it stands.
        self.part = part

    def __eq__(self, other: object) -> bool:
        return self.part == other.part if isinstance(other, StoreView) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.part)

    def __repr__(self) -> str:
        return f"<StoreView of {self.part!r}>"


def view_of(snapshot: StoreSnapshot, name: str, arguments: Mapping[str, Any]) -> StoreView:
    """The view that the answer of a tool call depends on; all data for a tool that writes."""
    if name in _WHOLE_TABLES:
        table = _WHOLE_TABLES[name]
        return StoreView(snapshot, (table, snapshot.table_digest(table)))
    if name in _RECORDS:
        table, argument = _RECORDS[name]
        key = arguments.get(argument) if isinstance(arguments, Mapping) else None
        if isinstance(key, str):  # anything else is refused, whatever the data
            return StoreView(snapshot, (table, key, snapshot.record_digest(table, key)))
    return StoreView(snapshot, () if name in READS else ("all", snapshot.digest))
