"""Answers that are left where they have said all: the action is that of the whole text, and servers see it."""

from __future__ import annotations

import asyncio
import dataclasses

import gymnasium as gym
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import spec_envs  # noqa: F401
from spec_envs import CancelToken, Usage
from spec_envs.agents import ChatPolicy, ReActPolicy, SearchGuesser
from spec_envs.agents.llm import ChatModel, ChatRequest, Completion
from spec_envs.agents.llm.endings import Listener
from spec_envs.agents.llm.reasoning import lacks_opening_mark
from spec_envs.agents.llm.streamed_answer import Answer
from spec_envs.benchmarks.serving import Fault, ModelServer, Pace
from spec_envs.benchmarks.serving.models import SearchModel
from spec_envs.benchmarks.serving.wire import tokens_of
from spec_envs.errors import HandlerFailed
from spec_envs.search.questions import Question
from spec_envs.wrappers import SpeculativeWrapper
from tests.agents.fixed_server import delta
from tests.agents.scripted import Script
from tests.agents.test_chat_policy import CHESS, SHOP
from tests.agents.test_react import START

REACT = "Thought: It is a novel.\nAction: search[Salt]"
POLICIES = {
    "react": (lambda model: ReActPolicy(model, keep_thoughts=True), START),
    "chess": (lambda model: ChatPolicy(model, "chess"), CHESS),
    "retail": (lambda model: ChatPolicy(model, "retail"), SHOP),
}


def heard(request: ChatRequest, chunks, *, to_its_end: bool) -> Completion:
    """The answer that a model gives that sends ``chunks``, as ``ChatModel`` hears it."""

    answer, listener = Answer(request), Listener(request, may_leave=not to_its_end)
    for chunk in chunks:
        answer.add(chunk, 0.0)
        if listener.goes_on(answer):
            answer.leave()
            break
    return answer.completion(Usage())


def decided(name, chunks, *, to_its_end=False):
    """What a policy decides, ``None`` if the answer cannot be used; and the answer."""
    make, observation = POLICIES[name]
    answers = []

    def model(request):
        answers.append(heard(request, chunks, to_its_end=to_its_end))
        return answers[-1]

    try:
        return make(model)(observation), answers[0]
    except HandlerFailed:
        return None, answers[0]


MARKS = ["<think>", "</think>", "<thi", "nk>", "[THINK]", "[/THINK]", "<|channel|>", "<thought ", ">", "<", "◁think▷"]
WORDS = {
    "react": ["Thought:", "Action:", "Action", ": ", "search", "finish[", "[", "]", "Salt", "\n", " ", "*", *MARKS],
    "chess": ["Move:", "\n", " ", "e2", "e4", "d2d4", "->", "Nf3", "Nf3 and", "\r", "**", ", ", "to ", *MARKS],
}
BEGINNINGS = ["", "\nAction: search[Salt]", "Move: d2d4", "<think>a</think>\nMove: d2d4\n", "x <think> ", "<think>"]


@pytest.mark.parametrize("name", list(WORDS))
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_the_action_is_that_of_the_whole_text(name, data):
    begin = data.draw(st.sampled_from(BEGINNINGS))
    pieces = [begin, *data.draw(st.lists(st.sampled_from(WORDS[name]) | st.text(max_size=2), max_size=14))]
    text = "".join(pieces)
    if lacks_opening_mark(text):  # answers of such a model are heard to their end
        return
    chunks = [*(delta(content=piece) for piece in pieces), delta(data.draw(st.sampled_from(["stop", "length"])))]
    (whole, _), (action, answer) = (decided(name, chunks, to_its_end=each) for each in (True, False))
    assert action == whole and text.startswith(answer.text)


CALL = {"index": 0, "function": {"name": "find", "arguments": '{"first": "A"}'}}


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "index": st.sampled_from([0, 1, None]),
                "id": st.sampled_from(["a", "b", None]),
                "function": st.fixed_dictionaries(
                    {},
                    optional={
                        "name": st.sampled_from(["find", "fi", "nd", "other"]),
                        "arguments": st.sampled_from(['{"first": "A"}', "{}", '{"first"', ': "B"}', " ", "}", "[1]"]),
                    },
                ),
            },
        ),
        max_size=6,
    ),
    st.sampled_from(["tool_calls", "length"]),
)
@example([CALL, CALL], "tool_calls")
@example([CALL, {"index": 0, "function": {"arguments": '{"first": "A"}'}}], "tool_calls")
@example([{**CALL, "index": 1}, {**CALL, "function": {"name": "find", "arguments": '{"first": "B"}'}}], "tool_calls")
@example([{**CALL, "index": None, "id": "a"}, {"index": 3, "id": "a"}, {**CALL, "index": 1, "id": "b"}], "tool_calls")
@example([{"index": 0, "function": {"name": "find", "arguments": "{}"}}, {**CALL, "index": 1}], "length")
def test_the_tool_call_is_that_of_the_whole_answer(pieces, reason):
    chunks = [*(delta(tool_calls=[piece]) for piece in pieces), delta(reason)]
    (whole, _), (action, _) = (decided("retail", chunks, to_its_end=each) for each in (True, False))
    assert action == whole


