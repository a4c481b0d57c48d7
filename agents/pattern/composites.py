"""Arguments that have to be built from several values: lists of ids, and records with the fields that a tool takes."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from spec_envs.agents.pattern import text as texts
from spec_envs.agents.pattern.index import Index, Result, Value
from spec_envs.conversation import canonical

#: The greatest number of records, and of groups of records, that are considered for one shape: the latest ones.
_MAX_RECORDS = 150
_MAX_GROUPS = 24
#: The greatest length of a list that is built.
_MAX_LENGTH = 12
#: The start of a name, as opposed to a number or a code.
_NAME = re.compile(r"[a-z]{3}")

#: A value, its source, the record that holds its parts, and the time when the record was seen.
_Made = tuple[Any, str, tuple[int, int] | None, int]
_Projected = dict[tuple[int, int], dict[str, Any]]


@dataclasses.dataclass(slots=True)
class Composite:
    """A value that was built, with the sources and records of its parts, and the time of the latest part."""

    value: Any
    sources: list[str]
    records: set[tuple[int, int]]
    last: int


def composites(index: Index, shape: str, order: Mapping[str, list[str]] = MappingProxyType({})) -> dict[str, Composite]:
    """Return the values of ``shape`` that can be built, by canonical form; ``order``: the order of fields."""
    found: dict[str, Composite] = {}
    inner = shape[1:-1] if shape.startswith("[") else shape
    if inner.startswith("{"):
        made = _of_records(index, order.get(inner, inner[1:-1].split(",")), shape.startswith("["))
    else:
        made = _of_scalars(index, inner)
    for value, source, record, time in made:
        each = found.setdefault(canonical(value), Composite(value, [], set(), time))
        each.last = max(each.last, time)
        if record is not None:
            each.records.add(record)
        if source not in each.sources:
            each.sources.append(source)
    return found


def _of_scalars(index: Index, shape: str) -> Iterator[_Made]:
    forms = texts.Forms([shape])
    values = [each for each in index.values.values() if each.shape in forms]
    for each in values[-20:]:
        source = next(reversed(each.sources), "")
        yield [each.value], f"one {source}", next(reversed(each.records), None), each.last
    for who, text, time in _recent(index):
        said = [(position, each.value) for each in values if (position := text.find(each.normal)) >= 0]
        if 1 <= len(said) <= _MAX_LENGTH:
            yield _in_order(said), f"said {who}", None, time
        for source, named in _named(index, values, text).items():
            if len(named) <= _MAX_LENGTH:
                yield _in_order(named), f"named {who} {source}", None, time


def _in_order(found: list[tuple[int, Any]]) -> list[Any]:
    """Return the values in the order of their positions. Numbers and texts at one position cannot be compared."""
    return [value for _, value in sorted(found, key=lambda item: (item[0], str(item[1])))]


def _named(index: Index, values: list[Value], text: texts.Text) -> dict[str, list[tuple[int, Any]]]:
    """Return the values whose record holds a name that ``text`` mentions, with the position of the name, by source."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for each in values:
        for record in list(each.records)[-2:]:
            names = (word for word in index.record(record).words if word != each.normal and _NAME.match(word))
            said = [position for word in names if (position := text.find(word)) >= 0]
            if said:
                found.setdefault(next(reversed(each.sources)), []).append((min(said), each.value))
                break
    return found


def _of_records(index: Index, fields: list[str], listed: bool) -> Iterator[_Made]:
    projected = _project_all(index, fields)
    if not listed:
        for record, each in projected.items():
            yield each, _source(index, record), record, index.results[record[0]].time
        return
    groups = 0
    for number in range(len(index.results) - 1, -1, -1):
        time, content = index.results[number].time, index.results[number].content
        for path, members in content.groups:
            rows = [projected.get((number, member)) for member in members]
            if groups < _MAX_GROUPS and len(rows) <= _MAX_LENGTH and None not in rows:
                groups += 1
                parent = content.records[members[0]].parent
                yield rows, f"all {path}", (number, parent) if parent >= 0 else None, time
    for record, each in list(projected.items())[:40]:
        yield [each], f"one {_source(index, record)}", record, index.results[record[0]].time
    for who, text, time in _recent(index):
        said = _said(index, projected, text)
        if 1 <= len(said) <= _MAX_LENGTH:
            yield said, f"said {who}", None, time


def _said(index: Index, projected: _Projected, text: texts.Text) -> list[dict[str, Any]]:
    """Return the records whose id ``text`` mentions, in the order of the text; the latest record for each id."""
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    for each in projected.values():
        for value in each.values():
            if isinstance(value, str) and re.search(r"\d", value) and re.search(r"[A-Za-z]", value):
                wanted = texts.normal(value)
                position = text.find(wanted)
                if position >= 0 and wanted not in found:
                    found[wanted] = (position, each)
    rows = [each for _, each in sorted(found.values(), key=lambda item: item[0])]
    return [each for number, each in enumerate(rows) if each not in rows[:number]]


def _recent(index: Index) -> list[tuple[str, texts.Text, int]]:
    recent = [(f"a{age}", text, time) for age, (time, text) in enumerate(reversed(index.agents[-2:]))]
    return recent + [(f"u{age}", text, time) for age, (time, text) in enumerate(reversed(index.users[-2:]))]


def _project_all(index: Index, fields: list[str]) -> _Projected:
    """Return every record that has ``fields``, reduced to these fields, latest first."""
    found: _Projected = {}
    for number in range(len(index.results) - 1, -1, -1):
        for member in range(len(index.results[number].content.records)):
            projected = _project(index.results[number], member, fields)
            if projected is not None:
                found[number, member] = projected
                if len(found) >= _MAX_RECORDS:
                    return found
    return found


def _project(result: Result, member: int, fields: list[str]) -> dict[str, Any] | None:
    """Return the fields of a record: from the record, from records in or around it, or from arguments of the call."""
    own, row = 0, {}
    for field in fields:
        number = member
        while number >= 0:
            record = result.content.records[number]
            place = record.own if field in record.own else record.inner
            if field in place:
                own += number == member
                row[field] = place[field]
                break
            number = record.parent
        else:
            value = result.arguments.get(field)
            if value is None or isinstance(value, Mapping | list):
                return None
            row[field] = value
    return row if own else None


def _source(index: Index, record: tuple[int, int]) -> str:
    return f"{index.results[record[0]].tool}:{index.record(record).path}"
