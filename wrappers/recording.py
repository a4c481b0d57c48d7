"""Recordings of calls, in memory and as JSON Lines: query, response, time and cost of each call.

One line of a file is one call: ``{"query", "response", "seconds", "tokens_in", "tokens_out", "money"}``, and the number
of ``"unpriced"`` tokens, if there are any. Values that JSON can hold are written unchanged; other values are written as
an object with one key that starts with ``$``:

    {"$tuple": [...]}                                a tuple
    {"$bytes": "<base64>"}                           bytes
    {"$array": ["<dtype>", [<shape>], "<base64>"]}   a numpy array; "$scalar" likewise, without a shape
    {"$object": ["<class>", {<field>: ...}]}         a dataclass, of those named in ``Recording(types=...)``
    {"$dict": [[<key>, <value>], ...]}               a dict with keys that are not all text, or that start with $

No other value is written: a value that would be read as another value is refused when the recording is saved. Loading
creates objects of those classes only that the caller names.
"""

import base64
import dataclasses
import json
import pathlib
import reprlib
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Self

import numpy as np

from spec_envs.immutable import FrozenDict, FrozenList
from spec_envs.usage import Usage
from spec_envs.values import key_of

__all__ = ["Codec", "Record", "Recording"]


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One call as it happened.

    Attributes:
        query: The query.
        response: The response.
        seconds: The time from the start of the call to the response.
        usage: The cost of the whole call.
    """

    query: Any
    response: Any
    seconds: float = 0.0
    usage: Usage = Usage()


class Recording:
    """The responses of one handler, looked up by query. Several threads may add to it.

    Args:
        records: The records to begin with.
        types: The dataclasses that queries and responses are made of, so that they can be saved and loaded.
    """

    def __init__(self, records: Iterable[Record] = (), *, types: Iterable[type] = ()) -> None:
        self._codec = Codec(types)
        self._records: list[Record] = []
        self._first: dict[Hashable, Record] = {}
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Append ``record``."""
        self._records.append(record)
        self._first.setdefault(key_of(record.query), record)

    def find(self, query: Any) -> Record | None:
        """Return the first record with an equal query, or ``None``."""
        return self._first.get(key_of(query))

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(tuple(self._records))

    def save(self, path: str | pathlib.Path) -> None:
        """Write the records to the file ``path``, one line each.

        Raises:
            TypeError: A value cannot be written so that an equal value is read; no file has been written.
        """
        lines = [json.dumps(self._to_line(record), ensure_ascii=False) for record in self]
        pathlib.Path(path).write_text("".join(line + "\n" for line in lines), encoding="utf-8")

    @classmethod
    def load(cls, path: str | pathlib.Path, *, types: Iterable[type] = ()) -> Self:
        """Return the recording in the file ``path``.

        Raises:
            ValueError: A line is not a record; the message names file and line.
        """
        recording = cls(types=types)
        with pathlib.Path(path).open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    recording.add(recording._from_line(json.loads(line)))
                except (ValueError, TypeError, LookupError) as error:
                    raise ValueError(f"{path}, line {number} is not a record: {error!r}") from error
        return recording

    def _to_line(self, record: Record) -> dict[str, Any]:
        usage = dataclasses.asdict(record.usage)
        if not usage["unpriced"]:
            del usage["unpriced"]
        return {
            "query": self._codec.encode(record.query),
            "response": self._codec.encode(record.response),
            "seconds": record.seconds,
            **usage,
        }

    def _from_line(self, line: Any) -> Record:
        if not isinstance(line, dict):
            raise ValueError(f"expected an object, not {reprlib.repr(line)}")
        usage = Usage(**{field.name: line.get(field.name, field.default) for field in dataclasses.fields(Usage)})
        query, response = self._codec.decode(line["query"]), self._codec.decode(line["response"])
        return Record(query, response, line.get("seconds", 0.0), usage)


class Codec:
    """Encodes values as JSON and decodes them, in the format that the module describes."""

    def __init__(self, types: Iterable[type]) -> None:
        self._types = {kind.__qualname__: kind for kind in types}
        for kind in self._types.values():
            if not dataclasses.is_dataclass(kind):
                raise TypeError(f"types of a recording must be dataclasses, and {kind.__qualname__} is not a dataclass")

    def encode(self, value: Any) -> Any:
        """Return ``value`` as data that ``json`` can write.

        Raises:
            TypeError: ``value`` could not be read as an equal value.
        """
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            return value
        if kind in (list, FrozenList):  # what is read can change, and is equal
            return [self.encode(item) for item in value]
        if kind is tuple:
            return {"$tuple": [self.encode(item) for item in value]}
        if kind in (dict, FrozenDict):
            if all(type(key) is str and not key.startswith("$") for key in value):
                return {key: self.encode(item) for key, item in value.items()}
            return {"$dict": [[self.encode(key), self.encode(item)] for key, item in value.items()]}
        if kind is bytes:
            return {"$bytes": _base64(value)}
        if kind is np.ndarray and not value.dtype.hasobject:
            return {"$array": [value.dtype.str, list(value.shape), _base64(value.tobytes())]}
        if isinstance(value, np.generic) and not value.dtype.hasobject:
            return {"$scalar": [value.dtype.str, _base64(value.tobytes())]}
        if self._types.get(kind.__qualname__) is kind:
            dataclass: Any = kind
            fields = [field.name for field in dataclasses.fields(dataclass) if field.init]
            return {"$object": [kind.__qualname__, {name: self.encode(getattr(value, name)) for name in fields}]}
        raise TypeError(
            f"a recording cannot hold {reprlib.repr(value)}: {kind.__qualname__} is neither JSON nor one of its types "
            f"({', '.join(self._types) or 'none'}); dataclasses can be named in Recording(types=...)"
        )

    def decode(self, value: Any) -> Any:
        """Return the value that ``encode`` was given.

        Raises:
            ValueError, TypeError, LookupError: ``value`` does not come from ``encode`` with these types.
        """
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        match value:
            case {"$tuple": items}:
                return tuple(self.decode(item) for item in items)
            case {"$dict": items}:
                return {self.decode(key): self.decode(item) for key, item in items}
            case {"$bytes": text}:
                return base64.b64decode(text)
            case {"$array": [dtype, shape, text]}:
                return np.frombuffer(base64.b64decode(text), dtype=dtype).reshape(shape).copy()
            case {"$scalar": [dtype, text]}:
                return np.frombuffer(base64.b64decode(text), dtype=dtype)[0]
            case {"$object": [name, fields]}:
                if name not in self._types:
                    raise LookupError(f"{name} is not among the types given: Recording.load(path, types=[{name}])")
                return self._types[name](**{key: self.decode(item) for key, item in fields.items()})
        if any(key.startswith("$") for key in value):
            raise ValueError(f"{reprlib.repr(value)} is not in the format of a recording")
        return {key: self.decode(item) for key, item in value.items()}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
