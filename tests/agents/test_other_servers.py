"""What servers and models other than OpenAI's send: framing, cut answers, reasoning, parameters, prices."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import gymnasium as gym
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spec_envs  # noqa: F401
from spec_envs import Call, CancelToken, Usage
from spec_envs.agents import ChatCustomer, ChatGuesser, ChatPolicy, ReActPolicy, UnionGuesser
from spec_envs.agents.llm import ChatModel, Completion, Price, ToolRequest
from spec_envs.agents.llm.prices import ListPrice, price_of, usage_of
from spec_envs.agents.llm.reasoning import without_reasoning
from spec_envs.agents.llm.streamed_answer import Answer
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.retail.loading import load_tasks
from spec_envs.retail.queries import CustomerQuery
from spec_envs.wrappers import Limits, SpeculativeWrapper
from spec_envs.wrappers.handlers import retry, with_latency
from tests.agents.fixed_server import calls, delta, refusal, said, serving, sse
from tests.agents.scripted import Script, asking
from tests.agents.test_chat_policy import CHESS, SHOP
from tests.agents.test_react import START

TASK = load_tasks("embedded", "test")[0]
NAMES = ("get_a", "get_b", "get")
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in NAMES]
X, Y = '{"x":1}', '{"y":2}'
BOTH = [("get_a", X), ("get_b", Y)]


def piece(name: Any = None, arguments: Any = None, **rest: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **rest}


def answer_of(*chunks: Any) -> Completion:
    answer = Answer(asking(tools=TOOLS))
    for chunk in chunks:
        answer.add(chunk, 0.0)
    return answer.completion(answer.usage(None, _rates(), 0.0))


def _rates() -> Any:
    from spec_envs.agents.llm.streamed_answer import TokenRates

    return TokenRates()


FRAMES = {
    "as OpenAI does": (
        [
            piece("get_a", "", index=0, id="a"),
            piece(None, '{"x"', index=0),
            piece(None, ":1}", index=0),
            piece("get_b", Y, index=1, id="b"),
        ],
        BOTH,
    ),
    "one index, two ids": ([piece("get_a", X, index=0, id="a"), piece("get_b", Y, index=0, id="b")], BOTH),
    "one index, two ids, in pieces": (
        [
            piece("get_a", "", index=0, id="a"),
            piece(None, X, index=0),
            piece("get_b", "", index=0, id="b"),
            piece(None, Y, index=0),
        ],
        BOTH,
    ),
    "one index, no ids": ([piece("get_a", X, index=0), piece("get_b", Y, index=0)], BOTH),
    "one index, no ids, the same tool": (
        [piece("get_a", X, index=0), piece("get_a", Y, index=0)],
        [("get_a", X), ("get_a", Y)],
    ),
    "null indexes": ([piece("get_a", X, index=None, id="a"), piece("get_b", Y, index=None, id="b")], BOTH),
    "no indexes": ([piece("get_a", X, id="a"), piece("get_b", Y, id="b")], BOTH),
    "no indexes and no ids": ([piece("get_a", '{"x"'), piece(None, ":1}"), piece("get_b", Y)], BOTH),
    "null and a number": ([piece("get_a", X, index=None, id="a"), piece("get_b", Y, index=0, id="b")], BOTH),
    "null and a number, interleaved": (
        [
            piece("get_a", '{"x"', index=None, id="a"),
            piece("get_b", '{"y"', index=0, id="b"),
            piece(None, ":1}", index=None),
            piece(None, ":2}", index=0),
        ],
        BOTH,
    ),
    "an index in the first piece alone": ([piece("get_a", "", index=0, id="a"), piece(None, X)], [("get_a", X)]),
    "an index after the first piece": ([piece("get_a", "", id="a"), piece(None, X, index=0)], [("get_a", X)]),
    "an id in every piece": (
        [
            piece("get_a", '{"x"', index=0, id="a"),
            piece("get_b", '{"y"', index=0, id="b"),
            piece(None, ":1}", index=0, id="a"),
            piece(None, ":2}", index=0, id="b"),
        ],
        BOTH,
    ),
    "another id in every piece": (
        [piece("get_a", '{"x"', index=0, id="a"), piece(None, ":1}", index=0, id="b")],
        [("get_a", X)],
    ),
    "an id that comes late": ([piece("get_a", '{"x"', index=0), piece(None, ":1}", index=0, id="a")], [("get_a", X)]),
    "empty ids": ([piece("get_a", X, index=0, id=""), piece("get_b", Y, index=1, id="")], BOTH),
    "a name in every piece": (
        [piece("get_a", '{"x"', index=0, id="a"), piece("get_a", ":1}", index=0), piece("get_a", "", index=0)],
        [("get_a", X)],
    ),
    "a name in pieces": ([piece("ge", "", index=0, id="a"), piece("t_a", X, index=0)], [("get_a", X)]),
    "a name that grows": ([piece("get", "", index=0, id="a"), piece("get_a", X, index=0, id="a")], [("get_a", X)]),
    "out of order": ([piece("get_b", Y, index=1, id="b"), piece("get_a", X, index=0, id="a")], BOTH),
    "arguments before the name": (
        [piece(None, '{"x"', index=0), piece("get_a", None, index=0, id="a"), piece(None, ":1}", index=0)],
        [("get_a", X)],
    ),
    "all arguments before the name": (
        [piece(None, Y, index=1), piece("get_a", X, index=0, id="a"), piece("get_b", None, index=1, id="b")],
        BOTH,
    ),
    "indexes with a point": (
        [
            piece("get_a", '{"x"', index=0.0, id="a"),
            piece("get_b", '{"y"', index=1.0, id="b"),
            piece(None, ":1}", index=0.0),
            piece(None, ":2}", index=1.0),
        ],
        BOTH,
    ),
    "one id for all, no index": ([piece("get_a", X, id="call"), piece("get_b", Y, id="call")], BOTH),
    "the tool's name as the id": (
        [piece("get_a", X, index=0, id="get_a"), piece("get_a", Y, index=0, id="get_a")],
        [("get_a", X), ("get_a", Y)],
    ),
    "whole again, spaced": (
        [piece("get_a", X, index=0, id="a"), piece("get_a", '{ "x": 1 }', index=0, id="a")],
        [("get_a", X)],
    ),
    "arguments as an object": ([piece("get_a", {"x": 1}, index=0, id="a")], [("get_a", '{"x": 1}')]),
    "a placeholder for arguments": ([piece("get_a", "{}", index=0, id="a"), piece(None, X, index=0)], [("get_a", X)]),
    "indexes as text": ([piece("get_a", X, index="0"), piece("get_b", Y, index="1")], BOTH),
    "null for a function": ([{"index": 0, "id": "a", "function": None}, piece("get_a", X, index=0)], [("get_a", X)]),
    "null for a piece": ([None, piece("get_a", X, index=0, id="a")], [("get_a", X)]),
    "no arguments": (
        [piece("get_a", None, index=0, id="a"), piece("get_b", "", index=1, id="b")],
        [("get_a", ""), ("get_b", "")],
    ),
}


@pytest.mark.parametrize("pieces, expected", FRAMES.values(), ids=FRAMES)
def test_pieces_of_tool_calls_are_joined(pieces, expected):
    for chunks in ([delta(tool_calls=[each]) for each in pieces], [delta(tool_calls=pieces)]):
        assert answer_of(*chunks, delta("tool_calls")).tool_calls == tuple(ToolRequest(*each) for each in expected)


def test_pieces_of_tool_calls_over_http():
    frames: list[Any] = list(FRAMES.values())
    with serving(*(calls(*pieces) for pieces, _ in frames)) as (_, url), ChatModel("m", base_url=url) as model:
        for _, expected in frames:
            assert model(asking(tools=TOOLS)).tool_calls == tuple(ToolRequest(*each) for each in expected)


CONTENTS = {
    "text": (["hi"], "hi"),
    "null": ([None, "hi", None], "hi"),
    "parts": ([[{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "hi"}]], "hi"),
    "one part": ([{"type": "text", "text": "hi"}], "hi"),
    "parts as text": ([["h", "i"]], "hi"),
    "thinking first": ([[{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}], "h", "i"], "hi"),
    "output_text": ([[{"type": "output_text", "text": "hi"}]], "hi"),
    "no type": ([[{"text": "hi"}]], "hi"),
    "reasoning": ([[{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "hi"}]], "hi"),
    "empty list": ([[], "hi"], "hi"),
    "null in a part": ([[{"type": "text", "text": None}], "hi"], "hi"),
}


@pytest.mark.parametrize("contents, text", CONTENTS.values(), ids=CONTENTS)
def test_content_is_read_as_text(contents, text):
    assert answer_of(*(delta(content=each) for each in contents), delta("stop")).text == text
    body = sse(*(delta(content=each) for each in contents), delta("stop"))
    with serving(body) as (_, url), ChatModel("m", base_url=url) as model:
        assert model(asking()).text == text


def whole(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"content": text}}]}


WHOLES = {
    "again at the end": [delta(content="h"), delta(content="i"), whole("hi")],
    "all so far in each piece": [whole("h"), whole("hi")],
    "beside each piece": [{"choices": [{"delta": {"content": each}, "message": {"content": "hi"}}]} for each in "hi"],
    "as a text beside an empty piece": [{"choices": [{"delta": {"content": ""}, "text": "hi"}]}],
    "an index as text": [{"choices": [{"index": "0", "delta": {"content": "hi"}}]}],
}


@pytest.mark.parametrize("chunks", WHOLES.values(), ids=WHOLES)
def test_a_whole_message_in_a_stream_is_said_once(chunks):
    assert answer_of(*chunks, delta("stop")).text == "hi"


BROKEN = {
    "a number as content": delta(content=3),
    "numbers as parts": delta(content=[3]),
    "a number as a text": delta(content=[{"type": "text", "text": 3}]),
    "a tool call that is a text": delta(tool_calls=["get_a"]),
    "tool calls that are a number": delta(tool_calls=7),
    "a list": [1],
    "a number": 5,
    "null": None,
    "an error": {"error": {"message": "out of memory"}},
    "an error as text": {"error": "out of memory"},
}


@pytest.mark.parametrize("chunk", BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_read_is_an_error_that_says_so(chunk):
    with pytest.raises(ValueError):
        answer_of(chunk)
    with serving(sse(chunk, delta("stop"))) as (_, url), ChatModel("m", base_url=url) as model:
        with pytest.raises(HandlerFailed, match="gave no answer: "):
            model(asking())


HARMLESS = {
    "no choices": {"choices": []},
    "null choices": {"choices": None},
    "nothing": {},
    "usage alone": {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}},
    "usage of nulls": {"choices": [], "usage": {"prompt_tokens": None, "completion_tokens": None}},
    "usage of text": {"usage": {"prompt_tokens": "3", "completion_tokens": "1", "prompt_tokens_details": 7}},
    "usage that is a list": {"usage": [1]},
    "no delta": {"choices": [{"index": 0}]},
    "null for a delta": {"choices": [{"index": 0, "delta": None}]},
    "null for a choice": {"choices": [None]},
    "another choice": {"choices": [{"index": 1, "delta": {"content": "no"}}]},
    "reasoning beside": delta(reasoning_content="Hm."),
    "reasoning of another name": delta(reasoning="Hm.", reasoning_details=[{"text": "Hm."}]),
    "strange log-probabilities": {"choices": [{"delta": {}, "logprobs": {"content": [None, {"token": 3}, {}]}}]},
    "null for tool calls": delta(tool_calls=None, content=None, refusal=None),
}


@pytest.mark.parametrize("chunk", HARMLESS.values(), ids=HARMLESS)
def test_what_says_nothing_changes_nothing(chunk):
    chunks = [chunk, delta(content="h"), chunk, delta(content="i"), delta("stop"), chunk]
    assert (answer_of(*chunks).text, answer_of(*chunks).tool_calls) == ("hi", ())
    with serving(sse(*chunks)) as (_, url), ChatModel("m", base_url=url) as model:
        assert model(asking()).text == "hi"


@pytest.mark.parametrize("usage", [None, {}, {"completion_tokens": None}, {"completion_tokens": "1"}, [1], "none"])
def test_usage_that_is_not_told_is_estimated(usage):
    answer = Answer(asking("x" * 400))
    answer.sent(0.0)
    for chunk in (delta(content="h"), delta(content="i"), delta("stop"), {"choices": [], "usage": usage}):
        answer.add(chunk, 0.0)
    estimated = answer.usage(None, _rates(), 0.0)
    assert estimated.tokens_out == 2 and estimated.tokens_in > 100 and estimated.money == 0


PIECE, STOP = (json.dumps(each) for each in (delta(content="hi"), delta("stop")))
STREAMS = {
    "no spaces": f"data:{PIECE}\n\ndata:{STOP}\n\ndata:[DONE]\n\n",
    "line ends of DOS": f"data: {PIECE}\r\n\r\ndata: {STOP}\r\n\r\n",
    "line ends of old Macs": f"data: {PIECE}\r\rdata: {STOP}\r\r",
    "a byte order mark": f"\ufeffdata: {PIECE}\n\ndata: {STOP}\n\n",
    "comments": f": ping\n\ndata: {PIECE}\n\n: PROCESSING\n\ndata: {STOP}\n\n",
    "other fields": f"event: message\nid: 1\nretry: 5\ndata: {PIECE}\n\ndata: {STOP}\n\n",
    "data on several lines": f"data: {PIECE[:10]}\ndata: {PIECE[10:]}\n\ndata: {STOP}\n\n",
    "an event that is a ping": f"event: ping\ndata: {{}}\n\ndata: {PIECE}\n\ndata: {STOP}\n\n",
    "more behind the end": f"data: {PIECE}\n\ndata: {STOP}\n\ndata: [DONE]\n\ndata: {PIECE}\n\n",
    "no mark of the end": f"data: {PIECE}\n\ndata: {STOP}\n\n",
}


@pytest.mark.parametrize("body", STREAMS.values(), ids=STREAMS)
def test_every_form_of_an_event_stream_is_read(body):
    with serving(body.encode()) as (_, url), ChatModel("m", base_url=url) as model:
        assert model(asking()).text == "hi"


def test_an_answer_that_is_not_streamed_is_read_as_well():
    message = {"role": "assistant", "content": "hi", "tool_calls": [piece("get_a", X, id="a")]}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    body["usage"] = {"prompt_tokens": 7, "completion_tokens": 2}  # type: ignore[assignment]
    with serving(json.dumps(body).encode(), content_type="application/json") as (_, url):
        with ChatModel("m", base_url=url) as model:
            answer = model(asking(tools=TOOLS))
            assert asyncio.run(_acall(model)) == answer
    assert (answer.text, answer.tool_calls, answer.usage.tokens) == ("hi", (ToolRequest("get_a", X),), 9)


async def _acall(model: ChatModel) -> Completion:
    try:
        return await model.acall(asking(tools=TOOLS))
    finally:
        await model.aclose()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.sampled_from(["", "a", "get_a", X, "text"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "choices delta message index content tool_calls function name arguments id type text usage "
                "finish_reason logprobs token logprob prompt_tokens completion_tokens error".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(json_values, max_size=4), st.lists(json_values, max_size=4))
def test_no_chunk_raises_anything_but_value_errors(chunks, pieces):
    for each in (chunks, [delta(tool_calls=[one]) for one in pieces], [delta(content=one) for one in pieces]):
        try:
            answer = answer_of(*each)
        except ValueError:
            continue
        assert isinstance(answer.text, str) and answer.usage.tokens >= 0
        assert all(isinstance(call.name, str) and isinstance(call.arguments, str) for call in answer.tool_calls)


@pytest.fixture(scope="module")
def bytes_server():
    with serving(b"") as (server, url), ChatModel("m", base_url=url, max_retries=0, timeout_s=5.0) as model:
        yield server, model


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.binary(max_size=20)
        | st.sampled_from([b"data: ", b"\n\n", b"\r\n", b": ping\n\n", b"event: error\n", b"[DONE]", b"\xef\xbb\xbf"])
        | json_values.map(lambda value: f"data: {json.dumps(value)}\n\n".encode())
        | st.just(sse(delta(content="hi"), delta("stop"), done=False)),
        max_size=6,
    )
)
def test_no_stream_of_bytes_raises_anything_but_handler_failed(bytes_server, parts):
    server, model = bytes_server
    server.answers = [b"".join(parts)]
    try:
        assert isinstance(model(asking()), Completion)
    except HandlerFailed:
        pass


# -- reasoning -----------------------------------------------------------------------------------------------

REASONED = {
    "think": ("<think>Hm.</think>Hi", "Hi"),
    "a tag that is said": ("<think>I must not say ###STOP### yet.</think>Hi", "Hi"),
    "an action in it": (
        "<think>Perhaps\nAction: finish[Tallow]</think>\nAction: search[Tallow]",
        "Action: search[Tallow]",
    ),
    "reasoning": ("<reasoning>Hm.</reasoning>\n\nHi", "Hi"),
    "thinking": ("<thinking>\nHm.\n</thinking>\nHi", "Hi"),
    "upper case": ("<THINK>Hm.</THINK>Hi", "Hi"),
    "several": ("<think>A</think><think>B</think>Hi", "Hi"),
    "two, and one that does not end": ("<think>A</think><think>B", ""),
    "a mark that is spoken of in it": ("<think>I write <think> and [THINK] first.</think>Hi", "Hi"),
    "between": ("<think>A</think>Hi <think>B</think>there", "Hi there"),
    "nested": ("<think>A<think>B</think>C</think>Hi", "Hi"),
    "no opening tag": ("Hm, let me see.</think>\n\nHi", "Hi"),
    "no closing tag": ("<think>Hm, let me see", ""),
    "no closing tag later": ("Hi\n<think>Hm", "Hi\n"),
    "nothing in it": ("<think>\n\n</think>\n\nHi", "Hi"),
    "white space before": ("  \n<think>Hm</think> Hi", "Hi"),
    "magistral": ("[THINK]Hm[/THINK]Hi", "Hi"),
    "kimi": ("◁think▷Hm◁/think▷Hi", "Hi"),
    "seed": ("<seed:think>Hm</seed:think>Hi", "Hi"),
    "open thinker": ("<|begin_of_thought|>Hm<|end_of_thought|>Hi", "Hi"),
    "harmony": (
        "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>Hi<|return|>",
        "Hi",
    ),
    "harmony without an answer": ("<|channel|>analysis<|message|>Hm", ""),
    "bars": ("<|thinking|>Hm<|/thinking|>Hi", "Hi"),
    "wide bars": ("<｜think｜>Hm<｜/think｜>Hi", "Hi"),
    "gemma": ("<unused94>thought\nHm<unused95>Hi", "Hi"),
    "cohere": ("<|START_THINKING|>Hm<|END_THINKING|><|START_RESPONSE|>Hi<|END_RESPONSE|>", "Hi"),
    "open thinker, with marks around the answer": (
        "<|begin_of_thought|>Hm<|end_of_thought|>\n<|begin_of_solution|>Hi<|end_of_solution|>",
        "Hi",
    ),
    "marks around the answer in reasoning": ("<think><|START_RESPONSE|>no<|END_RESPONSE|></think>Hi", "Hi"),
    "attributes": ('<think budget="3">Hm</think>Hi', "Hi"),
    "an empty tag": ("<think/>Hi", "Hi"),
    "a model's own name": ("<longcat_think>Hm</longcat_think>Hi", "Hi"),
    "the name of the field": ("<reasoning_content>Hm</reasoning_content>Hi", "Hi"),
    "a monologue": ("<inner_monologue>Hm</inner_monologue>Hi", "Hi"),
    "seed, its budget": ("<seed:cot_budget_reflect>5</seed:cot_budget_reflect>Hi", "Hi"),
    "gemma, control": ("<ctrl94>thought\nHm<ctrl95>Hi", "Hi"),
    "gemma, a channel": ("<|channel>thought\nHm<channel|>Hi", "Hi"),
    "apertus": ("<|inner_prefix|>Hm<|inner_suffix|>Hi", "Hi"),
    "a web page": ('<details type="reasoning" done="true"><summary>Thought</summary>Hm</details>Hi', "Hi"),
    "a web page that does not end": ('<details type="reasoning"><summary>Thought</summary>Hm', ""),
    "details that are said": (
        "<details><summary>More</summary>Hm</details>",
        "<details><summary>More</summary>Hm</details>",
    ),
    "apriel": ("Here are my reasoning steps:\nHm\n[BEGIN FINAL RESPONSE]\nHi\n[END FINAL RESPONSE]", "Hi\n"),
    "harmony, json": ("<|start|>assistant<|channel|>final<|constrain|>json<|message|>Hi<|return|>", "Hi"),
    "harmony without its marks": ("analysisThe user greets.assistantfinalHi", "Hi"),
    "harmony without its marks, on lines": ("analysis\nThe user greets.\n\nassistantfinal\n\nHi", "Hi"),
    "an analysis that is said": ("analysis shows nothing", "analysis shows nothing"),
    "a box": ("<think>Hm</think><|begin_of_box|>Hi<|end_of_box|>", "Hi"),
    "a beginning of Llama 2": ("<s>Hi</s>", "Hi"),
    "a beginning of Gemma": ("<bos>Hi<eos>", "Hi"),
    "a beginning of DeepSeek": ("<｜Assistant｜><think>Hm</think>Hi", "Hi"),
    "a beginning of Phi": ("<|assistant|>\nHi<|end|>", "Hi"),
    "bars, thought": ("<|thought|>Hm<|/thought|>Hi", "Hi"),
    "bars, from a start to an end": ("<|think_start|>Hm<|think_end|>Hi", "Hi"),
    "bars, begin and end": ("<|begin_of_reasoning|>Hm<|end_of_reasoning|>Hi", "Hi"),
    "bars, to an end": ("<|think|>Hm<|end_think|>Hi", "Hi"),
    "a process": ("<thinking_process>Hm</thinking_process>Hi", "Hi"),
    "a chain": ("<chain_of_thought>Hm</chain_of_thought>Hi", "Hi"),
    "inner thoughts": ("<inner_thoughts>Hm</inner_thoughts>Hi", "Hi"),
    "a name behind": ("<think:opensource>Hm</think:opensource>Hi", "Hi"),
    "hunyuan": ("<think_never_used_51bc>Hm</think_never_used_51bc>Hi", "Hi"),
    "harmony without a channel": (
        "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|message|>Hi<|return|>",
        "Hi",
    ),
    "a beginning of Granite": ("<|start_of_role|>assistant<|end_of_role|>Hi<|end_of_text|>", "Hi"),
    "a beginning of Phi-4": ("<|im_start|>assistant<|im_sep|>Hi<|im_end|>", "Hi"),
    "an end of EXAONE": ("Hi<|endofturn|>", "Hi"),
    "an end of Command": ("Hi<|END_OF_TURN_TOKEN|>", "Hi"),
    "the next turn of GLM": ("Hi<|user|>\nAnd then?", "Hi"),
    "the next turn of DeepSeek": ("Hi<｜User｜>And then?", "Hi"),
    "the next turn of Mistral": ("Hi</s><s>[INST] And then?", "Hi"),
    "an end of a later Gemma": ("<|turn>model\nHi<turn|>", "Hi"),
    "tags of another kind": ("<b>Hi</b> <cotton>x</cotton>", "<b>Hi</b> <cotton>x</cotton>"),
    "struck out": ("It costs <s>$5</s> $4", "It costs <s>$5</s> $4"),
    "none": ("Hi", "Hi"),
    "none, but brackets": ("think[hm] < 3 > 2 [think] I think>so", "think[hm] < 3 > 2 [think] I think>so"),
    "a tag that is spoken of": ("Use the <think> tag", "Use the <think> tag"),
}


@pytest.mark.parametrize("text, answer", REASONED.values(), ids=REASONED)
def test_reasoning_is_not_the_answer(text, answer):
    tokens = tuple((character, -float(place)) for place, character in enumerate(text))
    read = without_reasoning(Completion(text=text, logprobs=tokens))
    assert read.text == answer == "".join(token for token, _ in read.logprobs)
    assert dict(read.logprobs).items() <= {(c, -float(p)) for p, c in enumerate(text)} | set()
    assert without_reasoning(Completion(text=text)).text == answer


@settings(max_examples=100)
@given(
    st.lists(
        st.sampled_from(["<think>", "</think>", "\n", " ", "Hi", "<", "[THINK]", "[/THINK]", "<|channel|>", "x"]),
        max_size=12,
    ).map("".join),
    st.integers(1, 5),
)
def test_reasoning_in_any_text(text, width):
    tokens = tuple((text[start : start + width], -1.0) for start in range(0, len(text), width))
    read = without_reasoning(Completion(text=text, logprobs=tokens))
    assert "".join(token for token, _ in read.logprobs) == read.text
    assert without_reasoning(read).text in (read.text, without_reasoning(read).text)
    assert without_reasoning(Completion(text=f"<think>{text.replace('think', '')}</think>Hi")).text.endswith("Hi")


THOUGHT = "<think>Perhaps\nMove: d2d4\nAction: finish[no]\n###STOP###\n" + '{"name": "find", "arguments": {}}</think>\n'
USERS = {
    "chess policy": (lambda model: ChatPolicy(model, "chess"), CHESS, "Move: e2e4", "e2e4"),
    "retail policy": (lambda model: ChatPolicy(model, "retail"), SHOP, "Hello", "Hello"),
    "react": (lambda model: ReActPolicy(model), START, "Action: search[Tallow]", "search[Tallow]"),
    "customer": (lambda model: ChatCustomer(model), CustomerQuery(("Hi!",), TASK, 0), "Yes.", "Yes."),
}


@pytest.fixture(params=list(USERS))
def user(request):
    return USERS[request.param]


def test_every_user_of_a_model_reads_the_answer_alone(user):
    make, query, answer, response = user
    assert make(Script(THOUGHT + answer))(query, CancelToken()) == response
    with serving(said(THOUGHT + answer)) as (_, url), ChatModel("m", base_url=url) as model:
        policy = make(model)
        assert policy(query) == response

        async def on_loop():
            try:
                return await policy.acall(query)
            finally:
                await model.aclose()

        assert asyncio.run(on_loop()) == response


def test_a_guesser_reads_the_answer_alone():
    guesser = ChatGuesser(Script(THOUGHT + "e2e4\nd2d4"), "chess")
    assert [guess.response for guess in guesser.guess(Call("policy", CHESS), 3)] == ["e2e4", "d2d4"]
    tokens = (("<think>d2", -3.0), ("d4</think>\n", -3.0), ("e2", -0.5), ("e4", -0.5))
    script = Script(Completion(text="<think>d2d4</think>\ne2e4", logprobs=tokens))
    (guess,) = ChatGuesser(script, "chess").guess(Call("policy", CHESS), 3)
    assert guess.response == "e2e4" and guess.probability == pytest.approx(0.3679, abs=1e-3)


# -- answers that were cut -----------------------------------------------------------------------------------

REASONS = ["length", "content_filter", "LENGTH", "max_tokens", "model_length", "MAX_TOKENS", "SAFETY", "error", "abort"]
REASONS += ["insufficient_system_resource"]


def cut(text: str, reason: str) -> Completion:
    return Completion(text=text, finish_reason=reason)


@pytest.mark.parametrize("reason", REASONS)
def test_a_cut_answer_is_prompted_for_again_and_then_an_error(user, reason):
    make, query, answer, response = user
    script = Script(cut(answer, reason), answer)
    assert make(script)(query, CancelToken()) == response
    first, second = script.asked
    assert list(second.messages) == list(first.messages)
    if reason.lower() not in ("content_filter", "safety", "error", "abort", "insufficient_system_resource"):
        assert second.max_tokens is not None and second.max_tokens > (first.max_tokens or 0)
    script = Script(cut(answer, reason))
    with pytest.raises(HandlerFailed, match=f"cut twice .{reason}"):
        make(script)(query, CancelToken())
    assert len(script.asked) == 2

    async def model(request):
        return cut(answer, reason)

    with pytest.raises(HandlerFailed, match="cut twice"):
        asyncio.run(make(model).acall(query))


def test_a_tool_call_that_was_cut_after_its_name_is_not_made():
    body = sse(delta(tool_calls=[piece("find", "", index=0, id="a")]), delta("length"))
    with serving(body, said("Hello")) as (server, url), ChatModel("m", base_url=url) as model:
        assert ChatPolicy(model, "retail")(SHOP) == "Hello"
    assert "max_tokens" not in server.requests[0] and server.requests[1]["max_tokens"] > 0


def test_more_room_is_more_than_the_models_own_limit():
    with serving(said("Mov", "length"), said("Move: e2e4")) as (server, url):
        with ChatModel("m", base_url=url, options={"max_tokens": 16, "seed": 1}) as model:
            assert ChatPolicy(model, "chess")(CHESS) == "e2e4"
    first, second = server.requests
    assert (first["max_tokens"], first["seed"]) == (16, 1) and second["max_tokens"] > 16


@pytest.mark.parametrize("reason", REASONS)
def test_a_guesser_fails_then_and_says_why(reason):
    script = Script(cut("e2e4", reason))
    guesser = ChatGuesser(script, "chess")
    for each in (guesser, UnionGuesser([guesser])):
        with pytest.raises(HandlerFailed, match=f"cut twice .{reason}"):
            each.guess(Call("policy", CHESS), 3)
    assert len(script.asked) == 4 and guesser.logprobs
    script.answers[:] = ["e2e4"]
    assert [guess.response for guess in guesser.guess(Call("policy", CHESS), 3)] == ["e2e4"]


# -- parameters ----------------------------------------------------------------------------------------------

MAX = "max_completion_tokens"
EXTRA = b'{"detail":[{"loc":["body","max_tokens"],"msg":"Extra"}]}'
NEW = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
PARAMETERS = {
    "max_tokens, as OpenAI says": ("max_tokens", refusal(NEW, param="max_tokens"), MAX),
    "max_tokens, in words alone": ("max_tokens", refusal(NEW), MAX),
    "max_completion_tokens is required": ("max_tokens", refusal("max_completion_tokens is required"), MAX),
    "max_tokens, status 422": ("max_tokens", (422, EXTRA), MAX),
    "max_tokens, as text": ("max_tokens", (400, b"unknown field max_tokens"), MAX),
    "stream_options": ("stream_options", refusal("Unrecognized request argument: stream_options"), None),
    "stream_options, by param": ("stream_options", refusal("no", param="stream_options.include_usage"), None),
    "include_usage": ("stream_options", refusal("unknown field include_usage"), None),
    "stream_options, status 422": ("stream_options", (422, b'{"detail":[{"loc":["body","stream_options"]}]}'), None),
    "logprobs": ("logprobs", refusal("logprobs are not supported by this model"), None),
}


def refusing(parameter: str, answer: Any) -> Any:
    return lambda request: answer if parameter in request else said("hi")


@pytest.mark.parametrize("parameter, answer, other", PARAMETERS.values(), ids=PARAMETERS)
def test_a_refused_parameter_is_sent_in_the_other_form_and_remembered(parameter, answer, other):
    request = asking(max_tokens=50, logprobs=True)
    with serving(refusing(parameter, answer)) as (server, url), ChatModel("m", base_url=url) as model:
        assert [model(request).text for _ in range(3)] == ["hi"] * 3
        assert asyncio.run(_acall(model)).text == "hi"
    assert [parameter in sent for sent in server.requests] == [True, False, False, False, False]
    if other is not None:
        assert [sent.get(other) for sent in server.requests] == [None, 50, 50, 50, None]


@pytest.mark.parametrize(
    "name, options", [("temperature", {"temperature": 0.5}), ("response_format", {"output": "json"})]
)
def test_what_changes_answers_is_told_once(name, options):
    with serving(refusing(name, refusal(f"{name} is not supported", param=name))) as (server, url):
        with ChatModel("m", base_url=url) as model:
            with pytest.warns(UserWarning, match=f"refuses {name}, so {name} is not sent any more"):
                assert model(asking(**options)).text == "hi"
            assert model(asking(**options)).text == "hi"
    assert [name in sent for sent in server.requests] == [True, False, False]


def test_several_parameters_at_once_and_one_after_the_other():
    def answer(request: Any) -> Any:
        for name in ("max_tokens", "stream_options"):
            if name in request:
                return refusal(f"{name} is not supported", param=name)
        return said("hi")

    with serving(answer) as (server, url), ChatModel("m", base_url=url) as model:
        assert [model(asking(max_tokens=9)).text for _ in range(2)] == ["hi", "hi"]
    assert len(server.requests) == 4 and server.requests[-1]["max_completion_tokens"] == 9
    both = refusal("max_tokens and stream_options are unknown")
    with serving(both, said("hi")) as (server, url), ChatModel("m", base_url=url) as model:
        assert model(asking(max_tokens=9)).text == "hi"
    assert len(server.requests) == 2


def test_the_name_in_the_options_is_the_one_that_is_sent_first():
    with serving(said("hi")) as (server, url):
        with ChatModel("m", base_url=url, options={"max_completion_tokens": 70}) as model:
            model(asking())
            model(asking(max_tokens=300))
    assert [sent.get("max_completion_tokens") for sent in server.requests] == [70, 300]
    assert not any("max_tokens" in sent for sent in server.requests)


@pytest.mark.parametrize(
    "answer, attempts",
    [
        (refusal("max_tokens is too large: 50"), 2),
        (refusal("the messages are too long", param="messages"), 1),
        (refusal("max_tokens?", status=404), 1),
        (refusal("no"), 1),
    ],
)
def test_other_refusals_are_errors(answer, attempts):
    with serving(answer) as (server, url), ChatModel("m", base_url=url, max_retries=0) as model:
        message = json.loads(answer[1])["error"]["message"].replace("?", r"\?")
        for _ in range(2):
            with pytest.raises(HandlerFailed, match=message):
                model(asking(max_tokens=50))
    assert len(server.requests) == 2 * attempts and "max_tokens" in server.requests[attempts]


# -- prices --------------------------------------------------------------------------------------------------

UNKNOWN = ["gpt-5-other", "llama3", "", "gpt-5-mini-x", "openai/gpt-5", "qwen3", "gpt-5-2025", "m"]


@pytest.mark.parametrize("name", UNKNOWN)
def test_the_price_of_a_model_that_is_not_listed_is_unknown(name):
    assert price_of(name) is None and price_of(name, {}) is None
    assert price_of(name, {name: Price(0.0, 0.0)}) == Price(0.0, 0.0)


def test_the_price_of_a_listed_model():
    price, dated = price_of("gpt-5"), price_of("gpt-5-2025-08-07")
    assert price is not None and dated is not None
    asked = (100_000, 10_000, 50_000)
    assert price.usage(*asked) == dated.usage(*asked) and price.usage(*asked).money > 0
    assert price.usage(100_000, 10_000, 50_000).money < price.usage(100_000, 10_000).money  # what was cached costs less
    assert price_of("gpt-5", {"gpt-5": Price(1.0, 2.0)}) == Price(1.0, 2.0)


def test_a_long_request_may_cost_more_a_token():
    price = ListPrice("gpt-5.4")
    assert price.usage(1_000_000, 0).money > 10 * price.usage(100_000, 0).money


@pytest.mark.parametrize(
    ("base_url", "is_known"),
    [
        ("https://api.openai.com/v1", True),
        ("http://127.0.0.1:9/v1", False),
        ("https://gateway.example.org/v1", False),
        ("https://api.anthropic.com/v1", False),
    ],
)
def test_prices_are_those_of_the_server_that_is_asked(base_url, is_known, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", base_url)
    for model in (ChatModel("gpt-5"), ChatModel("gpt-5", base_url=base_url)):
        with model:
            assert (model.price is not None) == is_known and (model.unpriced is None) == is_known


def test_an_unknown_price_is_not_free():
    usage = usage_of(None, 300, 200) + usage_of(Price(1000.0, 0.0), 100, 0)
    assert (usage.tokens, usage.money, usage.unpriced) == (600, 0.1, 500)
    assert usage.money_text == "0.1 and the unknown price of 500 tokens"
    assert usage_of(None, 1000, 200).money_text == "the unknown price of 1,200 tokens"
    assert Usage(3, 4).money_text == "0"


MONEY = [Limits(max_money=1.0), Limits(money_per_s=0.1)]


@pytest.mark.parametrize("limits", MONEY)
@pytest.mark.parametrize(
    "decorate",
    [
        lambda model: ChatPolicy(model, "chess"),
        lambda model: ChatPolicy(with_latency(model, 0.1), "chess"),
        lambda model: with_latency(ChatPolicy(retry(model, attempts=2), "chess"), 0.1),
        lambda model: ChatPolicy(model, "chess").__call__,
        lambda model: ChatPolicy(retry(model.acall, attempts=2), "chess"),
    ],
)
def test_a_limit_on_money_with_an_unknown_price_is_refused(limits, decorate):
    with ChatModel("llama3", base_url="http://127.0.0.1:9/v1") as model:
        with pytest.raises(InvalidConfiguration, match=r"price of the model 'llama3' is unknown.*prices=\{'llama3'"):
            SpeculativeWrapper(gym.make("SpecChess-v0", opponent="builtin"), decorate(model), limits=limits)
        SpeculativeWrapper(gym.make("SpecChess-v0", opponent="builtin"), ChatPolicy(model, "chess")).close()
    with ChatModel("llama3", base_url="http://127.0.0.1:9/v1", prices={"llama3": Price(0.0, 0.0)}) as free:
        SpeculativeWrapper(
            gym.make("SpecChess-v0", opponent="builtin"), ChatPolicy(free, "chess"), limits=limits
        ).close()


@pytest.mark.parametrize("limits", MONEY)
def test_so_is_an_opponent_or_a_guesser_with_an_unknown_price(limits):
    with ChatModel("llama3", base_url="http://127.0.0.1:9/v1") as model:
        for guesser in (ChatGuesser(model, "chess"), UnionGuesser([ChatGuesser(model, "chess")])):
            with pytest.raises(InvalidConfiguration, match="'llama3' is unknown"):
                SpeculativeWrapper(
                    gym.make("SpecChess-v0", opponent="builtin"), guessers={"opponent": guesser}, limits=limits
                )
        with pytest.raises(InvalidConfiguration, match="'llama3' is unknown"):
            SpeculativeWrapper(gym.make("SpecChess-v0", opponent=ChatPolicy(model, "chess")), limits=limits)


@pytest.mark.parametrize(
    ("name", "is_own"),
    [
        ("mine", True),
        ("mine-2026-01-31", True),
        ("mine-20260131", True),
        ("mine@20260131", True),
        ("mine-latest", False),
        ("mine-mini", False),
        ("mine-2026", False),
        ("Mine", False),
        ("provider/mine", False),  # another provider may have another price
        ("mine:free", False),
        ("ft:mine:me", False),
        ("", False),
    ],
)
def test_an_own_price_is_that_of_the_model_and_its_dated_versions(name, is_own):
    own = Price(1.0, 2.0)
    assert price_of(name, {"mine": own}) == (own if is_own else None)


@pytest.mark.parametrize("value", ["1", b"1", True, float("nan"), float("inf"), -1, 10**400, [], [1], {}, 1j])
def test_what_is_no_price_is_refused(value: Any):
    with pytest.raises(InvalidConfiguration, match="tokens_in of a price must be finite and at least 0"):
        Price(value, 1.0)
