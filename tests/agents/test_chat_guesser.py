"""``ChatGuesser``: the prompts, what is read from answers, and how probable the guesses are."""

from __future__ import annotations

import asyncio
import json
import math

import gymnasium as gym
import numpy as np
import pytest

import spec_envs  # noqa: F401
from spec_envs import Call, CancelToken
from spec_envs.agents.llm import ChatGuesser, ChatModel, ChatRequest, Completion, GuessPrompt
from spec_envs.benchmarks.serving import ModelServer
from spec_envs.chess.position import Position
from spec_envs.errors import CallCancelled, HandlerFailed, InvalidConfiguration
from spec_envs.retail.loading import load_tasks
from spec_envs.retail.queries import CustomerQuery
from tests.agents.scripted import Script
from tests.agents.test_chat_policy import CHESS, SHOP

MOVE = Call("policy", CHESS)
WORD = GuessPrompt(
    request=lambda query, k, past: ChatRequest(messages=[{"role": "user", "content": f"{query}: {k}"}]),
    read=lambda line, query: line,
)


def words(text, *, logprobs=()):
    return Completion(text=text, logprobs=tuple(logprobs))


def guess(answers, call=MOVE, prompts: str | dict[str, GuessPrompt] = "chess", k=3):
    script = Script(*answers)
    guesser = ChatGuesser(script, prompts)
    return guesser.guess(call, k), script, guesser


def responses(guesses):
    return [each.response for each in guesses]


class TestReading:
    @pytest.mark.parametrize(
        "text",
        [
            "e2e4\nd2d4\ng1f3",
            "1. e2e4\n2. d2d4\n3. g1f3",
            "```\n- e2e4\n- d2d4\n- Nf3\n```",
            "e2e4\nillegal e2e5\nd2d4\ne2e4\n\nNf3\nc2c4",
        ],
    )
    def test_moves_a_line_each_without_what_is_wrong_or_was_said_before(self, text):
        guesses, script, _ = guess([text])
        assert responses(guesses) == ["e2e4", "d2d4", "g1f3"]
        assert "Name the 3 most likely moves here" in script.asked[0].messages[-1]["content"]

    def test_of_the_opponent_too(self):
        call = Call("opponent", Position(moves=("e2e4",)))
        assert responses(guess(["e7e5"], call)[0]) == ["e7e5"]

    def test_what_has_no_usable_line_is_sent_back_once(self):
        guesses, script, _ = guess(["I would castle.", "e2e4"])
        assert responses(guesses) == ["e2e4"] and len(script.asked) == 2
        assert "names no legal move" in script.asked[1].messages[-1]["content"]

    def test_and_then_there_is_no_guess(self):
        guesses, script, _ = guess(["I would castle.", "Really.", "e2e4"])
        assert guesses == [] and len(script.asked) == 2

    @pytest.mark.parametrize("call", [Call("policy", np.zeros(3)), Call("tool", CHESS), Call("policy", {"a": 1})])
    def test_no_question_about_what_is_of_another_domain(self, call):
        for prompts in ("chess", "retail", "search"):
            guesses, script, _ = guess(["e2e4"], call, prompts)
            if not (prompts == "chess" and call.query is CHESS and call.handler == "policy"):
                assert guesses == [] and script.asked == []

    def test_actions_in_the_shop(self):
        lines = ['{"name": "find", "arguments": {"last": "B", "first": "A"}}', '"Hello."', '{"name": "fnd"}', "Bye"]
        guesses, script, _ = guess(["\n".join(lines)], Call("policy", SHOP), "retail")
        assert responses(guesses) == [{"name": "find", "arguments": {"first": "A", "last": "B"}}, "Hello."]
        assert list(guesses[0].response["arguments"]) == ["first", "last"]
        text = "\n".join(message["content"] for message in script.asked[0].messages)
        assert "Be kind." in text and '"name": "find"' in text and SHOP["dialogue"] in text

    def test_replies_of_the_customer_without_the_customers_secret(self):
        (task,) = load_tasks("embedded", "test")[:1]
        query = CustomerQuery(("Hi!", "I want my money.", "Sure?"), task, 7)
        guesses, script, _ = guess(['"Yes."\nCustomer: No.'], Call("user", query), "retail")
        assert responses(guesses) == ["Yes.", "No."]
        text = str(script.asked[0])
        assert "I want my money." in text
        assert task.instruction not in text and task.name not in text and repr(task.scenario) not in text

    def test_actions_of_a_reader(self):
        observation = {
            "question": "Who?",
            "transcript": json.dumps([{"action": "search[Moon]", "observation": "The Moon is.\n"}]),
            "observation": "The Moon is.\n",
            "steps_left": 5,
        }
        call = Call("policy", observation)
        guesses, script, _ = guess(["1. Search[ Earth ]\nfinish[me]\nthink[hard]"], call, "search")
        assert responses(guesses) == ["search[Earth]", "finish[me]"]
        text = script.asked[0].messages[0]["content"]
        assert "Question: Who?" in text and "Action: search[Moon]\nObservation: The Moon is." in text

    def test_anything_by_what_was_answered_before(self):
        script = Script('{"a": [1, 2]}\n"b"\n3.5\nnonsense')
        guesser = ChatGuesser(script, "generic")
        guesser.observe(Call("x", (1, "one")), {"a": [1, 1]})
        assert responses(guesser.guess(Call("x", np.array([2, 3])), 5)) == [{"a": [1, 2]}, "b", 3.5]
        text = script.asked[0].messages[0]["content"]
        assert 'Query: [1, "one"]\nResponse: {"a": [1, 1]}' in text and "Query: [2, 3]" in text


