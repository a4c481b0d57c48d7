"""The data that stores start from: loaded once, shared by all of them, never changed."""

from __future__ import annotations

import dataclasses
import functools
import json
import threading
import weakref
import zlib
from collections.abc import Mapping
from typing import Any, Literal

from spec_envs.errors import InvalidConfiguration
from spec_envs.retail.hashing import MODULUS, nested, nested_mapping, nested_pair, order_digest, record_digest

Table = Literal["orders", "products", "users"]
#: A JSON object, never to be changed in place.
Record = Mapping[str, Any]

#: The tables, sorted.
TABLES: tuple[Table, ...] = ("orders", "products", "users")


@dataclasses.dataclass(frozen=True, slots=True)
class UserIndex:
    """Where to look for a user: the ids by e-mail and by first and last name, in lower case, and each one's place."""

    by_email: Mapping[str, tuple[str, ...]]
    by_name: Mapping[tuple[str, str], tuple[str, ...]]
    position: Mapping[str, int]


class Base:
    """The three tables as they were loaded.

    Args:
        tables: The records by table and key. They belong to the base from now on: change nothing in them.
        source: What ``data.load`` takes to make an equal base in another process; ``None`` if nothing does.
    """

    def __init__(self, tables: Mapping[Table, Mapping[str, Record]], source: str | None = None) -> None:
        self.tables: dict[Table, Mapping[str, Record]] = {table: tables[table] for table in TABLES}
        self.source = source
        self._digests: dict[tuple[Table, str], int] = {}
        self._content: bytes | None = None

    def digest_of(self, table: Table, key: str) -> int:
        """The digest of a record.

        Raises:
            KeyError: There is no such record.
        """
        known = self._digests.get((table, key))
        if known is None:
            known = self._digests[table, key] = record_digest(table, key, self.tables[table][key])
        return known

    @functools.cached_property
    def table_digests(self) -> dict[Table, int]:
        """The digest of each table: the sum of those of its records and of their order."""
        return {
            table: (order_digest(table, tuple(records)) + sum(self.digest_of(table, key) for key in records)) % MODULUS
            for table, records in self.tables.items()
        }

    @functools.cached_property
    def digest(self) -> int:
        """The digest of everything: the sum of those of the tables."""
        total = sum(self.table_digests.values()) % MODULUS
        _BASES.setdefault(total, self)
        return total

    @functools.cached_property
    def user_index(self) -> UserIndex:
        """The index that finds users."""
        by_email: dict[str, tuple[str, ...]] = {}
        by_name: dict[tuple[str, str], tuple[str, ...]] = {}
        for user_id, user in self.tables["users"].items():
            email = user["email"].lower()
            by_email[email] = (*by_email.get(email, ()), user_id)
            name = (user["name"]["first_name"].lower(), user["name"]["last_name"].lower())
            by_name[name] = (*by_name.get(name, ()), user_id)
        position = {user_id: place for place, user_id in enumerate(self.tables["users"])}
        return UserIndex(by_email, by_name, position)

    @functools.cached_property
    def _nested(self) -> dict[Table, dict[str, str]]:
        # Kept, since a hash is asked for at the end of every episode, and nearly all of it is the same each time.
        return {
            table: {key: nested_pair(key, nested(records[key])) for key in sorted(records)}
            for table, records in self.tables.items()
        }

    def nested_with(self, changed: Mapping[tuple[Table, str], str]) -> str:
        """All data in tau-bench's notation, with the ``changed`` records (so written already) in place of ours."""
        tables = dict(self._nested)
        for table in {table for table, _ in changed}:
            tables[table] = dict(tables[table])
        for (table, key), text in changed.items():
            tables[table][key] = nested_pair(key, text)
        return nested_mapping([nested_pair(table, nested_mapping(tables[table].values())) for table in TABLES])

    def reference(self) -> tuple[int, str | None, bytes | None]:
        """What ``find_base`` finds this base by: digest, source, and the content itself where there is no source."""
        if self.source is None and self._content is None:
            self._content = zlib.compress(json.dumps(self.tables).encode())
        return self.digest, self.source, self._content

    def __reduce__(self) -> tuple[Any, ...]:
        return find_base, self.reference()

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Base:
        return self


_BASES: weakref.WeakValueDictionary[int, Base] = weakref.WeakValueDictionary()
_FINDING = threading.Lock()


def find_base(digest: int, source: str | None, content: bytes | None) -> Base:
    """The base with that digest: one that this process has already, or made from its content or its source.

    Raises:
        InvalidConfiguration: The source holds other data here than where the reference was made.
    """
    with _FINDING:
        base = _BASES.get(digest)
        if base is None and content is not None:
            base = Base(json.loads(zlib.decompress(content)))
        elif base is None:
            from spec_envs.retail.data import load  # late: it builds on this module

            base = load(source or "")
        if base.digest != digest:
            raise InvalidConfiguration(
                f"the retail data in {source!r} have digest {base.digest:032x}, and a store of digest {digest:032x} "
                f"was asked for: the data differ between the two processes"
            )
        return base
