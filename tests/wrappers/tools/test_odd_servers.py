"""What servers of tools say and send: hints that contradict themselves, names with colons, schemas, results."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs import Call, Effect
from spec_envs.agents import NGramGuesser, PatternGuesser
from spec_envs.conversation import Conversation, Tool, ToolCall, ToolResult, UserMessage
from spec_envs.wrappers import SpeculativeTools
from spec_envs.wrappers.tools import ToolRule
from spec_envs.wrappers.tools._mcp_results import ServerTools, content, usable
from spec_envs.wrappers.tools.ports import Port, qualified

CONTENTS = {
    "texts": ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb"),
    "structured": ({"content": [], "structuredContent": {"a": 1}}, {"a": 1}),
    "a wrapped value": ({"structuredContent": {"result": [1]}}, [1]),
    "structured, but a list": ({"content": [{"type": "text", "text": "a"}], "structuredContent": [1]}, "a"),
    "an embedded resource": ({"content": [{"type": "resource", "resource": {"uri": "f:/a", "text": "a"}}]}, "a"),
    "an embedded picture": ({"content": [{"type": "resource", "resource": {"uri": "f:/a", "blob": "AA=="}}]}, ""),
    "a link": ({"content": [{"type": "resource_link", "uri": "f:/a", "name": "a"}]}, "f:/a"),
    "a picture": ({"content": [{"type": "image", "data": "AA==", "mimeType": "image/png"}]}, ""),
    "no content": ({}, ""),
    "null": ({"content": None}, ""),
    "a text as content": ({"content": "text"}, ""),
    "a text without text": ({"content": [{"type": "text"}, {"type": "text", "text": None}]}, ""),
    "a number as a text": ({"content": [{"type": "text", "text": 3}]}, ""),
    "null as a part": ({"content": [None, "a", 3]}, ""),
    "a resource that is null": ({"content": [{"type": "resource", "resource": None}]}, ""),
    "an object": (SimpleNamespace(content=[SimpleNamespace(type="text", text="a")], is_error=False), "a"),
    "no object": ("text", ""),
}


@pytest.mark.parametrize(("result", "seen"), CONTENTS.values(), ids=CONTENTS)
def test_what_guessers_see_of_results(result, seen):
    assert content(result) == seen


@pytest.mark.parametrize(
    ("result", "is_usable"),
    [
        ({"content": []}, True),
        ({"content": [], "isError": False}, True),
        ({"content": [], "isError": True}, False),
        ({"content": [], "isError": "true"}, False),
        ({"content": [], "isError": None}, True),
        ({"task": {"taskId": "1"}}, False),
        ({"resultType": "input_required"}, False),
        ({"resultType": "complete"}, True),
        (SimpleNamespace(is_error=False), True),
        (SimpleNamespace(is_error=True), False),
        (SimpleNamespace(isError=False), True),
        (None, False),
        ("text", False),
        ([], False),
    ],
)
def test_which_results_others_may_use(result, is_usable):
    assert usable(result) is is_usable


HINTS = {
    "read-only": ({"readOnlyHint": True}, True),
    "read-only, and destructive": ({"readOnlyHint": True, "destructiveHint": True}, False),
    "read-only, and not destructive": ({"readOnlyHint": True, "destructiveHint": False}, True),
    "read-only, and of an open world": ({"readOnlyHint": True, "openWorldHint": True}, True),
    "idempotent": ({"idempotentHint": True}, False),
    "not destructive": ({"destructiveHint": False}, False),
    "a text": ({"readOnlyHint": "true"}, False),
    "a number": ({"readOnlyHint": 1}, False),
    "null": ({"readOnlyHint": None}, False),
    "a title": ({"title": "Read only"}, False),
    "none": (None, False),
    "no object": ("readOnlyHint", False),
    "a list": (["readOnlyHint"], False),
}


def served(rules: Any = (), server: str = "", *, trust: bool = True) -> tuple[SpeculativeTools, ServerTools]:
    tools = SpeculativeTools(dict(rules), NGramGuesser())
    return tools, ServerTools(tools, server, object(), trust_annotations=trust)


@pytest.mark.parametrize(("annotations", "is_trusted"), HINTS.values(), ids=HINTS)
def test_a_hint_is_believed_where_it_says_so_and_nothing_else(annotations, is_trusted):
    for trust in (True, False):
        tools, server = served(trust=trust)
        server.read_list([{"name": "look", "annotations": annotations}])
        wanted = Effect.SAMPLE if is_trusted and trust else Effect.WRITE  # never a READ: it may be a clock
        assert tools._rules["look"].effect is wanted
        server.read_list([{"name": "look"}])  # the list has changed
        assert tools._rules["look"].effect is Effect.WRITE
        tools, server = served({"look": Effect.WRITE})
        server.read_list([{"name": "look", "annotations": annotations}])
        assert tools._rules["look"].effect is Effect.WRITE  # what the user declares counts


LISTED = [
    None,
    "tool",
    {},
    {"name": None},
    {"name": ["a"]},
    {"name": 3},
    {"name": "a", "inputSchema": None},
    {"name": "b", "inputSchema": [1], "description": 5},
    {"name": "c", "inputSchema": {"properties": []}, "annotations": "x"},
    {"name": "d", "inputSchema": {"properties": {"x": True, "y": None}, "required": None}},
    {"name": "e", "inputSchema": {"properties": {"x": {"$ref": "#/$defs/X"}}, "$defs": {"X": {"enum": ["u"]}}}},
    {"name": "f", "inputSchema": {"anyOf": [{"properties": {"x": {}}}, {"type": "null"}]}},
    {"name": "g", "inputSchema": {"properties": {"x": {"type": ["string", "null"], "enum": None}}, "required": "x"}},
    {"name": "h", "inputSchema": {"properties": {"x": {"anyOf": [{"type": "string"}], "enum": "ab"}}}},
    {"name": "i/é:ü 𝛼\n.", "inputSchema": True},
    {"name": ""},
]


def test_any_list_of_tools_is_read_and_guessers_take_its_schemas():
    tools, server = served(server="s")
    server.read_list(LISTED)
    schemas = list(tools._driver.schemas.values())
    assert [each.name for each in schemas] == [f"s:{name}" for name in (*"abcdefgh", "i/é:ü 𝛼\n.", "")]
    _guess_with(schemas)


def _guess_with(schemas: list[Tool]) -> None:
    guesser = PatternGuesser()
    events: list[Any] = [UserMessage("Look at A-17 and B-18.")]
    for number, schema in enumerate(schemas):
        events += [ToolCall(schema.name, {"x": "A-17"}, str(number)), ToolResult({"y": "B-18"}, False, str(number))]
        before = Conversation(tuple(events), tuple(schemas))
        guesser.guess(Call("policy", before), 3)
        guesser.observe(Call("policy", before), {"name": schema.name, "arguments": {"x": "A-17"}})
    again = Conversation((UserMessage("Look at C-19."),), tuple(schemas))
    assert all(0 <= guess.probability <= 1 for guess in guesser.guess(Call("policy", again), 5))


json_schemas = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["string", "x", "", "#/$defs/x"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from("properties required type enum anyOf $ref $defs x items".split()), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(json_schemas, json_schemas)
def test_any_schema(one, other):
    tools, server = served()
    server.read_list([{"name": "one", "inputSchema": one}, {"name": "two", "inputSchema": {"properties": other}}])
    _guess_with(list(tools._driver.schemas.values()))


NAMES = ["a:x", "b:y", "x", "a:b:c", ":", "::", "a/b", "é", "s:x", "s", "http://host:8000/mcp", "a b", "a\nb"]


@pytest.mark.parametrize("server", ["", "s", "stdio: npx", "http://host:8000/mcp"])
@pytest.mark.parametrize("name", NAMES)
def test_a_write_makes_stale_what_its_server_reads_whatever_the_names(server, name):
    tools, source = served({qualified(server, name): Effect.READ}, server)
    source.add(name, lambda arguments, context: asyncio.sleep(0))
    for write in (each for each in NAMES if each != name):
        source.add(write, lambda arguments, context: asyncio.sleep(0))
        assert tools._rules[qualified(server, write)].effect is Effect.WRITE
        assert tools._rules.makes_stale(qualified(server, write), qualified(server, name))


def test_a_rule_for_a_name_is_not_for_names_that_end_in_it():
    rules = {"read": Effect.READ, "s:look": Effect.READ}
    for server, name, effect in (
        ("", "db:read", Effect.WRITE),
        ("s", "db:read", Effect.WRITE),
        ("", "read", Effect.READ),
        ("s", "read", Effect.READ),
        ("http://host:8000", "read", Effect.READ),
        ("s", "look", Effect.READ),
        ("t", "look", Effect.WRITE),
        ("t", "s:look", Effect.WRITE),
    ):
        tools, source = served(rules, server)
        source.add(name, lambda arguments, context: asyncio.sleep(0))
        assert tools._rules[qualified(server, name)].effect is effect, (server, name)


def test_parts_by_the_names_of_tools_with_colons():
    rules = {"a:x": Effect.READ, "b:y": ToolRule(touches=frozenset({"a:x"})), "c:z": ToolRule(touches=frozenset({"x"}))}
    tools, source = served(rules)
    for name in rules:
        source.add(name, lambda arguments, context: asyncio.sleep(0))
    assert tools._rules.makes_stale("b:y", "a:x") and not tools._rules.makes_stale("c:z", "a:x")


def test_functions_are_of_the_server_before_the_last_colon():
    tools = SpeculativeTools({"s:read": Effect.READ, "t:read": Effect.READ}, NGramGuesser())
    for name in ("s:read", "s:write", "t:read"):
        tools.add(name, Port(execute=lambda arguments, context: asyncio.sleep(0)))
    assert tools._rules.makes_stale("s:write", "s:read") and not tools._rules.makes_stale("s:write", "t:read")
