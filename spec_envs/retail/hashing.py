"""Two digests of JSON data: ours, which a change updates for little, and tau-bench's, equal to the bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

#: Digests are added modulo this, so that a change subtracts the old record's and adds the new one's.
MODULUS = 1 << 128


def record_digest(table: str, key: str, record: Any) -> int:
    """The digest of a record in its place. The order of fields counts, and 1, 1.0 and true differ."""
    # The lengths keep ("ab", "c") and ("a", "bc") apart. A record without an equal JSON text is not JSON.
    text = f"{len(table)}:{table}{len(key)}:{key}{json.dumps(record)}"
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(), "little")


def order_digest(table: str, keys: tuple[str, ...]) -> int:
    """The digest of a table's order, which a search by name shows."""
    return record_digest("order", table, keys)


def nested(value: Any) -> str:
    """How tau-bench writes a value before hashing: ``str`` of tuples, where a mapping is its pairs sorted by key."""
    return repr(_as_tuples(value))  # which `str` of what is around it writes


def nested_pair(key: str, text: str) -> str:
    """One pair of a mapping, its value written already."""
    return f"({key!r}, {text})"


def nested_mapping(pairs: Collection[str]) -> str:
    """``nested`` of a mapping whose pairs were written already, in the order of their keys."""
    return f"({', '.join(pairs)}{',' if len(pairs) == 1 else ''})"


def _as_tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple((key, _as_tuples(value[key])) for key in sorted(value))
    if isinstance(value, list):
        return tuple(map(_as_tuples, value))
    return value
