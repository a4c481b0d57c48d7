"""The state of the shop as an immutable value: the loaded data, and the records that have changed since.

Records are JSON objects that all snapshots share, and cannot be changed in place. Code that changes a record builds a
new one, which shares its unchanged parts with the old one.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from spec_envs.immutable import frozen
from spec_envs.retail.store.data import (
    MODULUS,
    Record,
    RetailData,
    Table,
    UserKey,
    keys_of,
    lower_key,
    record_digest,
)
from spec_envs.retail.store.notation import Dialect


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """The new value of one record, which becomes a ``FrozenDict``; ``TypeError`` if it is not JSON data."""

    table: Table
    key: str
    record: Record

    def __post_init__(self) -> None:
        object.__setattr__(self, "record", frozen(self.record))


#: The changes that a tool makes; empty for a tool that only reads.
Patch = tuple[Change, ...]

_Changed = dict[tuple[Table, str], tuple[Record, int]]  # the record and its digest


class StoreSnapshot:
    """All data of the shop at one moment, as an immutable value that can be part of a ``Call``'s query.

    Two snapshots are equal exactly if they hold equal records in equal order. The order of a record's fields and the
    types of its numbers count, since tools show both. A snapshot hashes by a digest that each change updates, and its
    pickle contains little more than the changed records.
    """

    __slots__ = ("_changed", "_shift", "initial")

    def __init__(self, initial: RetailData) -> None:
        #: The data that this snapshot, and every snapshot patched from it, started from.
        self.initial = initial
        self._changed: _Changed = {}
        self._shift = 0  # the digests of the changed records minus the digests of the records that they replace

    def get(self, table: Table, key: str) -> Record | None:
        """Return the record, which cannot be changed in place, or ``None`` if there is none."""
        changed = self._changed.get((table, key))
        return changed[0] if changed is not None else self.initial.tables[table].get(key)

    def items(self, table: Table) -> Iterator[tuple[str, Record]]:
        """Yield the keys and records of a table, in its order."""
        for key, record in self.initial.tables[table].items():
            changed = self._changed.get((table, key))
            yield key, record if changed is None else changed[0]

    def patched(self, patch: Iterable[Change]) -> StoreSnapshot:
        """Return a snapshot with the changes; ``KeyError`` if a record does not exist, since tools add none."""
        changed, shift = dict(self._changed), self._shift
        for change in patch:
            address = (change.table, change.key)
            known = changed.get(address)
            initial = self.initial.digest_of(*address)
            new = record_digest(change.table, change.key, change.record)
            shift += new - (known[1] if known is not None else initial)
            if new == initial:
                changed.pop(address, None)  # the record is again what was loaded
            else:
                changed[address] = (change.record, new)
        twin = StoreSnapshot(self.initial)
        twin._changed, twin._shift = changed, shift % MODULUS
        return twin

    @property
    def digest(self) -> int:
        """128 bits that are equal for equal data. Each change updates them, so reading them costs next to nothing."""
        return (self.initial.digest + self._shift) % MODULUS

    def record_digest(self, table: Table, key: str) -> int | None:
        """Return the digest of one record, or ``None`` if there is no such record."""
        changed = self._changed.get((table, key))
        if changed is not None:
            return changed[1]
        return self.initial.digest_of(table, key) if key in self.initial.tables[table] else None

    def table_digest(self, table: Table) -> int:
        """Return the digest of a whole table."""
        digest_of = self.initial.digest_of
        shift = sum(digest - digest_of(*at) for at, (_, digest) in self._changed.items() if at[0] == table)
        return (self.initial.table_digests[table] + shift) % MODULUS

    def changes(self) -> Patch:
        """Return the records that differ from the initial data, in the order in which they were first changed."""
        return tuple(Change(table, key, record) for (table, key), (record, _) in self._changed.items())

    def find_user(self, key: UserKey, zip: str | None = None) -> str | None:
        """Return the id of the first user with this e-mail address or name (in any case), and zip code, or ``None``."""
        key = lower_key(key)
        # The index is of the initial data, so each changed user is a candidate as well.
        candidates = set(self.initial.users_by_key.get(key, ()))
        candidates.update(user_id for table, user_id in self._changed if table == "users")
        for user_id in sorted(candidates, key=self.initial.user_places.__getitem__):
            user: Any = self.get("users", user_id)
            if user is not None and key in keys_of(user) and zip in (None, user["address"]["zip"]):
                return user_id
        return None

    @property
    def dialect(self) -> Dialect:
        """The benchmark whose form the records have, and whose tools and hash belong to them."""
        return self.initial.dialect

    def tau_hash(self) -> str:
        """Return the hash of the data by which the benchmark compares them: SHA-256 in hex. Takes some milliseconds."""
        changed = {address: record for address, (record, _) in self._changed.items()}
        return hashlib.sha256(self.initial.notation_with(changed).encode()).hexdigest()

    def matches(self, other: StoreSnapshot) -> bool:
        """Return whether both have the same ``tau_hash``: the order of fields and of records does not count.

        Much faster than two hashes where both started from the same data.
        """
        if self.initial is not other.initial and self.initial.digest != other.initial.digest:
            return self.tau_hash() == other.tau_hash()
        text_of = self.initial.notation.value
        for table, key in {**self._changed, **other._changed}:
            # Equal digests leave out the texts, and different ones do not tell whether only an order differs.
            if self.record_digest(table, key) != other.record_digest(table, key):
                if text_of(self.get(table, key)) != text_of(other.get(table, key)):
                    return False
        return True

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, StoreSnapshot) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<StoreSnapshot {self.digest:032x}, {len(self._changed)} records changed>"

    def __copy__(self) -> StoreSnapshot:
        return self

    def __deepcopy__(self, memo: Mapping[int, Any]) -> StoreSnapshot:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.initial, self.changes())


def _restored(initial: RetailData, changes: Patch) -> StoreSnapshot:
    return StoreSnapshot(initial).patched(changes)