HEARD_OUT = {
    "an action without its label": ("react", ["search[Salt]", "\n", "x", "y"]),
    "an action in reasoning": ("react", ["<think>", "\nAction: search[Salt]", "\n", "x", "y"]),
    "a mark in the middle of a line": ("chess", ["Hi <think>", "\nMove: e2e4\n", "x", "</think>", "\nMove: d2d4"]),
    "a move that may go on": ("chess", ["Move: e2", "x", "y"]),
    "text to the customer": ("retail", ["Hello!", "\n", "x", "y"]),
    "white space alone": ("react", ["Action: search[Salt]", "\n", " ", "\n"]),
}


@pytest.mark.parametrize(("name", "pieces"), HEARD_OUT.values(), ids=HEARD_OUT)
def test_an_answer_whose_rest_may_count_is_heard_to_its_end(name, pieces):
    _, answer = decided(name, [*(delta(content=piece) for piece in pieces), delta("stop")])
    assert answer.text == "".join(pieces)


@pytest.mark.parametrize("behind", [" and so on", "\nObservation: A nov"])
def test_what_was_cut_off_does_not_matter_either(behind):
    script = Script(Completion(text=REACT + behind, finish_reason="length"))
    assert ReActPolicy(script)(START) == "search[Salt]" and len(script.asked) == 1


# -- against a real server -----------------------------------------------------------------------------------

NEEDED = len(tokens_of(REACT))


@pytest.fixture
def served():
    """A server that goes on behind the action, and a model that knows the server's tokens by a first answer."""
    script = Script(f"{REACT} and so on for ever")
    with ModelServer(script, name="m") as server, ChatModel("m", base_url=server.base_url) as model:
        assert ReActPolicy(model)(START) == "search[Salt]"
        yield server, script, model


@pytest.mark.parametrize("behind", [0, 1, 2], ids=["silence", "a token", "two tokens"])
def test_the_server_sees_the_closed_connection(served, behind):
    server, _, model = served
    before = server.settle().tokens_out
    server.fail_next(Fault(stall_after=NEEDED + behind))  # the answer has no end: only hanging up gets an action
    token = CancelToken()
    assert ReActPolicy(model)(START, token) == "search[Salt]"
    produced = server.settle()
    assert (produced.hung_up, produced.done) == (1, 1)
    assert NEEDED <= token.usage()[0].tokens_out <= produced.tokens_out - before == NEEDED + behind


def test_says_who_has_counted_the_tokens(served):
    server, script, model = served
    heard: list[Completion] = []

    def listening(request, cancel):
        heard.append(model(request, cancel))
        return heard[-1]

    policy = ReActPolicy(listening)
    server.fail_next(Fault(stall_after=NEEDED + 1))
    policy(START)
    script.answers = [REACT]  # ends where all is said: the server reports the usage, and the connection stays
    before = server.settle()
    policy(START)
    after = server.settle()
    assert [each.usage_is_estimate for each in heard] == [True, False]
    assert heard[1].usage.tokens_out == after.tokens_out - before.tokens_out and after.hung_up == before.hung_up == 1


def test_on_an_event_loop():
    async def act(server):
        model = ChatModel("m", base_url=server.base_url)
        try:
            policy = ReActPolicy(model)
            await policy.acall(START)
            server.fail_next(Fault(stall_after=NEEDED + 1))
            return await policy.acall(START)
        finally:
            await model.aclose()

    with ModelServer(lambda request: f"{REACT} and so on", name="m") as server:
        assert asyncio.run(act(server)) == "search[Salt]"
        assert server.settle().hung_up == 1


def test_episodes_are_the_same_with_speculation_and_calls_that_hardly_end():
    question = Question("q", "Who wrote Salt?", "nobody", "bridge")
    inner = SearchModel()

    def endless(request: ChatRequest) -> Completion:
        if request.messages[-1]["content"] == "Hi!":
            return Completion(text="Hi!")
        answer = inner(request)
        return dataclasses.replace(answer, text=answer.text + " and so on" * 1000)

    def episode(model, guessers):
        env = gym.make("SpecSearch-v0", questions=[question], question_index=0, max_steps=4)
        with SpeculativeWrapper(env, ReActPolicy(model), guessers=guessers, guard=False) as wrapped:
            observation, _ = wrapped.reset(seed=0)
            seen, done = [observation], False
            while not done:
                observation, _, terminated, truncated, _ = wrapped.step(wrapped.act(observation))
                seen.append(observation)
                done = terminated or truncated
        return seen

    with ModelServer(endless, name="m", pace=Pace(tokens_per_s=200.0)) as server:
        with ChatModel("m", base_url=server.base_url) as model:
            model(ChatRequest(messages=[{"role": "user", "content": "Hi!"}]))
            plain = episode(model, {})
            hung_up = server.settle().hung_up
            assert episode(model, {"policy": SearchGuesser()}) == plain
            assert 0 < hung_up < server.settle().hung_up
