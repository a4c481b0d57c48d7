"""What servers of open models send or leave in the text: repeated arguments, older forms, tags, and calls as text."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spec_envs import Call, CancelToken
from spec_envs.agents import ChatCustomer, ChatGuesser, ChatPolicy
from spec_envs.agents.llm import ChatModel, Completion, ToolRequest
from spec_envs.agents.llm.reasoning import settled_answer, without_reasoning
from spec_envs.agents.llm.written_calls import unwrapped, written_calls
from spec_envs.errors import HandlerFailed
from spec_envs.retail.queries import CustomerQuery
from tests.agents.fixed_server import calls, delta, serving, sse
from tests.agents.scripted import Script, asking
from tests.agents.test_chat_policy import CHESS, SHOP
from tests.agents.test_other_servers import BOTH, TASK, TOOLS, X, Y, answer_of, piece

# -- arguments that every piece repeats ------------------------------------------------------------------------

GROWING = ['{"x"', '{"x":1', X]
REPEATED = {
    "grows": ([piece("get_a", GROWING[0], index=0, id="a"), *(piece(None, t, index=0) for t in GROWING[1:])], BOTH[:1]),
    "grows, with the name": ([piece("get_a", text, index=0, id="a") for text in GROWING], BOTH[:1]),
    "grows, the last one twice": ([piece("get_a", text, index=0, id="a") for text in (*GROWING, X)], BOTH[:1]),
    "grows from nothing": ([piece("get_a", text, index=0, id="a") for text in ("", "{", *GROWING)], BOTH[:1]),
    "grows from a placeholder": ([piece("get_a", text, index=0, id="a") for text in ("{}", *GROWING)], BOTH[:1]),
    "two calls": (
        [
            *(piece("get_a", text, index=0, id="a") for text in GROWING),
            *(piece("get_b", text, index=1, id="b") for text in ('{"y"', Y)),
        ],
        BOTH,
    ),
    "two calls on one index": (
        [
            *(piece("get_a", text, index=0, id="a") for text in GROWING),
            *(piece("get_b", text, index=0, id="b") for text in ('{"y"', Y)),
        ],
        BOTH,
    ),
    "one tool twice, without ids": (
        [piece("get_a", text, index=0) for text in (*GROWING, '{"y"', Y)],
        [("get_a", X), ("get_a", Y)],
    ),
    "parts that are equal": (
        [piece("get_a", '{"x":"', index=0), *(piece(None, text, index=0) for text in ("ha", "ha", "haha", '"}'))],
        [("get_a", '{"x":"hahahaha"}')],
    ),
    "parts that look whole": (
        [piece("get_a", '{"x":', index=0), piece(None, X[:-1] + "}", index=0), piece(None, "}", index=0)],
        [("get_a", '{"x":{"x":1}}')],
    ),
    "parts that look whole, with the name": (
        [piece("get_a", text, index=0, id="a") for text in ('{"x":', '{"x":1}', "}")],
        [("get_a", '{"x":{"x":1}}')],
    ),
    "without the level of the function": ([{"index": 0, "id": "a", "name": "get_a", "arguments": X}], BOTH[:1]),
    "parameters": ([{"index": 0, "function": {"name": "get_a", "parameters": {"x": 1}}}], [("get_a", '{"x": 1}')]),
}


@pytest.mark.parametrize("pieces, expected", REPEATED.values(), ids=REPEATED)
def test_repeated_arguments_are_read_once(pieces, expected):
    chunks = [delta(tool_calls=[each]) for each in pieces]
    assert answer_of(*chunks, delta("tool_calls")).tool_calls == tuple(ToolRequest(*each) for each in expected)
    with serving(calls(*pieces)) as (_, url), ChatModel("m", base_url=url) as model:
        assert model(asking(tools=TOOLS)).tool_calls == tuple(ToolRequest(*each) for each in expected)


@settings(max_examples=200)
@given(
    st.dictionaries(st.text('ab{}":, ', max_size=3), st.text('ab{}"\\:,') | st.integers() | st.just({"a": {}})),
    st.lists(st.integers(0, 60), max_size=6),
    st.booleans(),
)
@example({"": {"": ""}}, [4, 9], False)
def test_any_arguments_in_parts_or_repeated(arguments, places, repeated):
    text = json.dumps(arguments)
    cuts = sorted({min(place, len(text)) for place in places} | {0, len(text)})
    parts = [text[start:end] for start, end in itertools.pairwise(cuts)]
    sent = list(itertools.accumulate(parts)) if repeated else parts
    chunks = [delta(tool_calls=[piece("get_a" if not n else None, each, index=0)]) for n, each in enumerate(sent)]
    (call,) = answer_of(*chunks, delta("tool_calls")).tool_calls
    assert json.loads(call.arguments) == arguments


# -- older forms -----------------------------------------------------------------------------------------------

OLDER = {
    "a function_call": (
        [
            delta(function_call={"name": "get_a", "arguments": ""}),
            delta(function_call={"arguments": '{"x"'}),
            delta(function_call={"arguments": ":1}"}),
            delta("function_call"),
        ],
        ("", BOTH[:1]),
    ),
    "a function_call at once": (
        [delta("function_call", function_call={"name": "get_a", "arguments": X})],
        ("", BOTH[:1]),
    ),
    "beside tool_calls": (
        [
            delta("stop", function_call={"name": "get_a", "arguments": X}, tool_calls=[piece("get_a", X, index=0)]),
        ],
        ("", BOTH[:1]),
    ),
    "null for a function_call": ([delta(content="hi", function_call=None), delta("stop")], ("hi", [])),
    "an empty function_call": ([delta(content="hi", function_call={}), delta("stop")], ("hi", [])),
    "text": ([{"choices": [{"index": 0, "text": each}]} for each in "hi"] + [delta("stop")], ("hi", [])),
    "text with an end": ([{"choices": [{"index": 0, "text": "hi", "finish_reason": "stop"}]}], ("hi", [])),
    "text beside an empty delta": ([{"choices": [{"text": "hi", "delta": {}, "finish_reason": "stop"}]}], ("hi", [])),
    "text beside a delta": ([{"choices": [{"text": "hi", "delta": {"content": "hi"}}]}, delta("stop")], ("hi", [])),
    "null for text": ([{"choices": [{"text": None}]}, delta("stop", content="hi")], ("hi", [])),
}


@pytest.mark.parametrize("chunks, expected", OLDER.values(), ids=OLDER)
def test_older_forms_are_read(chunks, expected):
    text, made = expected
    assert answer_of(*chunks).text == text
    with serving(sse(*chunks)) as (_, url), ChatModel("m", base_url=url) as model:
        answer = model(asking(tools=TOOLS))
    assert (answer.text, answer.tool_calls) == (text, tuple(ToolRequest(*each) for each in made))


UNKNOWN = {
    "a function_call that is a text": (sse(delta("stop", function_call="get_a")), "must be an object"),
    "a delta that is a text": (sse({"choices": [{"delta": "hi", "finish_reason": "stop"}]}), "must be an object"),
    "choices that are an object": (sse({"choices": {"0": {}}}), "must be a list"),
    "responses": (sse({"type": "response.output_text.delta", "delta": "hi"}), "response.output_text.delta"),
    "another provider's": (sse({"candidates": [{"content": {"parts": [{"text": "hi"}]}}]}), "candidates"),
    "messages": (sse({"type": "content_block_delta", "delta": {"text": "hi"}}), "content_block_delta"),
    "an error as an object": (sse({"object": "error", "message": "out of memory"}), "out of memory"),
}


@pytest.mark.parametrize("body, message", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_in_another_form_is_quoted(body, message):
    with serving(body) as (_, url), ChatModel("m", base_url=url, max_retries=0) as model:
        with pytest.raises(HandlerFailed, match=message):
            model(asking())


def test_bodies_that_are_no_stream_are_quoted():
    for body, content_type, message in (
        (b"<html>Log in</html>", "text/html", "text/html"),
        (b'{"message":{"content":"hi"},"done":true}\n', "application/x-ndjson", "'done': True"),
        (b'{"detail":"not found"}', "application/json", "not found"),
    ):
        with serving(body, content_type=content_type) as (_, url), ChatModel("m", base_url=url) as model:
            with pytest.raises(HandlerFailed, match=message):
                model(asking())


# -- what stands around an answer ------------------------------------------------------------------------------

AROUND = {
    "tags": "<answer>Hi</answer>",
    "tags on lines": "<answer>\nHi\n</answer>\n",
    "upper case": "<ANSWER>Hi</ANSWER>",
    "no closing tag": "<answer>Hi",
    "behind reasoning": "<think>x</think>\n<answer>Hi</answer>",
    "behind reasoning without marks": "The customer greets.\n<answer>Hi</answer>",
    "another tag": "<final_answer>Hi</final_answer>",
    "two tags": "<response><answer>Hi</answer></response>",
    "backquotes": "```\nHi\n```",
    "backquotes with a language": "```text\nHi```",
    "an end": "Hi<|im_end|>",
    "an end, and more": "Hi<|eot_id|><|start_header_id|>user<|end_header_id|>\nThanks",
    "a beginning and an end": "<|im_start|>assistant\nHi<|im_end|>\n<|im_start|>user\nBye",
    "a beginning and an end of Gemma": "<start_of_turn>model\nHi<end_of_turn>",
    "an end of Llama 2": "Hi</s>",
    "an end of Phi": "Hi<|end|>",
    "an end of DeepSeek": "Hi<｜end▁of▁sentence｜>",
}


@pytest.mark.parametrize("text", AROUND.values(), ids=AROUND)
def test_what_stands_around_a_message_is_no_part_of_it(text):
    assert ChatPolicy(Script(text), "retail")(SHOP) == "Hi"
    assert ChatCustomer(Script(text))(CustomerQuery(("Hi!",), TASK, 0), CancelToken()) == "Hi"


@pytest.mark.parametrize(
    "text", ["Hi", "a <answer> b", "use `x` or ```y```", "<b>Hi</b>", "</s> is a token", "1 < 2 > 0"]
)
def test_what_is_said_stays(text):
    assert unwrapped(without_reasoning(Completion(text=text)).text) == text
    assert ChatPolicy(Script(text), "retail")(SHOP) == text


def test_a_guesser_reads_lines_in_tags():
    for text in ("<answer>\ne2e4\nd2d4\n</answer>", "<answer>e2e4\nd2d4</answer><|im_end|>", "```\ne2e4\nd2d4\n```"):
        guesses = ChatGuesser(Script(text), "chess").guess(Call("policy", CHESS), 3)
        assert [guess.response for guess in guesses] == ["e2e4", "d2d4"]


@settings(max_examples=200)
@given(
    st.lists(
        st.sampled_from(
            [*"<>/|\n a", "<answer>", "</answer>", "<|im_end|>", "</s>", "<think>", "</think>", "```", "[TOOL_CALLS]"]
        )
    ).map("".join)
)
def test_text_with_marks(text):
    answer = without_reasoning(Completion(text=text)).text
    assert unwrapped(unwrapped(answer)) == unwrapped(answer) or "answer>" in unwrapped(answer)
    if "think>" not in text:  # what is settled does not change any more
        assert all(answer.lstrip().startswith(settled_answer(text[:end]).rstrip()) for end in range(len(text)))


# -- calls as text ---------------------------------------------------------------------------------------------

CALL = '{"name":"find","arguments":{"first":"A"}}'
WRITTEN = {
    "hermes": f"<tool_call>{CALL}</tool_call>",
    "hermes, behind words": f"Let me see.\n<tool_call>\n{CALL}\n</tool_call>",
    "mistral": f"[TOOL_CALLS][{CALL}]",
    "mistral, an object": f"[TOOL_CALLS] {CALL}",
    "mistral, by name": '[TOOL_CALLS]find[ARGS]{"first":"A"}',
    "llama": f"<|python_tag|>{CALL.replace('arguments', 'parameters')}",
    "llama, by name": '<function=find>{"first":"A"}</function>',
    "granite": f"<|tool_call|>[{CALL}]<|/tool_call|>",
    "phi": f"functools[{CALL}]",
    "functionary": f"<functioncall> {CALL}",
    "deepseek": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>find"
    '\n```json\n{"first":"A"}\n```<｜tool▁call▁end｜>',
    "kimi": "<|tool_calls_section_begin|><|tool_call_begin|>functions.find:0<|tool_call_argument_begin|>"
    '{"first":"A"}<|tool_call_end|>',
    "cohere": '<|START_ACTION|>[{"tool_call_id":"0","tool_name":"find","parameters":{"first":"A"}}]<|END_ACTION|>',
    "harmony": "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>commentary to=functions.find "
    '<|constrain|>json<|message|>{"first":"A"}<|call|>',
    "harmony, the name first": "<|start|>assistant to=functions.find<|channel|>commentary json<|message|>"
    '{"first":"A"}<|call|>',
    "no mark": CALL,
    "arguments as text": json.dumps({"name": "find", "arguments": '{"first":"A"}'}),
    "backquotes": f"I look.\n```json\n{CALL}\n```",
    "a line of its own": f"I look.\n{CALL}",
    "in tags": f"<answer>{CALL}</answer>",
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_a_call_in_the_text_is_a_call(text):
    for prompt in ("retail", "retail-calls"):
        assert ChatPolicy(Script(text), prompt)(SHOP) == {"name": "find", "arguments": {"first": "A"}}
    assert ChatPolicy(Script(f"<think>{CALL}</think>Hello"), "retail")(SHOP) == "Hello"


def test_several_calls_in_the_text():
    text = f"<tool_call>{CALL}</tool_call>\n<tool_call>{CALL.replace('A', 'B')}</tool_call>"
    first, second = ChatPolicy(Script(text), "retail-calls")(SHOP)
    assert (first["arguments"], second["arguments"]) == ({"first": "A"}, {"first": "B"})


BROKEN = {
    "cut": f"<tool_call>{CALL[:-2]}",
    "a part that is cut": f"[TOOL_CALLS][{CALL},{CALL[:-2]}",
    "a name that is no tool's": "<tool_call>lose</tool_call>",
    "arguments that are a list": '<tool_call>{"name":"find","arguments":[1]}</tool_call>',
    "arguments that are a text": '<tool_call>{"name":"find","arguments":"x"}</tool_call>',
    "an unknown tool": CALL.replace("find", "lose"),
    "an unknown tool, marked": f"<tool_call>{CALL.replace('find', 'lose')}</tool_call>",
    "a result of its own": f"<tool_call>{CALL}</tool_call>\n<tool_response>{{}}</tool_response>",
    "nothing": "<tool_call></tool_call>",
    "an empty list": "[TOOL_CALLS][]",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_call_in_the_text_that_cannot_be_read_is_asked_for_again_and_never_said(text):
    script = Script(text, "Hello")
    assert ChatPolicy(script, "retail")(SHOP) == "Hello" and len(script.asked) == 2
    with pytest.raises(HandlerFailed, match="cannot be used"):
        ChatPolicy(Script(text), "retail")(SHOP)


@settings(max_examples=200)
@given(
    st.lists(
        st.text(max_size=4)
        | st.sampled_from(
            ["<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "find", CALL, "{", "}", "[", "```json\n", "\n"]
        )
    ).map("".join)
)
def test_any_text_holds_calls_or_none_or_is_refused(text):
    try:
        found = written_calls(text, {"find": {}})
    except ValueError:
        return
    assert all(isinstance(call.name, str) and isinstance(call.arguments, str) for call in found)
    assert not found or "find" in text
