"""``ChatPolicy``: prompts, answers, the corrective retry, and whole episodes over HTTP."""

from __future__ import annotations

import asyncio
import json

import gymnasium as gym
import pytest

import spec_envs  # noqa: F401
from spec_envs import CancelToken, Effect
from spec_envs.agents import BuiltinChessGuesser, PatternGuesser, ScriptedRetailPolicy
from spec_envs.agents.llm import ChatGuesser, ChatModel, ChatPolicy, ChatRequest, Completion, PolicyPrompt, ToolRequest
from spec_envs.agents.search.react_policy import ReActPolicy
from spec_envs.benchmarks.serving import ModelServer
from spec_envs.chess.position import Position
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.wrappers import AsyncSpeculativeWrapper, SpeculativeWrapper, certify, certify_async
from spec_envs.wrappers.handlers import retry, with_latency
from tests.agents.scripted import Script

CHESS = {
    "fen": "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
    "turn": "white",
    "history": "",
    "legal_moves": "",
    "start_fen": "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find",
            "description": "Finds.",
            "parameters": {"type": "object", "properties": {"first": {"type": "string"}, "last": {"type": "string"}}},
        },
    }
]
SHOP = {
    "policy": "Be kind.",
    "tools": json.dumps(TOOLS),
    "dialogue": json.dumps(
        [
            {"role": "user", "content": "Hi!"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "call_0", "type": "function", "function": {"name": "find", "arguments": '{"first": "A"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_0", "name": "find", "content": "Error: nobody"},
        ]
    ),
}


def decide(answers, observation, prompt):
    script = Script(*answers)
    return ChatPolicy(script, prompt)(observation, CancelToken()), script


class TestChess:
    @pytest.mark.parametrize(
        "answer, move",
        [
            ("Move: e2e4", "e2e4"),
            ("I like e2e4 and d2d4.\nMove: g1f3", "g1f3"),
            ("e2e4", "e2e4"),
            ("Not e2e5, which is illegal; rather d2d4 than e7e5.", "d2d4"),
            ("Move: **Nf3**", "g1f3"),
            ("1. e4", "e2e4"),
        ],
    )
    def test_reads_the_move(self, answer, move):
        assert decide([answer], CHESS, "chess")[0] == move

    def test_castling_and_promotion(self):
        start = "4k3/P7/8/8/8/8/8/4K2R w K - 0 1"
        position = Position(start)
        assert decide(["Move: 0-0"], position, "chess")[0] == "e1g1"
        assert decide(["O-O"], position, "chess")[0] == "e1g1"
        assert decide(["a8=Q+"], position, "chess")[0] == "a7a8q"
        assert decide(["Move: a7a8n"], position, "chess")[0] == "a7a8n"

    def test_the_model_sees_the_game_and_the_legal_moves(self):
        position = Position(moves=("e2e4", "e7e5"))
        _, script = decide(["g1f3"], position, "chess")
        text = script.asked[0].messages[-1]["content"]
        assert "White is to move." in text
        assert "Moves since then (UCI): e2e4 e7e5" in text and position.board().fen() in text
        assert "g1f3" in text.split("Legal moves (UCI): ")[1].split("\n")[0].split()

    def test_an_illegal_move_is_sent_back_once(self):
        move, script = decide(["Move: e2e5", "Move: e2e4"], CHESS, "chess")
        assert move == "e2e4" and len(script.asked) == 2
        *first, answer, complaint = script.asked[1].messages
        assert first == list(script.asked[0].messages)
        assert answer == {"role": "assistant", "content": "Move: e2e5"}
        assert "e2e5 is not legal" in complaint["content"] and "e2e4" in complaint["content"]

    def test_and_then_it_is_an_error(self):
        with pytest.raises(HandlerFailed, match=r"answered 'I resign.', which cannot be used: .* names no legal move"):
            decide(["Move: e2e5", "I resign."], CHESS, "chess")

    def test_a_move_to_the_same_square_is_just_not_legal(self):
        move, script = decide(["Move: e2e2", "Not e2e2, but e2e4; e2e2 is no move."], CHESS, "chess")
        assert move == "e2e4" and "e2e2 is not legal" in script.asked[1].messages[-1]["content"]

    def test_an_observation_without_a_game(self):
        with pytest.raises(TypeError, match="holds no chess position"):
            decide(["e2e4"], "planes", "chess")


class TestRetail:
    def test_the_model_sees_policy_dialogue_and_tools(self):
        _, script = decide(["Hello"], SHOP, "retail")
        system, user, call, result = script.asked[0].messages
        assert system == {"role": "system", "content": "Be kind."} and user["content"] == "Hi!"
        assert call["tool_calls"][0]["id"] == result["tool_call_id"] == "call_0"
        assert result == {"role": "tool", "tool_call_id": "call_0", "content": "Error: nobody"}
        assert list(script.asked[0].tools) == TOOLS

    def test_a_message(self):
        assert decide([" Hello! "], SHOP, "retail")[0] == "Hello!"

    def test_a_tool_call_is_the_same_action_however_the_model_orders_it(self):
        ways = ['{"last": "B", "first": "A"}', '{ "first":"A","last":"B" }']
        actions = [decide([Completion(tool_calls=(ToolRequest("find", way),))], SHOP, "retail")[0] for way in ways]
        assert json.dumps(actions[0]) == json.dumps(actions[1])
        assert actions[0] == {"name": "find", "arguments": {"first": "A", "last": "B"}}

    @pytest.mark.parametrize(
        "wrong, why",
        [
            (Completion(tool_calls=(ToolRequest("find", '{"first": '),)), "is not JSON"),
            (Completion(tool_calls=(ToolRequest("find", "[" * 100_000),)), "is not JSON"),
            (Completion(tool_calls=(ToolRequest("find", "9" * 5_000),)), "is not JSON"),
            (Completion(tool_calls=(ToolRequest("find", "[1]"),)), "must be a JSON object"),
            (Completion(tool_calls=(ToolRequest("fnd", "{}"),)), "there is no tool 'fnd'; the tools are find"),
            (Completion(text="  "), "the answer is empty"),
        ],
    )
    def test_what_is_malformed_is_sent_back_once(self, wrong, why):
        action, script = decide([wrong, "Sorry."], SHOP, "retail")
        assert action == "Sorry."
        answer, complaint = script.asked[1].messages[-2:]
        assert answer["role"] == "assistant" and why in complaint["content"]
        if wrong.tool_calls:
            assert complaint["role"] == "tool" and complaint["tool_call_id"] == answer["tool_calls"][0]["id"]
        with pytest.raises(HandlerFailed, match="cannot be used"):
            decide([wrong], SHOP, "retail")


class TestOnALoop:
    def test_the_same_decisions(self):
        class Async:
            def __init__(self, script):
                self.script = script

            def __call__(self, request, cancel):
                raise AssertionError("blocks the loop")

            async def acall(self, request, cancel):
                return self.script(request, cancel)

        policy = ChatPolicy(Async(Script("Move: e2e5", "Move: e2e4")), "chess")
        assert asyncio.run(policy.acall(CHESS, CancelToken())) == "e2e4"

    def test_a_coroutine_function_is_a_model(self):
        async def model(request, cancel):
            return Completion(text="d2d4")

        assert asyncio.run(ChatPolicy(model, "chess").acall(CHESS, CancelToken())) == "d2d4"

    def test_so_is_one_without_a_token_and_a_decorated_one(self):
        async def model(request):
            return Completion(text="d2d4")

        for each in (model, with_latency(model, 0.0), retry(model, attempts=2)):
            assert asyncio.run(ChatPolicy(each, "chess").acall(CHESS, CancelToken())) == "d2d4"

    def test_a_model_that_can_only_block_is_refused(self):
        with pytest.raises(InvalidConfiguration, match="is not an async model"):
            asyncio.run(ChatPolicy(Script("e2e4"), "chess").acall(CHESS, CancelToken()))


def test_a_prompt_of_ones_own():
    prompt = PolicyPrompt(
        request=lambda number: ChatRequest(messages=[{"role": "user", "content": f"{number} + 1?"}]),
        read=lambda completion, number: int(completion.text),
    )
    action, script = decide(["two", "2"], 1, prompt)
    assert action == 2 and script.asked[0].messages[0]["content"] == "1 + 1?"
    assert ChatPolicy(script, prompt).effect is Effect.SAMPLE


def test_what_a_model_must_return():
    with pytest.raises(HandlerFailed, match="a model must return a Completion, not 'e2e4'"):
        ChatPolicy(lambda request: "e2e4", "chess")(CHESS, CancelToken())  # type: ignore[arg-type]


def test_an_unknown_prompt():
    with pytest.raises(
        InvalidConfiguration, match='prompt must be "chess", "retail", .* or a PolicyPrompt, not \'go\''
    ):
        ChatPolicy(Script(""), "go")


class TestOverHTTP:
    """The whole path: environment, wrapper, policy, client, server and back."""

    @pytest.fixture(autouse=True)
    def without_stockfish(self, monkeypatch):
        monkeypatch.setenv("SPEC_ENVS_STOCKFISH", "/not/installed")

    def test_chess_is_lossless(self):
        with ModelServer("chess") as server, ChatModel("chess", base_url=server.base_url) as model:
            player, guesser = ChatPolicy(model, "chess"), BuiltinChessGuesser()
            certificate = certify(
                lambda: gym.make("SpecChess-v0", opponent=player, max_plies=8, opening="random"),
                player,
                {"policy": guesser, "opponent": guesser},
                range(2),
                max_inflight=3,
            )
            assert certificate, str(certificate)
            assert server.settle().failed == 0

    def test_chess_on_an_event_loop_is_lossless_and_the_same_game(self):
        with ModelServer("chess") as server:
            model = ChatModel("chess", base_url=server.base_url)
            player, guesser = ChatPolicy(model, "chess"), ChatGuesser(model, "chess")

            async def main():
                certificate = await certify_async(
                    lambda: gym.make("SpecChess-v0", opponent=player.acall, max_plies=6, opening="random"),
                    player.acall,
                    {"policy": guesser.on_loop(), "opponent": guesser.on_loop()},
                    range(2),
                    max_inflight=3,
                )
                env = gym.make("SpecChess-v0", opponent=player.acall, max_plies=6, opening="random")
                guessers = {"policy": guesser.on_loop()}
                async with AsyncSpeculativeWrapper(env, player.acall, guessers=guessers, guard=False) as wrapped:
                    moves = await _moves(wrapped.reset(seed=0), wrapped.act, wrapped.step)
                await model.aclose()
                return certificate, moves

            certificate, moves = asyncio.run(main())
            assert certificate, str(certificate)
            with model, gym.make("SpecChess-v0", opponent=player, max_plies=6, opening="random") as env:
                observation, _ = env.reset(seed=0)
                for move in moves:
                    assert player(observation, CancelToken()) == move
                    observation, *_ = env.step(move)
            assert server.settle().failed == 0

    def test_retail_is_lossless_and_plays_as_the_policy_behind_the_server(self):
        with ModelServer("retail") as server, ChatModel("retail", base_url=server.base_url) as model:
            policy = ChatPolicy(model, "retail")
            certificate = certify(
                lambda: gym.make("SpecRetail-v0"), policy, {"policy": PatternGuesser()}, range(2), max_inflight=3
            )
            assert certificate, str(certificate)
            assert server.settle().failed == 0
            assert _rewards(policy) == _rewards(ScriptedRetailPolicy()) == [1.0, 1.0]

    def test_search_is_lossless(self):
        with ModelServer("search") as server, ChatModel("search", base_url=server.base_url) as model:
            guesser = ChatGuesser(model, "search")
            certificate = certify(
                lambda: gym.make("SpecSearch-v0"), ReActPolicy(model), {"policy": guesser}, range(2), max_inflight=3
            )
            assert certificate, str(certificate)
            assert server.settle().failed == 0

    def test_what_speculation_reports_is_what_the_server_produced(self):
        with ModelServer("chess") as server, ChatModel("chess", base_url=server.base_url) as model:
            player, guesser = ChatPolicy(model, "chess"), BuiltinChessGuesser()
            env = gym.make("SpecChess-v0", opponent=player, max_plies=8)
            guessers = {"policy": guesser, "opponent": guesser}
            with SpeculativeWrapper(env, player, guessers=guessers, max_inflight=0) as wrapped:
                observation, _ = wrapped.reset(seed=0)
                done = False
                while not done:
                    observation, _, terminated, truncated, _ = wrapped.step(wrapped.act(observation))
                    done = terminated or truncated
            figures, produced = wrapped.statistics, server.settle()
            assert (figures.committed.tokens_in, figures.committed.tokens_out) == (
                produced.tokens_in,
                produced.tokens_out,
            )


async def _moves(reset, act, step):
    observation, _ = await reset
    moves, done = [], False
    while not done:
        moves.append(await act(observation))
        observation, _, terminated, truncated, _ = await step(moves[-1])
        done = terminated or truncated
    return moves


def _rewards(policy):
    rewards = []
    with gym.make("SpecRetail-v0") as env, SpeculativeWrapper(env, policy, max_inflight=0) as wrapped:
        for seed in range(2):
            observation, _ = wrapped.reset(seed=seed)
            done = False
            while not done:
                observation, reward, terminated, truncated, _ = wrapped.step(wrapped.act(observation))
                done = terminated or truncated
            rewards.append(reward)
    return rewards
