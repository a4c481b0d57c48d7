"""``search[…]``, ``lookup[…]`` and ``finish[…]`` in every form in which they may be given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs.errors import InvalidAction
from spec_envs.search.actions import MAX_LENGTH, SAMPLES, Act, Mistake, read_action


@pytest.mark.parametrize(
    ("action", "act"),
    [
        ("search[Ada Fenwick]", Act("search", "Ada Fenwick")),
        ("  Search [ Ada   Fenwick ]\n", Act("search", "Ada Fenwick")),
        ("SEARCH[[The Newcomers]]", Act("search", "[The Newcomers]")),
        ("lookup[a\nb]", Act("lookup", "a b")),
        ("finish[]", Act("finish", "")),
        ({"name": "search", "arguments": {"entity": "Ada"}}, Act("search", "Ada")),
        ({"name": "Lookup", "arguments": '{"keyword": "born"}'}, Act("lookup", "born")),
        ('{"name": "finish", "arguments": {"answer": "yes"}}', Act("finish", "yes")),
        ({"name": "finish", "arguments": {"answer": "yes"}, "thought": "So."}, Act("finish", "yes", "So.")),
    ],
)
def test_an_action_is_the_same_however_it_is_written(action, act):
    assert read_action(action) == act


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("", "use search"),
        ("Ada Fenwick", "use search"),
        ("search[Ada", "use search"),
        ("finish[yes] because", "use search"),
        ("think[hm]", "there is no action 'think'"),
        ("search[ ]", "needs a text"),
        ("search[\ud800]", "surrogate"),
        ({}, 'has a "name"'),
        ({"name": 3}, 'has a "name"'),
        ({"name": "jump"}, "there is no action 'jump'"),
        ({"name": "search"}, 'takes {"entity": text}'),
        ({"name": "search", "arguments": {"entity": 3}}, 'takes {"entity": text}'),
        ({"name": "search", "arguments": "Ada"}, 'takes {"entity": text}'),
        ('{"name": "finish", "arguments": []}', 'takes {"answer": text}'),
        ('{"name": "finish"', "use search"),
        ("[" * 1900, "use search"),
    ],
)
def test_a_mistake_says_what_is_wrong(action, reason):
    mistake = read_action(action)
    assert isinstance(mistake, Mistake) and reason in mistake.reason and len(mistake.text) <= 201


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (None, "not None"),
        (["search", "Ada"], "not \\['search', 'Ada'\\]"),
        ({"name": object()}, "must be JSON data"),
        (f"search[{'a' * MAX_LENGTH}]", "has at most"),
        ({"name": "finish", "arguments": {"answer": "a" * MAX_LENGTH}}, "has at most"),
    ],
)
def test_what_is_no_action_at_all_is_refused(action, message):
    with pytest.raises(InvalidAction, match=message):
        read_action(action)


CALLS = st.fixed_dictionaries(
    {"name": st.sampled_from(["search", "Finish", "x"]) | st.text(max_size=5)},
    optional={"arguments": st.dictionaries(st.sampled_from(["entity", "answer"]), st.text(max_size=50)) | st.none()},
)


@given(st.text(max_size=60) | st.text("[]a ", max_size=9).map("lookup[{}]".format) | CALLS)
def test_anything_short_is_read_or_is_a_mistake(action):
    read = read_action(action)
    if isinstance(read, Act):
        assert read_action(str(read)) == read


@pytest.mark.parametrize("sample", SAMPLES)
def test_samples_are_actions(sample):
    assert isinstance(read_action(sample), Act)
