import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs.conversation import (
    AssistantMessage,
    ChatReader,
    Conversation,
    Tool,
    ToolCall,
    ToolResult,
    Trajectory,
    UserMessage,
    canonical,
    from_chat,
    read_trajectories,
    tools_from_schemas,
    write_trajectories,
)
from spec_envs.errors import InvalidConfiguration


def call_message(name, arguments, identity="c1", content=None):
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"role": "assistant", "content": content, "tool_calls": [{"id": identity, "function": function}]}


CHAT = [
    {"role": "system", "content": "Be nice."},
    {"role": "user", "content": "I am mia_li_3668."},
    call_message("get_user", {"user_id": "mia_li_3668"}, content="One moment."),
    {"role": "tool", "tool_call_id": "c1", "name": "get_user", "content": '{"orders": ["#W1", "#W2"]}'},
    call_message("get_order", {"order_id": "#W9"}, "c2"),
    {"role": "tool", "tool_call_id": "c2", "name": "get_order", "content": "Error: order not found"},
    {"role": "assistant", "content": "There is no such order."},
]
EVENTS = (
    UserMessage("I am mia_li_3668."),
    AssistantMessage("One moment."),
    ToolCall("get_user", {"user_id": "mia_li_3668"}),
    ToolResult({"orders": ["#W1", "#W2"]}),
    ToolCall("get_order", {"order_id": "#W9"}),
    ToolResult("Error: order not found", error=True),
    AssistantMessage("There is no such order."),
)


class TestFromChat:
    def test_gives_what_was_said_called_and_answered(self):
        assert from_chat(CHAT).events == EVENTS

    def test_reads_arguments_that_are_no_json_as_they_are(self):
        message = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{oops"}}]}
        assert from_chat([message]).events == (ToolCall("f", {"": "{oops"}),)

    def test_reads_arguments_that_are_an_object_already(self):
        message = {"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"a": 1}}]}
        assert from_chat([message]).events == (ToolCall("f", {"a": 1}),)

    def test_joins_the_texts_of_a_message_in_parts(self):
        parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        assert from_chat([{"role": "user", "content": parts}]).events == (UserMessage("a\nb"),)

    def test_an_object_with_nothing_but_an_error_is_one(self):
        assert from_chat([{"role": "tool", "content": '{"error": "no"}'}]).events == (
            ToolResult({"error": "no"}, error=True),
        )

    def test_refuses_an_unknown_role(self):
        with pytest.raises(InvalidConfiguration, match="role user, assistant, tool or system, not 'bot'"):
            from_chat([{"role": "bot", "content": "hi"}])

    def test_refuses_a_call_without_a_name(self):
        with pytest.raises(InvalidConfiguration, match="a tool call needs a name"):
            from_chat([{"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}])


class TestChatReader:
    @given(st.lists(st.integers(0, len(CHAT)), min_size=1, max_size=8))
    def test_reads_any_beginning_as_from_scratch(self, lengths):
        reader = ChatReader()
        for length in lengths:
            assert reader.read(CHAT[:length]).events == from_chat(CHAT[:length]).events

    def test_notices_another_dialogue(self):
        reader = ChatReader()
        reader.read(CHAT)
        other = [CHAT[0], {"role": "user", "content": "Hello."}, *CHAT[2:]]
        assert reader.read(other).events == from_chat(other).events


class TestCanonical:
    def test_is_equal_for_equal_data(self):
        assert canonical({"b": 60.0, "a": [1, 2]}) == canonical({"a": [1, 2], "b": 60})

    @pytest.mark.parametrize("other", [[2, 1], ["1", 2], [1, 2, 2], [1, 2.5]])
    def test_differs_for_other_data(self, other):
        assert canonical(other) != canonical([1, 2])

    def test_makes_calls_comparable(self):
        assert ToolCall("f", {"a": 1, "b": 2.0}, "x").key == ToolCall("f", {"b": 2.0, "a": 1}, "y").key


def test_tools_are_read_from_schemas_of_both_forms():
    parameters = {"type": "object", "properties": {"a": {"type": "string"}}}
    expected = Tool("f", "Does f.", parameters)
    openai = {"type": "function", "function": {"name": "f", "description": "Does f.", "parameters": parameters}}
    plain = {"name": "f", "description": "Does f.", "parameters": parameters}
    assert tools_from_schemas([openai, plain, expected]) == (expected,) * 3


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
identities = st.text(max_size=3)
events = st.one_of(
    st.builds(UserMessage, st.text()),
    st.builds(AssistantMessage, st.text()),
    st.builds(ToolCall, st.text(), st.dictionaries(st.text(), values, max_size=3), identities),
    st.builds(ToolResult, values, st.booleans(), identities),
)
conversations = st.builds(
    Conversation,
    st.lists(events, max_size=5).map(tuple),
    st.lists(st.builds(Tool, st.text(), st.text(), st.just({"type": "object"})), max_size=2).map(tuple),
)
trajectories = st.builds(Trajectory, conversations, st.text(), st.none() | st.floats(0, 1))


class TestFiles:
    @settings(max_examples=40, deadline=None)
    @given(written=st.lists(trajectories, max_size=3))
    def test_what_is_written_is_read_again(self, written, tmp_path_factory):
        path = tmp_path_factory.mktemp("trajectories") / "file.jsonl"
        write_trajectories(path, written)
        assert read_trajectories(path) == written

    def test_tau_benchs_files_are_read(self, tmp_path):
        path = tmp_path / "file.json"
        path.write_text(json.dumps([{"task_id": 7, "trial": 0, "reward": 1.0, "traj": CHAT}]))
        assert read_trajectories(path) == [Trajectory(Conversation(EVENTS), "7", 1.0)]

    @pytest.mark.parametrize(
        "content", [b"[1]", b'{"a": 1}', b"no json", b"\xab\xff", b'[{"task_id": 1}]', b'{"events": [{}]}']
    )
    def test_anything_else_is_refused(self, content, tmp_path):
        path = tmp_path / "file.json"
        path.write_bytes(content)
        with pytest.raises(InvalidConfiguration, match=r"file\.json holds no trajectories: "):
            read_trajectories(path)