class TestProbabilities:
    def test_come_from_the_ranks_where_the_server_gives_no_log_probabilities(self):
        guesses, _, guesser = guess(["e2e4\nd2d4"])
        assert [each.probability for each in guesses] == guesser.ranks.probabilities(2)
        for _ in range(50):
            guesser.guess(MOVE, 2)
            guesser.observe(MOVE, "d2d4")
        first, second = guesser.guess(MOVE, 2)
        assert second.probability > 0.7 > 0.2 > first.probability

    def test_come_from_the_tokens_of_each_line(self):
        tokens = [("e2", math.log(0.8)), ("e4", math.log(0.75)), ("\n", -3.0), ("d2d4\n", math.log(0.5)), ("g1", -1.0)]
        text = "".join(token for token, _ in tokens)
        guesses, script, _ = guess([words(text, logprobs=tokens)], Call("x", "?"), {"x": WORD})
        assert script.asked[0].logprobs
        # 0.8 * 0.75; then a half of what is left; then exp(-1) of what is left then
        assert [each.probability for each in guesses] == pytest.approx([0.6, 0.2, 0.2 * math.exp(-1)])

    def test_are_corrected_by_how_often_they_came_true(self):
        certain = words("yes", logprobs=[("yes", -0.01)])
        script = Script(certain)
        guesser = ChatGuesser(script, {"x": WORD})
        for number in range(200):
            call = Call("x", number)
            guesser.guess(call, 1)
            guesser.observe(call, "yes" if number % 4 == 0 else "no")
        (after,) = guesser.guess(Call("x", -1), 1)
        assert after.probability == pytest.approx(0.25, abs=0.05)

    def test_are_not_read_where_the_tokens_are_not_the_text(self):
        guesses, _, guesser = guess([words("e2e4", logprobs=[("e2", -0.1)])])
        assert guesses[0].probability == guesser.ranks.probability(0)

    def test_never_sum_to_more_than_one(self):
        text = [("e2e4", 0.0), ("\n", 0.0), ("d2d4", 0.0), ("\n", 0.0), ("g1f3", 0.0)]
        guesses, _, _ = guess([words("".join(t for t, _ in text), logprobs=text)])
        assert sum(each.probability for each in guesses) <= 1.0

    def test_a_model_that_refuses_log_probabilities_is_not_asked_for_them_again(self):
        asked = []

        def model(request: ChatRequest) -> Completion:
            asked.append(request.logprobs)
            if request.logprobs:
                raise HandlerFailed("logprobs are not supported")
            return Completion(text="e2e4")

        guesser = ChatGuesser(model, "chess")
        for _ in range(2):
            assert responses(guesser.guess(MOVE, 1)) == ["e2e4"]
        assert asked == [True, False, False] and guesser.logprobs is False

    def test_a_model_that_fails_once_for_another_reason_is_asked_for_them_again(self):
        asked = []

        def model(request: ChatRequest) -> Completion:
            asked.append(request.logprobs)
            if len(asked) == 1:
                raise HandlerFailed("too many requests")
            return Completion(text="e2e4")

        guesser = ChatGuesser(model, "chess")
        for _ in range(2):
            assert responses(guesser.guess(MOVE, 1)) == ["e2e4"]
        assert asked == [True, False, True]


class TestErrors:
    def test_a_model_that_gives_no_answer(self):
        def model(request: ChatRequest) -> Completion:
            raise HandlerFailed("no server")

        guesser = ChatGuesser(model, "chess")
        with pytest.raises(HandlerFailed, match="no server"):
            guesser.guess(MOVE, 1)
        assert guesser.logprobs

    def test_a_cancelled_guess(self):
        def model(request: ChatRequest, cancel: CancelToken) -> Completion:
            cancel.raise_if_cancelled()
            return Completion(text="e2e4")

        token = CancelToken()
        token.cancel()
        with pytest.raises(CallCancelled):
            ChatGuesser(model, "chess").guess(MOVE, 1, token)

    def test_an_unknown_prompt(self):
        with pytest.raises(InvalidConfiguration, match="not 'go'"):
            ChatGuesser(Script(""), "go")


def test_on_an_event_loop():
    async def model(request, cancel):
        return Completion(text="e2e4")

    guesser = ChatGuesser(model, "chess").on_loop()
    assert responses(asyncio.run(guesser.guess(MOVE, 1))) == ["e2e4"]
    guesser.observe(MOVE, "e2e4")


@pytest.mark.parametrize("prompts, handler", [("chess", "policy"), ("retail", "policy")])
def test_over_http_with_log_probabilities(prompts, handler, monkeypatch):
    monkeypatch.setenv("SPEC_ENVS_STOCKFISH", "/not/installed")
    with gym.make("SpecChess-v0" if prompts == "chess" else "SpecRetail-v0") as env:
        observation, _ = env.reset(seed=0)
    with ModelServer(prompts) as server, ChatModel(prompts, base_url=server.base_url) as model:
        guesses = ChatGuesser(model, prompts).guess(Call(handler, observation), 3)
        assert len(guesses) == (3 if prompts == "chess" else 1)
        assert 0 < sum(each.probability for each in guesses) <= 1
        assert server.settle().requests == 1
