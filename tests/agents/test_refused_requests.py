"""Requests in forms that some servers refuse: each is sent once more in the form that the server takes."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs.agents import ChatPolicy
from spec_envs.agents.llm import ChatModel, ChatRequest, Completion
from spec_envs.agents.llm.dialogues import FORMS
from spec_envs.errors import HandlerFailed
from tests.agents.fixed_server import refusal, said, serving
from tests.agents.scripted import Script
from tests.agents.test_chat_policy import SHOP

CALL = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
DIALOGUE: list[dict[str, Any]] = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": ""},
    {"role": "assistant", "content": ""},
    {"role": "user", "content": "Go on"},
]
REQUEST = ChatRequest(messages=DIALOGUE, tools=json.loads(SHOP["tools"]), logprobs=True, output="json", max_tokens=50)
WHOLE = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}


def error(body: Any, status: int = 400) -> tuple[int, bytes]:
    return status, json.dumps(body).encode()


def has_system(request: Any) -> bool:
    return bool(request["messages"][0]["role"] == "system")


def lacks_text(request: Any) -> bool:
    return not all(message["content"] for message in request["messages"])


def streams(request: Any) -> bool:
    return bool(request["stream"])


def lacks_null(request: Any) -> bool:
    return any(message["content"] is None for message in request["messages"])


def long_ids(request: Any) -> bool:
    return any(message.get("tool_call_id") == "call_1" for message in request["messages"])


NO_SYSTEM = "Unsupported value: 'messages[0].role' does not support 'system' with this model."
ALTERNATE = "Conversation roles must alternate user/assistant/user/assistant/..."
SUCCESSIVE = "m does not support successive user or assistant messages (messages[1] and messages[2] in your input)."
STRING = {
    "detail": [{"loc": ["body", "messages", 2, "content"], "msg": "Input should be a valid string", "input": None}]
}
NULL = {"detail": [{"loc": ["body", "messages", 2, "content"], "msg": "none is not an allowed value"}]}
NINE = "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9."
REPEATED = {
    "detail": [{"loc": ["body", "logprobs"], "msg": "Extra inputs", "input": {"stream": True, "max_tokens": 5}}]
}
FIELD = 'Invalid JSON payload received. Unknown name "stream_options": Cannot find field.'
#: What the server says, when it says so, and what is then sent in another form.
REFUSED: dict[str, tuple[Any, Any, set[str]]] = {
    "a system's message, as OpenAI says": (refusal(NO_SYSTEM, param="messages[0].role"), has_system, {"messages"}),
    "a system's message, by vLLM": (error({"message": "System role not supported"}), has_system, {"messages"}),
    "a system's message, by Gemini": (
        error([{"error": {"message": "Developer instruction is not enabled for models/gemma-3-27b-it"}}]),
        has_system,
        {"messages"},
    ),
    "a system's message, by llama.cpp": (
        error({"error": {"message": "jinja: System role not supported at row 1"}}, 500),
        has_system,
        {"messages"},
    ),
    "a system's message, by LM Studio": (
        error({"error": "Error rendering prompt with jinja template: Only user and assistant roles are supported!"}),
        has_system,
        {"messages"},
    ),
    "roles out of turn": (error({"message": ALTERNATE}), has_system, {"messages"}),
    "roles out of turn, by TGI": (error({"error": f"Template error: {ALTERNATE}"}, 422), has_system, {"messages"}),
    "roles out of turn, by DeepSeek": (refusal(SUCCESSIVE), has_system, {"messages"}),
    "null as the text": (error(NULL, 422), lacks_null, {"messages"}),
    "no text, by FastAPI": (error(STRING, 422), lacks_text, {"messages"}),
    "no text, by Mistral": (
        error({"message": "Assistant message must have either content or tool_calls, but not none."}),
        lacks_text,
        {"messages"},
    ),
    "no text, by Anthropic": (refusal("messages: text content blocks must be non-empty"), lacks_text, {"messages"}),
    "ids of tool calls, by Mistral": (error({"message": NINE}), long_ids, {"messages"}),
    "a stream": (refusal("Your organization must be verified", param="stream"), streams, {"stream", "stream_options"}),
    "a stream with tools": (
        error({"error": {"message": "Cannot use tools param with stream"}}, 500),
        streams,
        {"stream", "stream_options"},
    ),
    "a stream of JSON": (
        refusal("response_format` does not support streaming"),
        streams,
        {"stream", "stream_options"},
    ),
    "stream_options, by Gemini": (
        error([{"error": {"message": FIELD}}]),
        lambda request: "stream_options" in request,
        {"stream_options"},
    ),
    "a parameter as a field, by Django": (
        error({"logprobs": ["Unknown field."]}),
        lambda request: "logprobs" in request,
        {"logprobs"},
    ),
    "one of the parameters that are repeated": (
        error(REPEATED, 422),
        lambda request: "logprobs" in request,
        {"logprobs"},
    ),
    "logprobs, status 501": (
        error({"error": {"message": "logprobs not implemented"}}, 501),
        lambda request: "logprobs" in request,
        {"logprobs"},
    ),
}


@pytest.mark.parametrize(("answer", "refuses", "changed"), REFUSED.values(), ids=REFUSED)
@pytest.mark.filterwarnings("ignore:the server of 'm' refuses system messages")
def test_a_refused_form_is_changed_once_and_remembered(answer, refuses, changed):
    def server_of(request: Any) -> Any:
        return answer if refuses(request) else said("hi") if request["stream"] else error(WHOLE, 200)

    with serving(server_of) as (server, url), ChatModel("m", base_url=url, max_retries=0) as model:
        assert [model(REQUEST).text for _ in range(3)] == ["hi"] * 3
    first, *others = server.requests
    assert len(others) == 3 and others[0] == others[1] == others[2]
    assert {key for key in first | others[0] if first.get(key) != others[0].get(key)} == changed
    spoken = "".join(message["content"] or "" for message in others[0]["messages"])
    assert "Be kind." in spoken and "Hi" in spoken and "Go on" in spoken


def test_a_change_of_the_system_message_is_told_once():
    answer = error({"message": "System role not supported"})
    with serving(lambda request: answer if has_system(request) else said("hi")) as (_, url):
        with ChatModel("m", base_url=url) as model:
            with pytest.warns(
                UserWarning, match="the server of 'm' refuses system messages, or two messages of one role"
            ):
                model(REQUEST)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                model(REQUEST)


@pytest.mark.parametrize(
    "answer",
    [
        error({"error": {"message": "No endpoints found that support tool use", "code": 404}}, 404),
        refusal("m does not support tools"),
        error({"error": {"message": "The model `m` does not exist"}}, 404),
        refusal("The response was filtered due to the prompt triggering the content management policy."),
        error({"message": "This model's maximum context length is 4096 tokens. Please reduce the messages."}),
        refusal("Your system is not allowed here", status=403),
    ],
)
def test_what_no_other_form_helps_is_told_at_once(answer):
    with serving(answer) as (server, url), ChatModel("m", base_url=url, max_retries=0) as model:
        with pytest.raises(HandlerFailed, match="gave no answer"):
            model(REQUEST)
    assert len(server.requests) == 1


ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool"])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda role, content, call: (
                {"role": role, "content": content}
                | ({"tool_calls": [{**CALL, "id": call}]} if call and role == "assistant" else {})
                | ({"tool_call_id": call or "x"} if role == "tool" else {})
            ),
            ROLES,
            st.sampled_from([None, "", "a", "b", [{"type": "text", "text": "c"}]]),
            st.sampled_from([None, "call_1", "call_2"]),
        ),
        max_size=7,
    )
)
def test_another_form_says_the_same(dialogue):
    for name, form in FORMS.items():
        made = form.rewrite(dialogue)
        assert form.rewrite(made) == made, name
        assert sum(len(each.get("tool_calls", ())) for each in made) == sum("tool_calls" in each for each in dialogue)
        for letter in "abc":
            assert (letter in json.dumps([each["content"] for each in made])) == (
                letter in json.dumps([each["content"] for each in dialogue])
            )


CUT = ["refusal", "pause_turn", "model_context_window_exceeded", "ERROR_TOXIC", "ERROR_LIMIT", "contextLengthReached"]
CUT += ["function_call_filter: MALFORMED_FUNCTION_CALL", "content_filter: PROHIBITED_CONTENT", "RECITATION", "SPII"]
CUT += ["BLOCKLIST", "guardrail_intervened", "content_filtered", "sensitive", "network_error", "OTHER", "LANGUAGE"]
CUT += ["maxPredictedTokensReached", "REASON_MAX_LEN", "time_limit", "token_limit", "cancelled", "userStopped", "load"]
WHOLE_REASONS = ["stop", "STOP", "end_turn", "eos", "eos_token", "stop_sequence", "COMPLETE", "tool_calls", "tool_use"]
WHOLE_REASONS += ["function_call", "TOOL_CALL", "FINISH", "normal", "endoftext", "eosFound", "completed", "REASON_STOP"]


@pytest.mark.parametrize("reason", [*CUT, *WHOLE_REASONS])
def test_every_way_to_say_that_an_answer_was_cut(reason):
    script = Script(Completion(text="I have cancelled your or", finish_reason=reason), "Hello")
    expected = "Hello" if reason in CUT else "I have cancelled your or"
    assert ChatPolicy(script, "retail")(SHOP) == expected


@pytest.mark.parametrize("reason", ["null", "None", "NOT_FINISHED", "FINISH_REASON_UNSPECIFIED"])
def test_a_word_for_no_reason_is_none(reason):
    pieces = [{"choices": [{"index": 0, "delta": {"content": "h"}, "finish_reason": reason}]}] * 2
    body = "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces).encode()
    with serving(body) as (_, url), ChatModel("m", base_url=url, max_retries=0) as model:
        with pytest.raises(HandlerFailed, match="the answer ended before it was complete"):
            model(REQUEST)
