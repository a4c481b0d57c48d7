"""Recordings come back from disk as they were, or are refused when they are saved."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs import Usage
from spec_envs.chess.position import Position
from spec_envs.values import key_of
from spec_envs.wrappers.recording import Record, Recording


@dataclasses.dataclass
class Point:
    x: object
    y: object


texts = st.text(st.characters(codec="utf-8"), max_size=8)
atoms = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts | st.binary(max_size=8)
arrays = st.lists(st.floats(width=32, allow_nan=False), max_size=4).map(lambda items: np.array(items, np.float32))
scalars = st.integers(-9, 9).map(np.int64)
keys = texts | st.sampled_from(["$tuple", "$ref", "$"]) | st.integers() | st.tuples(st.integers(), texts)
values = st.recursive(
    atoms | arrays | scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.builds(Point, inner, inner)
    ),
    max_leaves=12,
)
usages = st.builds(Usage, st.integers(0, 9), st.integers(0, 9), st.floats(0, 9))
records = st.builds(Record, values, values, st.floats(0, 1e6), usages)


def _key(record: Record) -> object:
    return key_of((record.query, record.response, record.seconds, record.usage))


@given(st.lists(records, max_size=4))
def test_what_is_saved_is_what_is_loaded(calls):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "calls.jsonl"
        Recording(calls, types=[Point]).save(path)
        loaded = Recording.load(path, types=[Point])
    assert [_key(call) for call in loaded] == [_key(call) for call in calls]


def test_a_line_is_plain_json(tmp_path):
    path = tmp_path / "calls.jsonl"
    Recording([Record({"city": "Zürich"}, [1, None], 1.5, Usage(10, 2, 0.25))]).save(path)
    assert path.read_text(encoding="utf-8") == (
        '{"query": {"city": "Zürich"}, "response": [1, null], "seconds": 1.5, '
        '"tokens_in": 10, "tokens_out": 2, "money": 0.25}\n'
    )


def test_a_line_needs_only_query_and_response(tmp_path):
    path = tmp_path / "calls.jsonl"
    path.write_text('{"query": 1, "response": 2}\n')
    assert list(Recording.load(path)) == [Record(1, 2)]


def test_dataclasses_are_written_by_name(tmp_path):
    path = tmp_path / "calls.jsonl"
    query = Position(moves=("e2e4", "e7e5"), seed=3)
    Recording([Record(query, "g1f3")], types=[Position]).save(path)
    assert json.loads(path.read_text())["query"]["$object"][0] == "Position"
    found = Recording.load(path, types=[Position]).find(query)
    assert found is not None
    assert found.response == "g1f3"


def test_loading_makes_no_class_that_was_not_named(tmp_path):
    path = tmp_path / "calls.jsonl"
    Recording([Record(Point(1, 2), 0)], types=[Point]).save(path)
    with pytest.raises(ValueError, match=r"line 1 is not a record: .*Point is not among the types given"):
        Recording.load(path)


@pytest.mark.parametrize(
    "value", [{1, 2}, Point(1, 2), object(), np.array([None])], ids=lambda value: type(value).__name__
)
def test_what_would_not_come_back_is_refused_and_nothing_is_written(value, tmp_path):
    path = tmp_path / "calls.jsonl"
    with pytest.raises(TypeError, match=r"a recording cannot hold .* is neither JSON nor one of its types \(none\)"):
        Recording([Record("fine", "too"), Record("q", value)]).save(path)
    assert not path.exists()


def test_types_must_be_dataclasses():
    with pytest.raises(TypeError, match="types of a recording must be dataclasses, and set is not a dataclass"):
        Recording(types=[set])


@pytest.mark.parametrize("line", ["not json", "[]", '{"query": 1}', '{"query": {"$object": 3}, "response": 1}'])
def test_a_line_that_is_no_record_is_named(line, tmp_path):
    path = tmp_path / "calls.jsonl"
    path.write_text('{"query": 1, "response": 2}\n' + line + "\n")
    with pytest.raises(ValueError, match=r"calls\.jsonl, line 2 is not a record"):
        Recording.load(path)
