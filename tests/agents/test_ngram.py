"""``NGramGuesser``, and ``ChatGuesser``'s prompt for tools."""

from __future__ import annotations

import json

import pytest

from spec_envs import Call
from spec_envs.agents import ChatGuesser, NGramGuesser, PatternGuesser
from spec_envs.agents.llm import Completion
from spec_envs.conversation import AssistantMessage, Conversation, Event, Tool, ToolCall, ToolResult, UserMessage
from spec_envs.errors import InvalidConfiguration


def after(*calls):
    events: list[Event] = []
    for call in calls:
        events += [ToolCall(call, {}), ToolResult("ok")]
    return Call("policy", Conversation(tuple(events)))


def action(name):
    return {"name": name, "arguments": {}}


def learn(guesser, *names):
    for position, name in enumerate(names):
        guesser.observe(after(*names[:position]), action(name))
    guesser.observe(after(*names), "done")


def test_the_longest_context_counts_most_and_doubt_remains():
    guesser = NGramGuesser(order=2)
    assert guesser.guess(after(), 3) == []
    for _ in range(9):
        learn(guesser, "a", "b", "c")
        learn(guesser, "x", "b", "d")
    assert [guess.response["name"] for guess in guesser.guess(after("a", "b"), 1)] == ["c"]
    assert [guess.response["name"] for guess in guesser.guess(after("x", "b"), 1)] == ["d"]
    best, second, *_ = guesser.guess(after("a", "b"), 5)
    assert 0.8 < best.probability < 1.0 and second.probability < 0.2
    guesses = guesser.guess(after("new", "b"), 2)
    assert {guess.response["name"] for guess in guesses} == {"c", "d"}
    assert sum(guess.probability for guess in guesser.guess(after("a", "b"), 99)) <= 1.0


def test_messages_take_their_share():
    guesser = NGramGuesser()
    learn(guesser, "a")
    learn(guesser, "a", "b")
    (guess, *_) = guesser.guess(after("a"), 3)
    assert guess.response == action("b") and guess.probability < 0.6


def test_memory_is_bounded_and_saved(tmp_path):
    guesser = NGramGuesser(order=1, capacity=3)
    learn(guesser, "a", "b", "c", "d")
    assert guesser.guess(after("a"), 1)[0].probability < 0.5  # only what comes in general is left
    guesser.save(tmp_path / "learned.json")
    again = NGramGuesser.load(tmp_path / "learned.json")
    assert again.guess(after("c"), 3) == guesser.guess(after("c"), 3) != []
    for text in ("{}", "[]", "no JSON", '{"version": 1}', '{"version": 1, "order": 1, "capacity": 1, "counts": [[1]]}'):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(InvalidConfiguration, match="holds no NGramGuesser"):
            NGramGuesser.load(tmp_path / "other.json")
        with pytest.raises(InvalidConfiguration, match="PatternGuesser"):
            PatternGuesser.load(tmp_path / "other.json")
    with pytest.raises(InvalidConfiguration, match="order must be an integer of at least 0"):
        NGramGuesser(order=-1)


def test_chat_models_guess_calls_of_the_tools_that_there_are():
    requests = []

    def model(request):
        requests.append(request.messages[0]["content"])
        return Completion(text='{"name": "other"}\n{"name": "read", "arguments": {"id": 1}}\n{"name": "read"}')

    events = (UserMessage("Hi"), ToolCall("read", {"id": 0}), ToolResult({"next": 1}), AssistantMessage("Well"))
    call = Call("policy", Conversation(events, (Tool("read", "Read it"),)))
    guesses = ChatGuesser(model, "tools", logprobs=False).guess(call, 2)
    assert [guess.response for guess in guesses] == [
        {"name": "read", "arguments": {"id": 1}},
        {"name": "read", "arguments": {}},
    ]
    for part in ("Read it", 'User: "Hi"', json.dumps({"next": 1}), 'Agent: "Well"', "Name the 2 most likely next"):
        assert part in requests[0]
    assert ChatGuesser(model, "tools").guess(Call("policy", "something else"), 2) == []
