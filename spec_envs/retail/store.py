"""The shop's data: a base that is never changed, and above it the records that an episode has changed.

A ``StoreSnapshot`` is a value. It is equal to every snapshot with the same data, hashes by a digest that each change
keeps up to date, and pickles to little more than the changed records; so it can be part of a ``Call``'s query. A
``Store`` is a place that holds one snapshot, and so forks in no time whatever the size of the data.

Records are JSON objects, shared by everything that has not changed them: nobody may change one in place. Who changes a
record builds a new one, which shares with the old one what stays the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from spec_envs.retail.base import TABLES, Base, Record, Table, find_base
from spec_envs.retail.hashing import MODULUS, nested, record_digest

__all__ = ["TABLES", "Base", "Change", "Patch", "Record", "Store", "StoreSnapshot", "Table"]


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """The new value of one record."""

    table: Table
    key: str
    record: Record


#: What a tool changed; empty for a tool that only reads.
Patch = tuple[Change, ...]

_Overlay = dict[tuple[Table, str], tuple[Record, int]]  # the record and its digest


class StoreSnapshot:
    """All data of the shop at one moment, as an immutable value.

    Two snapshots are equal exactly if they hold equal records in equal order, where the order of a record's fields and
    the types of its numbers count, since tools show both.
    """

    __slots__ = ("_overlay", "_shift", "base")

    def __init__(self, base: Base) -> None:
        #: The data that this snapshot and all its relatives started from.
        self.base = base
        self._overlay: _Overlay = {}
        self._shift = 0  # the sum of the digests of the changed records, less those of what they replace

    def get(self, table: Table, key: str) -> Record | None:
        """The record, never to be changed in place, or ``None`` where there is none."""
        changed = self._overlay.get((table, key))
        return changed[0] if changed is not None else self.base.tables[table].get(key)

    def items(self, table: Table) -> Iterator[tuple[str, Record]]:
        """The keys and records of a table, in its order."""
        overlay = self._overlay
        for key, record in self.base.tables[table].items():
            changed = overlay.get((table, key))
            yield key, record if changed is None else changed[0]

    def patched(self, patch: Iterable[Change]) -> StoreSnapshot:
        """This snapshot with the changes made; this one stays as it is.

        Raises:
            KeyError: A changed record does not exist. Tools change records, they neither add nor remove any.
        """
        overlay, shift = dict(self._overlay), self._shift
        for change in patch:
            address = (change.table, change.key)
            known = overlay.get(address)
            old = known[1] if known is not None else self.base.digest_of(*address)
            new = record_digest(change.table, change.key, change.record)
            if new == self.base.digest_of(*address):
                overlay.pop(address, None)  # as it was in the beginning
            else:
                overlay[address] = (change.record, new)
            shift += new - old
        twin = StoreSnapshot(self.base)
        twin._overlay, twin._shift = overlay, shift % MODULUS
        return twin

    @property
    def digest(self) -> int:
        """128 bits that are equal for equal data; kept up to date by every change, so it costs nothing to ask."""
        return (self.base.digest + self._shift) % MODULUS

    def record_digest(self, table: Table, key: str) -> int | None:
        """The digest of one record, or ``None`` where there is none."""
        changed = self._overlay.get((table, key))
        if changed is not None:
            return changed[1]
        return self.base.digest_of(table, key) if key in self.base.tables[table] else None

    def table_digest(self, table: Table) -> int:
        """The digest of a whole table."""
        digest_of = self.base.digest_of
        shift = sum(digest - digest_of(*at) for at, (_, digest) in self._overlay.items() if at[0] == table)
        return (self.base.table_digests[table] + shift) % MODULUS

    def changes(self) -> Patch:
        """What differs from the base, in the order in which it was first changed."""
        return tuple(Change(table, key, record) for (table, key), (record, _) in self._overlay.items())

    def find_user(self, *, email: str | None = None, name: tuple[str, str] | None = None, zip: str = "") -> str | None:
        """The first user with this e-mail, or with this first and last name and zip code; case counts in zip alone."""
        index = self.base.user_index
        wanted = index.by_email.get(email.lower(), ()) if email is not None else ()
        if name is not None:
            wanted = index.by_name.get((name[0].lower(), name[1].lower()), ())
        changed = [key for table, key in self._overlay if table == "users"]
        # Few candidates, the same few whatever the number of users; a changed user may have become one.
        for user_id in sorted({*wanted, *changed}, key=index.position.__getitem__):
            user = self.get("users", user_id)
            if user is not None and _is(user, email, name, zip):
                return user_id
        return None

    def tau_hash(self) -> str:
        """tau-bench's hash of the data: SHA-256 in hex. Takes milliseconds, so it is made when asked for."""
        overlay = {address: nested(record) for address, (record, _) in self._overlay.items()}
        return hashlib.sha256(self.base.nested_with(overlay).encode()).hexdigest()

    def matches(self, other: StoreSnapshot) -> bool:
        """Whether both have the same ``tau_hash``: the order of fields and of records does not count.

        Much faster than two hashes where both have the same base.
        """
        if self.base is not other.base and self.base.digest != other.base.digest:
            return self.tau_hash() == other.tau_hash()
        for table, key in {**self._overlay, **other._overlay}:
            mine, theirs = self.get(table, key), other.get(table, key)
            if mine is not theirs and nested(mine) != nested(theirs):
                return False
        return True

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """A copy of all data, as plain JSON objects that may be changed."""
        return {table: json.loads(json.dumps(dict(self.items(table)))) for table in TABLES}

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, StoreSnapshot) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<StoreSnapshot {self.digest:032x}, {len(self._overlay)} records changed>"

    def __copy__(self) -> StoreSnapshot:
        return self

    def __deepcopy__(self, memo: Mapping[int, Any]) -> StoreSnapshot:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        changes = tuple((table, key, record) for (table, key), (record, _) in self._overlay.items())
        return _restore, (*self.base.reference(), changes)


class Store:
    """A place that holds a snapshot, and takes the changes of an episode."""

    __slots__ = ("snapshot",)

    def __init__(self, snapshot: StoreSnapshot) -> None:
        #: The data as it is now.
        self.snapshot = snapshot

    def apply(self, patch: Iterable[Change]) -> None:
        """Make the changes; all of them, or none when one of them cannot be made.

        Raises:
            KeyError: A changed record does not exist.
        """
        if patch:
            self.snapshot = self.snapshot.patched(patch)

    def fork(self) -> Store:
        """An independent store with the same data; takes the same time whatever their size."""
        return Store(self.snapshot)

    def get(self, table: Table, key: str) -> Record | None:
        """The record, never to be changed in place, or ``None`` where there is none."""
        return self.snapshot.get(table, key)

    @property
    def digest(self) -> int:
        """The snapshot's digest."""
        return self.snapshot.digest

    def tau_hash(self) -> str:
        """tau-bench's hash of the data as it is now."""
        return self.snapshot.tau_hash()

    def __repr__(self) -> str:
        return f"Store({self.snapshot!r})"


def _is(user: Record, email: str | None, name: tuple[str, str] | None, zip: str) -> bool:
    if email is not None:
        return bool(user["email"].lower() == email.lower())
    own = user["name"]
    same_name = name is not None and (own["first_name"].lower(), own["last_name"].lower()) == tuple(
        part.lower() for part in name
    )
    return bool(same_name and user["address"]["zip"] == zip)


def _restore(
    digest: int, source: str | None, content: bytes | None, changes: Iterable[tuple[Table, str, Record]]
) -> StoreSnapshot:
    return StoreSnapshot(find_base(digest, source, content)).patched(Change(*change) for change in changes)
