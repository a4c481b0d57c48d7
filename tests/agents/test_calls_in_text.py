"""Tool calls that models write into the text in tags or as Python: every argument has the type of the tool's schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs.agents import ChatPolicy
from spec_envs.agents.llm.written_calls import written_calls
from tests.agents.scripted import Script
from tests.agents.test_chat_policy import SHOP

KINDS = {
    "order_id": {"type": "string"},
    "count": {"type": "integer"},
    "price": {"type": "number"},
    "gift": {"type": "boolean"},
    "items": {"type": "array", "items": {"type": "string"}},
    "address": {"type": "object"},
    "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "floor": {"type": ["integer", "null"]},
    "color": {"enum": ["red", "blue"]},
    "anything": {},
}
BUY: dict[str, Any] = {"name": "buy", "parameters": {"type": "object", "properties": KINDS, "required": ["order_id"]}}
LIST: dict[str, Any] = {"name": "list", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": each} for each in (BUY, LIST)]
SHOP = SHOP | {"tools": json.dumps(TOOLS)}
SCHEMAS = {each["name"]: each["parameters"] for each in (BUY, LIST)}
BAR = "｜DSML｜"


def qwen(name, /, **texts):
    inner = "".join(f"<parameter={key}>\n{text}\n</parameter>\n" for key, text in texts.items())
    return f"<tool_call>\n<function={name}>\n{inner}</function>\n</tool_call>"


def glm(name, /, **texts):
    pairs = (f"<arg_key>{key}</arg_key>\n<arg_value>{text}</arg_value>\n" for key, text in texts.items())
    return f"<tool_call>{name}\n{''.join(pairs)}</tool_call>"


def invoke(name, /, prefix="", around="function_calls", **texts):
    inner = "".join(f'<{prefix}parameter name="{key}">{text}</{prefix}parameter>\n' for key, text in texts.items())
    return f'<{prefix}{around}>\n<{prefix}invoke name="{name}">\n{inner}</{prefix}invoke>\n</{prefix}{around}>'


def gemma(name, /, **texts):
    inner = ",".join(f"{key}:<escape>{text}<escape>" for key, text in texts.items())
    return f"<start_function_call>call:{name}{{{inner}}}<end_function_call>"


ORDER = {"order_id": "#W1"}
ONE = {
    "qwen": qwen("buy", **ORDER),
    "qwen, one line": "<tool_call><function=buy><parameter=order_id>#W1</parameter></function></tool_call>",
    "qwen, behind words": f"I look.\n\n{qwen('buy', **ORDER)}",
    "qwen, words behind": f"{qwen('buy', **ORDER)}\nOne moment.",
    "qwen, without the tag around": "<function=buy>\n<parameter=order_id>#W1</parameter></function></tool_call>",
    "qwen, an argument not closed": "<tool_call><function=buy><parameter=order_id>#W1</function></tool_call>",
    "qwen, the function not closed": "<tool_call><function=buy><parameter=order_id>#W1</parameter></tool_call>",
    "qwen, quotes": '<tool_call><function="buy"><parameter="order_id">#W1</parameter></function></tool_call>',
    "qwen, names as attributes": '<function name="buy"><parameter name="order_id">#W1</parameter></function>',
    "seed": qwen("buy", **ORDER).replace("tool_call>", "seed:tool_call>"),
    "glm": glm("buy", **ORDER),
    "glm, one line": "<tool_call>buy<arg_key>order_id</arg_key><arg_value>#W1</arg_value></tool_call>",
    "glm, a space": "<tool_call> buy <arg_key> order_id </arg_key><arg_value>#W1</arg_value></tool_call>",
    "invoke": invoke("buy", **ORDER),
    "minimax": invoke("buy", "minimax:", "tool_call", **ORDER),
    "deepseek": invoke("buy", BAR, **ORDER).replace('id">', 'id" string="true">'),
    "step": "<｜tool_calls_begin｜><｜tool_call_begin｜>function<｜tool_sep｜>"
    '<steptml:invoke name="buy"><steptml:parameter name="order_id">#W1</steptml:parameter></steptml:invoke>'
    "<｜tool_call_end｜><｜tool_calls_end｜>",
    "deepseek 3.1": '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>buy<｜tool▁sep｜>{"order_id":"#W1"}<｜tool▁call▁end｜>',
    "mistral": '[TOOL_CALLS]buy{"order_id":"#W1"}',
    "mistral, with an id": '[TOOL_CALLS]buy[CALL_ID]a1b2c3d4e[ARGS]{"order_id": "#W1"}',
    "kimi": "<|tool_calls_section_begin|><|tool_call_begin|>functions.buy:3<|tool_call_argument_begin|>"
    '{"order_id":"#W1"}<|tool_call_end|><|tool_calls_section_end|>',
    "internlm": '<|action_start|><|plugin|>{"name":"buy","parameters":{"order_id":"#W1"}}<|action_end|>',
    "nemotron": '<TOOLCALL>[{"name":"buy","arguments":{"order_id":"#W1"}}]</TOOLCALL>',
    "longcat": '<longcat_tool_call>{"name":"buy","arguments":{"order_id":"#W1"}}</longcat_tool_call>',
    "llama, python": '<|python_tag|>buy(order_id="#W1")',
    "llama 4": '<|python_start|>[buy(order_id="#W1")]<|python_end|>',
    "lfm": '<|tool_call_start|>[buy(order_id="#W1")]<|tool_call_end|>',
    "olmo": "<function_calls>\nbuy(order_id='#W1')\n</function_calls>",
    "python": '[buy(order_id="#W1")]',
    "python, a call alone": "buy(order_id='#W1')",
    "function gemma": gemma("buy", **ORDER),
    "function gemma, stopped": f"I look.\n{gemma('buy', **ORDER)}<start_function_response>",
    "function gemma, not closed": "<start_function_call>call:buy{order_id:<escape>#W1<escape>}",
    "later gemma": '<|tool_call>call:buy{order_id:<|"|>#W1<|"|>}<tool_call|>',
    "gemma": '```tool_code\nprint(buy(order_id="#W1"))\n```',
}


@pytest.mark.parametrize("text", ONE.values(), ids=ONE)
def test_a_call_is_read(text):
    script = Script(text)
    assert ChatPolicy(script, "retail")(SHOP) == {"name": "buy", "arguments": ORDER}
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    "text",
    [
        qwen("list"),
        gemma("list"),
        glm("list"),
        invoke("list"),
        "<tool_call>list</tool_call>",
        "<function=list></function>",
        "list()",
    ],
)
def test_a_call_without_arguments_is_read(text):
    assert ChatPolicy(Script(text), "retail")(SHOP) == {"name": "list", "arguments": {}}


VALUES = {
    "a number for text": ("order_id", "5", "5"),
    "text that is JSON": ("order_id", '{"a": 1}', '{"a": 1}'),
    "text in quotes": ("order_id", '"W1"', '"W1"'),
    "text that says null": ("order_id", "null", "null"),
    "text with tags": ("order_id", "a <b>c</b> < d", "a <b>c</b> < d"),
    "text on lines": ("order_id", "a\n\nb", "a\n\nb"),
    "text with brackets": ("order_id", "[1] {2}", "[1] {2}"),
    "no text": ("order_id", "", ""),
    "an integer": ("count", "3", 3),
    "an integer with spaces": ("count", " 3 ", 3),
    "an integer as a float": ("count", "3.0", 3),
    "an integer in words": ("count", "three", "three"),
    "a great integer": ("count", "9" * 30, int("9" * 30)),
    "a number": ("price", "3.50", 3.5),
    "a negative number": ("price", "-1e3", -1000.0),
    "true": ("gift", "true", True),
    "True": ("gift", "True", True),
    "False": ("gift", "False", False),
    "a list": ("items", '["a", "b"]', ["a", "b"]),
    "a list that is broken": ("items", '["a"', '["a"'),
    "an object": ("address", '{"zip": "02139", "n": [1]}', {"zip": "02139", "n": [1]}),
    "null": ("note", "null", None),
    "None": ("note", "None", None),
    "a note": ("note", "12", "12"),
    "a floor": ("floor", "2", 2),
    "no floor": ("floor", "null", None),
    "a choice": ("color", "red", "red"),
    "anything, a number": ("anything", "1", 1),
    "anything, a text": ("anything", "a b", "a b"),
    "what the schema does not name": ("other", "x", "x"),
}


@pytest.mark.parametrize("key, text, value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("form", [qwen, glm, invoke])
def test_an_argument_has_its_type(form, key, text, value):
    action = ChatPolicy(Script(form("buy", **{"order_id": "#W1", key: text})), "retail")(SHOP)
    found = action["arguments"][key]
    assert (found, type(found)) == (value, type(value))


def test_gemma_writes_values_of_every_type():
    text = (
        "<start_function_call>call:buy{order_id:5,count: 3 ,price:1.50,gift:true,note:null,"
        "items:[<escape>a,b<escape>,<escape>{}<escape>],address:{zip:<escape>02139<escape>,n:[1,[]]},other:{}}"
    )
    assert ChatPolicy(Script(text), "retail")(SHOP)["arguments"] == {
        "order_id": "5",
        "count": 3,
        "price": 1.5,
        "gift": True,
        "items": ["a,b", "{}"],
        "address": {"zip": "02139", "n": [1, []]},
        "note": None,
        "other": {},
    }


def test_deepseek_says_what_is_text():
    text = invoke("buy", BAR, order_id="5", count="5")
    for mark, value in (("true", "5"), ("false", 5)):
        marked = text.replace('="count">', f'="count" string="{mark}">')
        assert ChatPolicy(Script(marked), "retail")(SHOP)["arguments"] == {"order_id": "5", "count": value}


SEVERAL = {
    "qwen": qwen("buy", order_id="a") + "\n" + qwen("buy", order_id="b"),
    "qwen, in one tag": "<tool_call><function=buy><parameter=order_id>a</parameter></function>"
    "<function=buy><parameter=order_id>b</parameter></function></tool_call>",
    "glm": glm("buy", order_id="a") + glm("buy", order_id="b"),
    "gemma": gemma("buy", order_id="a") + "\n" + gemma("buy", order_id="b"),
    "invoke": "<function_calls>" + (invoke("buy", order_id="a") + invoke("buy", order_id="b")) + "</function_calls>",
    "llama": '<|python_tag|>{"name":"buy","parameters":{"order_id":"a"}}; {"name":"buy","parameters":{"order_id":"b"}}',
    "mistral": '[TOOL_CALLS]buy[ARGS]{"order_id":"a"}[TOOL_CALLS]buy[ARGS]{"order_id":"b"}',
    "python": "[buy(order_id='a'), buy(order_id='b')]",
    "olmo": "<function_calls>buy(order_id='a')\nbuy(order_id='b')</function_calls>",
}


@pytest.mark.parametrize("text", SEVERAL.values(), ids=SEVERAL)
def test_several_calls_are_read_in_order(text):
    calls = ChatPolicy(Script(text), "retail-calls")(SHOP)
    assert [call["arguments"] for call in calls] == [{"order_id": "a"}, {"order_id": "b"}]
    assert ChatPolicy(Script(text), "retail")(SHOP)["arguments"] == {"order_id": "a"}


REFUSED = {
    "qwen, cut": qwen("buy", **ORDER)[:-30],
    "qwen, cut in the name": "<tool_call><function=bu",
    "glm, cut": "<tool_call>buy<arg_key>order_id</arg_key><arg_value>#W",
    "glm, without what is required": "<tool_call>buy</tool_call>",
    "glm, a key without a value": "<tool_call>buy<arg_key>order_id</arg_key></tool_call>",
    "no tool": qwen("steal", **ORDER),
    "glm, no tool": glm("steal", **ORDER),
    "a made-up result": f"{qwen('buy', **ORDER)}<tool_response>Done.</tool_response>",
    "a made-up result between calls": f"{qwen('list')}<tool_response>1</tool_response>{qwen('buy', **ORDER)}",
    "another form behind": f'{qwen("list")}[{{"name":"buy"}}]',
    "gemma, cut": "<start_function_call>call:buy{order_id:<escape>a",
    "gemma, cut in a number": "<start_function_call>call:buy{order_id:<escape>a<escape>,count:1",
    "gemma, a made-up result": f"{gemma('list')}<start_function_response>response:list{{value:1}}",
    "gemma, an argument twice": "<start_function_call>call:buy{order_id:<escape>a<escape>,order_id:<escape>b<escape>}",
    "gemma, deep": "<start_function_call>call:buy{order_id:" + "[" * 5000 + "]" * 5000 + "}<end_function_call>",
    "gemma, another form behind": f'{gemma("list")}[{{"name":"buy"}}]',
    "python, no name for an argument": "<|python_tag|>buy('#W1')",
    "python, computed": "<|python_tag|>buy(order_id='a' * 3)",
    "python, two steps": "<|python_tag|>x = list()",
    "python, cut": '<|python_tag|>buy(order_id="#W',
    "json, deep": '<tool_call>buy{"order_id":' + '{"a":' * 5000 + "1" + "}" * 5001,
    "json, not as deep": '{"name":"buy","arguments":{"order_id":' + "[" * 900 + "]" * 900 + "}}",
    "python, deep": "<|python_tag|>buy(order_id=" + "[" * 5000 + "]" * 5000 + ")",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_asked_for_again(text):
    script = Script(text, "Hello")
    assert ChatPolicy(script, "retail")(SHOP) == "Hello" and len(script.asked) == 2


SAID = ["buy(x) means a purchase", "See buy()", "I call [list]", "[1] is listed", "f(x=1)", "(list)", "list", "[list]"]


@pytest.mark.parametrize("text", SAID)
def test_words_are_said(text):
    assert ChatPolicy(Script(text), "retail")(SHOP) == text


def test_tags_inside_of_json_are_text():
    inner = "<function=list></function> <invoke name='list'></invoke>"
    text = f"<tool_call>{json.dumps({'name': 'buy', 'arguments': {'order_id': inner}})}</tool_call>"
    assert ChatPolicy(Script(text), "retail")(SHOP)["arguments"] == {"order_id": inner}


@settings(max_examples=200, deadline=None)
@given(st.text().filter(lambda text: not set("<\n") & set(text)), st.sampled_from([qwen, glm, invoke]))
def test_any_text_arrives_as_it_is(value, form):
    (call,) = written_calls(form("buy", order_id=value), SCHEMAS)
    assert json.loads(call.arguments) == {"order_id": value}


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(VALUE)
def test_any_data_arrives_as_they_are(value):
    (call,) = written_calls(glm("buy", address=json.dumps(value)), SCHEMAS)
    assert json.loads(call.arguments) == {"address": value}
    for text in written_calls(f"[buy(address={value!r})]", SCHEMAS):  # none where Python's form has strange escapes
        assert json.loads(text.arguments) == {"address": value}


PARTS = [
    "<tool_call>", "</tool_call>", "<function=buy>", "</function>", "<parameter=order_id>", "</parameter>", "buy", "(",
    ")", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", '<invoke name="buy">', "</invoke>", "order_id=", "'",
    "\\", "[", "]", ",", "\n", "1", "<|python_tag|>",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(max_size=2) | st.sampled_from(PARTS)).map("".join))
def test_any_text_holds_calls_or_none_or_is_refused(text):
    try:
        calls = written_calls(text, SCHEMAS)
    except ValueError:
        return
    assert all(isinstance(json.loads(call.arguments), dict) for call in calls)
