"""The retail data as they were loaded: users, orders and products. Shared by all snapshots, and never changed."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
import weakref
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

from spec_envs.errors import InvalidConfiguration
from spec_envs.immutable import frozen
from spec_envs.retail.store.notation import NOTATIONS, Dialect, Notation

#: Digests are added modulo this number, so an update subtracts the old record's digest and adds the new one's.
MODULUS = 1 << 128


def record_digest(table: str, key: str, record: Any) -> int:
    """Return this library's digest of a record under its table and key. Field order counts; 1, 1.0 and true differ."""
    # The lengths keep ("ab", "c") and ("a", "bc") apart.
    text = f"{len(table)}:{table}{len(key)}:{key}{json.dumps(record)}"
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(), "little")


Table = Literal["orders", "products", "users"]
#: A JSON object that cannot be changed in place.
Record = Mapping[str, Any]

#: The names of the tables, sorted.
TABLES: tuple[Table, ...] = ("orders", "products", "users")


#: A function and its argument, which load the data in another process.
_Source = tuple[Callable[[str], "RetailData"], str]
#: A user's e-mail address, or first and last name.
UserKey = str | tuple[str, str]


def lower_key(key: UserKey) -> UserKey:
    """Return a key in lower case."""
    return key.lower() if isinstance(key, str) else (key[0].lower(), key[1].lower())


def keys_of(user: Record) -> tuple[UserKey, UserKey]:
    """Return the keys by which a user is found, in lower case."""
    return lower_key(user["email"]), lower_key((user["name"]["first_name"], user["name"]["last_name"]))


class RetailData:
    """The three tables as they were loaded.

    A copy is the same object, and unpickling returns the object with the same digest that the process already has.

    Args:
        tables: The records by table and key.
        source: A function and its argument that load equal data in another process, so that a pickle need not contain
            the data; ``None`` where no function does.
        dialect: The benchmark whose form the records have, and whose tools and hash belong to them.
    """

    def __init__(
        self,
        tables: Mapping[Table, Mapping[str, Record]],
        source: _Source | None = None,
        dialect: Dialect = "tau-bench",
    ) -> None:
        self.tables: dict[Table, Mapping[str, Record]] = {table: frozen(tables[table]) for table in TABLES}
        self.dialect: Dialect = dialect
        self._source = source
        self._digests: dict[tuple[Table, str], int] = {}

    def digest_of(self, table: Table, key: str) -> int:
        """Return the digest of a record; ``KeyError`` if there is none."""
        known = self._digests.get((table, key))
        if known is None:
            known = self._digests[table, key] = record_digest(table, key, self.tables[table][key])
        return known

    @functools.cached_property
    def table_digests(self) -> dict[Table, int]:
        """The digest of each table: the sum of those of its records and of their order, which a search depends on."""
        digests = {}
        for table, records in self.tables.items():
            order = record_digest("order", table, tuple(records))
            digests[table] = (order + sum(self.digest_of(table, key) for key in records)) % MODULUS
        return digests

    @functools.cached_property
    def digest(self) -> int:
        """The digest of all data: the sum of the digests of the tables, and of a dialect other than tau-bench's."""
        total = sum(self.table_digests.values())
        if self.dialect != "tau-bench":  # the tools would answer differently from equal records
            total += record_digest("dialect", self.dialect, None)
        total %= MODULUS
        _KNOWN.setdefault(total, self)
        return total

    @functools.cached_property
    def users_by_key(self) -> dict[UserKey, list[str]]:
        """The ids of the users with each key, in lower case."""
        found: dict[UserKey, list[str]] = {}
        for user_id, user in self.tables["users"].items():
            for key in keys_of(user):
                found.setdefault(key, []).append(user_id)
        return found

    @property
    def notation(self) -> Notation:
        """How the benchmark writes the data that it hashes."""
        return NOTATIONS[self.dialect]

    @functools.cached_property
    def user_places(self) -> dict[str, int]:
        """The place of each user in the table."""
        return {user_id: place for place, user_id in enumerate(self.tables["users"])}

    @functools.cached_property
    def _pairs(self) -> dict[Table, dict[str, str]]:
        # Kept, because a hash is computed at the end of every episode, and few records differ between episodes.
        value, pair, _ = self.notation
        return {
            table: {key: pair(key, value(records[key])) for key in sorted(records)}
            for table, records in self.tables.items()
        }

    def notation_with(self, changed: Mapping[tuple[Table, str], Record]) -> str:
        """Return the text that the benchmark hashes, with the ``changed`` records for the loaded ones."""
        value, pair, mapping = self.notation
        tables = {table: dict(pairs) for table, pairs in self._pairs.items()}
        for (table, key), record in changed.items():
            tables[table][key] = pair(key, value(record))
        return mapping([pair(table, mapping(tables[table].values())) for table in TABLES])

    @functools.cached_property
    def _compressed(self) -> bytes:
        return zlib.compress(json.dumps(self.tables).encode())

    def __reduce__(self) -> tuple[Any, ...]:
        return find_data, (self.digest, self._source or self._compressed, self.dialect)

    def __deepcopy__(self, memo: Mapping[int, Any]) -> RetailData:
        return self


_KNOWN: weakref.WeakValueDictionary[int, RetailData] = weakref.WeakValueDictionary()
_FINDING = threading.Lock()


def find_data(digest: int, source: _Source | bytes, dialect: Dialect = "tau-bench") -> RetailData:
    """Return the data with this digest: those that this process already has, or data made from ``source``.

    Raises:
        InvalidConfiguration: The source holds other data in this process than in the one that pickled them.
    """
    with _FINDING:
        data = _KNOWN.get(digest)
        if data is not None:
            return data
        if isinstance(source, bytes):
            name, data = "a pickle", RetailData(json.loads(zlib.decompress(source)), dialect=dialect)
        else:
            name, data = source[1], source[0](source[1])
        if data.digest != digest:
            raise InvalidConfiguration(
                f"the retail data in {name!r} have digest {data.digest:032x}, and a snapshot needs data with digest "
                f"{digest:032x}: the data differ between the two processes"
            )
        return data
