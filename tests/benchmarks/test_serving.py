"""The model server: OpenAI's protocol as its own client sees it, what it counts, and what it is backed by."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

import gymnasium as gym
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spec_envs  # noqa: F401
from spec_envs import CancelToken
from spec_envs.agents.llm import ChatRequest, Completion, ToolRequest
from spec_envs.agents.llm.prompts.chess import CHESS, CHESS_GUESSES
from spec_envs.agents.llm.prompts.guesses import SEARCH_GUESSES, TOOL_GUESSES
from spec_envs.agents.llm.prompts.retail import RETAIL, RETAIL_GUESSES
from spec_envs.agents.retail.scripted_policy import ScriptedRetailPolicy
from spec_envs.agents.search.react_policy import ReActPolicy
from spec_envs.agents.search.scripted_policy import ScriptedSearchPolicy
from spec_envs.asgi_server import Served
from spec_envs.benchmarks.serving import Fault, ModelServer, Pace
from spec_envs.benchmarks.serving.behaviour import RateLimit
from spec_envs.benchmarks.serving.models import _position, served_model
from spec_envs.benchmarks.serving.wire import stopped as stopped_at
from spec_envs.benchmarks.serving.wire import tokens_of
from spec_envs.chess.position import Position
from spec_envs.conversation import from_chat
from spec_envs.errors import InvalidConfiguration
from tests.agents.scripted import Script, asking

HELLO: Any = [{"role": "user", "content": "Hello?"}]
ANSWER = Completion(text="Well, well.", tool_calls=(ToolRequest("look", '{"at": "it"}'),))


@pytest.fixture(scope="module")
def server():
    with ModelServer(Script(ANSWER), name="m", pace=Pace(reasoning_tokens=2)) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(api_key="none", base_url=server.base_url, max_retries=0) as client:
        yield client


class TestProtocol:
    def test_a_whole_answer(self, server, client):
        answer = client.chat.completions.create(model="m", messages=HELLO, logprobs=True)
        (choice,) = answer.choices
        assert choice.message.content == "Well, well." and choice.finish_reason == "tool_calls"
        (call,) = choice.message.tool_calls
        assert (call.id, call.function.name, call.function.arguments) == ("call_0", "look", '{"at": "it"}')
        assert "".join(token.token for token in choice.logprobs.content) == "Well, well."
        counted = server.settle().by_request[-1]
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (counted.tokens_in, counted.tokens_out)
        assert answer.usage.completion_tokens_details.reasoning_tokens == 2

    def test_a_streamed_answer_is_the_same(self, server, client):
        whole = client.chat.completions.create(model="m", messages=HELLO)
        options = {"include_usage": True}
        chunks = list(client.chat.completions.create(model="m", messages=HELLO, stream=True, stream_options=options))
        first, *pieces, last, usage = chunks
        assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", "")
        assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "Well, well."
        assert all(len(piece.choices) == 1 and piece.usage is None for piece in pieces)
        assert last.choices[0].finish_reason == "tool_calls" and usage.choices == []
        assert usage.usage == whole.usage and len(pieces) == usage.usage.completion_tokens
        assert len({chunk.id for chunk in chunks}) == 1

    def test_usage_is_streamed_only_when_it_is_asked_for(self, client):
        chunks = list(client.chat.completions.create(model="m", messages=HELLO, stream=True))
        assert all(chunk.usage is None and chunk.choices for chunk in chunks)

    def test_calls_are_numbered_within_the_conversation(self, client):
        before: Any = [{"role": "tool", "tool_call_id": f"call_{n}", "content": ""} for n in range(2)]
        answer = client.chat.completions.create(model="m", messages=[*HELLO, *before])
        assert answer.choices[0].message.tool_calls[0].id == "call_2"

    def test_models(self, client):
        assert [model.id for model in client.models.list()] == ["m"]
        assert client.models.retrieve("m").owned_by == "spec-envs"
        with pytest.raises(openai.NotFoundError, match="'n' does not exist"):
            client.models.retrieve("n")

    @pytest.mark.parametrize(
        "options, error, message",
        [
            ({"model": "n"}, openai.NotFoundError, "this server has 'm'"),
            ({"messages": []}, openai.BadRequestError, "at least one"),
            ({"messages": [{"content": "x"}]}, openai.BadRequestError, r"messages\[0\] must be an object with a role"),
            ({"messages": [{"role": "wizard"}]}, openai.BadRequestError, "one of developer, system, user"),
            ({"messages": [{"role": "user"}]}, openai.BadRequestError, "must have a content"),
            ({"messages": [{"role": "user", "content": 5}]}, openai.BadRequestError, "a text or a list of texts"),
            ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, openai.BadRequestError, "be a text"),
            (
                {"messages": [{"role": "assistant", "tool_calls": [{}]}]},
                openai.BadRequestError,
                "must be a list of calls",
            ),
            ({"messages": "x"}, openai.BadRequestError, 'messages must be a list, not "x"'),
            ({"n": 3}, openai.BadRequestError, "n must be 1, not 3"),
            ({"max_tokens": 0}, openai.BadRequestError, "max_tokens must be"),
            ({"max_completion_tokens": "5"}, openai.BadRequestError, "max_completion_tokens must be"),
            ({"temperature": 3}, openai.BadRequestError, "temperature must be a number from 0 to 2, not 3"),
            ({"response_format": "json"}, openai.BadRequestError, "response_format must be an object with a type"),
            ({"extra_body": {"stream_options": 1}}, openai.BadRequestError, "stream_options must be an object"),
            ({"tools": [{"type": "function"}]}, openai.BadRequestError, r"tools\[0\] must be a function with a name"),
            ({"stop": ["."] * 5}, openai.BadRequestError, "stop must be a text, or a list of at most 4 texts"),
        ],
    )
    def test_bad_requests(self, server, client, options, error, message):
        with pytest.raises(error, match=message):
            client.chat.completions.create(**{"model": "m", "messages": HELLO, **options})
        assert server.statistics.running == 0

    def test_null_is_the_same_as_nothing(self, client):
        names = ("n", "stop", "tools", "max_tokens", "temperature", "response_format", "stream", "stream_options")
        body = dict.fromkeys(names)
        answer = client.chat.completions.create(model="m", messages=HELLO, extra_body=body)
        assert answer.choices[0].message.content == "Well, well."

    def test_what_stop_ends_for(self, server, client):
        for stop, text in ((", w", "Well"), (["never", "ll."], "Well, we"), ("never", "Well, well.")):
            stopped = client.chat.completions.create(model="m", messages=HELLO, stop=stop)
            (choice,) = stopped.choices
            assert choice.message.content == text
            assert choice.finish_reason == ("tool_calls" if stop == "never" else "stop")
            assert bool(choice.message.tool_calls) == (stop == "never")
        certain = Completion(text="one two", logprobs=(("one", -1.0), (" two", -2.0)))
        assert stopped_at(certain, ["w"]) == Completion(text="one t") and stopped_at(certain, ["z"]) is certain
        assert stopped_at(certain, ["w"]).logprobs == (("one", -1.0), (" t", -2.0))

    def test_texts_in_parts_and_tools_that_must_not_be_called(self):
        script = Script("x")
        tools: Any = [tool_schema("get_user", "user_id")]
        choices: list[Any] = ["auto", "none"]
        parts: Any = [{"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo?"}]}]
        with ModelServer(script, name="m") as server:
            with openai.OpenAI(api_key="none", base_url=server.base_url) as client:
                for choice in choices:
                    client.chat.completions.create(model="m", messages=parts, tools=tools, tool_choice=choice)
        assert [list(asked.messages) for asked in script.asked] == [HELLO, HELLO]
        assert [list(asked.tools) for asked in script.asked] == [tools, []]

    def test_log_probabilities_of_what_is_no_unicode(self):
        with ModelServer(Script("a \ud83d")) as server:
            with openai.OpenAI(api_key="none", base_url=server.base_url) as client:
                chunks = list(client.chat.completions.create(model="model", messages=HELLO, logprobs=True, stream=True))
        told = [choice.logprobs.content for chunk in chunks for choice in chunk.choices if choice.logprobs]
        assert [token.bytes for tokens in told for token in tokens or ()] == [[97], [32, 63]]

    def test_the_helper_for_streams(self, client):
        with client.chat.completions.stream(model="m", messages=HELLO) as stream:
            for _ in stream:
                pass
            message = stream.get_final_completion().choices[0].message
        assert (message.role, message.content) == ("assistant", "Well, well.")
        assert message.tool_calls[0].function.arguments == '{"at": "it"}'

    def test_other_places_say_what_there_is(self, client):
        with pytest.raises(openai.NotFoundError, match=r"no POST /v1/responses here, but POST /v1/chat/completions"):
            client.responses.create(model="m", input="x")

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_connection_dropped_before_the_first_token(self, server, client, stream):
        server.fail_next(Fault(drop_after=0))
        with pytest.raises(Exception, match="(?i)connection"):  # openai 2 lets out the error of its HTTP library
            list(client.chat.completions.create(model="m", messages=HELLO, stream=stream))
        assert server.settle().by_request[-1].outcome == "failed"

    def test_what_is_no_json_and_what_is_not_there(self, server):
        bodies = (b"{", b"", b"\xff\xfe{", b"[" * 100_000, b"[]")
        for path, data, status in (
            *(("/v1/chat/completions", body, 400) for body in bodies),
            ("/v1/nothing", None, 404),
        ):
            with pytest.raises(urllib.error.HTTPError) as raised:
                urllib.request.urlopen(urllib.request.Request(server.address + path, data))
            with raised.value as response:
                assert response.code == status and "message" in json.load(response)["error"]

    def test_a_rate_limit(self):
        with ModelServer(Script("x"), rate_limit=(1, 3600)) as server:
            with openai.OpenAI(api_key="none", base_url=server.base_url, max_retries=0) as client:
                client.chat.completions.create(model="model", messages=HELLO)
                with pytest.raises(openai.RateLimitError) as raised:
                    client.chat.completions.create(model="model", messages=HELLO)
            assert 3000 < int(raised.value.response.headers["retry-after"]) <= 3600
            assert (server.statistics.requests, server.statistics.refused) == (1, 1)

    def test_statistics_by_request(self, server, client):
        client.chat.completions.create(model="m", messages=HELLO)
        with urllib.request.urlopen(f"{server.address}/stats") as response:
            told = json.load(response)
        assert told == json.loads(json.dumps(dataclasses.asdict(server.settle())))
        assert told["by_request"][-1]["outcome"] == "done" and told["running"] == 0
        assert told["tokens_out"] == sum(request["tokens_out"] for request in told["by_request"])

    def test_a_client_that_hangs_up_is_counted_with_what_it_cost(self, server, client):
        before = server.statistics
        server.fail_next(Fault(stall_after=3))
        with client.chat.completions.create(model="m", messages=HELLO, stream=True) as stream:
            for _ in range(3):
                next(stream)
        after = server.settle()
        assert after.hung_up == before.hung_up + 1 and after.by_request[-1].tokens_out == 3


class TestPace:
    def test_is_a_function_of_the_request_and_the_seed(self):
        pace = Pace(first_token_s=1.0, tokens_per_s=50.0, spread=0.5, seed=3)
        assert pace.times(asking("a")) == pace.times(asking("a")) != pace.times(asking("b"))
        other = Pace(first_token_s=1.0, tokens_per_s=50.0, spread=0.5, seed=4)
        assert other.times(asking("a")) != pace.times(asking("a"))

    def test_is_lognormal_around_its_medians(self):
        pace = Pace(first_token_s=2.0, tokens_per_s=50.0, spread=0.5)
        times = [pace.times(asking(str(number))) for number in range(500)]
        for column, median in ((0, 2.0), (1, 0.02)):
            logs = sorted(math.log(each[column] / median) for each in times)
            assert abs(logs[250]) < 0.1 and -0.6 < logs[79] < -0.4 and 0.4 < logs[420] < 0.6

    def test_without_spread_it_is_exact(self):
        assert Pace(first_token_s=2.0, tokens_per_s=50.0).times(asking()) == (2.0, 0.02)
        assert Pace().times(asking()) == (0.0, 0.0)

    @pytest.mark.parametrize(
        "options", [{"first_token_s": -1}, {"tokens_per_s": 0}, {"spread": -1}, {"reasoning_tokens": -1}]
    )
    def test_options_that_make_no_sense(self, options):
        with pytest.raises(InvalidConfiguration, match=next(iter(options))):
            Pace(**options)

    def test_a_limit_that_makes_no_sense(self):
        with pytest.raises(InvalidConfiguration, match="of a rate limit must be an integer of at least 1, not 0"):
            RateLimit(0, 1)


@given(st.text())
def test_tokens_are_the_text_and_short(text):
    tokens = tokens_of(text)
    assert "".join(tokens) == text and all(1 <= len(token) <= 4 for token in tokens)


class TestModels:
    @settings(max_examples=25, deadline=None)
    @given(st.randoms(use_true_random=False), st.integers(0, 20))
    def test_a_position_is_read_back_from_what_is_asked(self, random, plies):
        position = Position()
        for _ in range(plies):
            legal = sorted(move.uci() for move in position.board().legal_moves)
            if not legal:
                break
            position = Position(position.start_fen, (*position.moves, random.choice(legal)))
        assert _position(CHESS.request(position)) == position
        assert _position(CHESS_GUESSES["policy"].request(position, 3, ())) == position

    def test_the_clerk_decides_as_from_the_observation(self):
        model, policy = served_model("retail"), ScriptedRetailPolicy()
        with gym.make("SpecRetail-v0") as env:
            for seed in range(2):
                observation, _ = env.reset(seed=seed)
                done = False
                while not done:
                    action = policy(observation)
                    assert RETAIL.read(model(RETAIL.request(observation)), observation) == action
                    guess = model(RETAIL_GUESSES["policy"].request(observation, 3, ())).text
                    assert RETAIL_GUESSES["policy"].read(guess, observation) == action
                    observation, _, terminated, truncated, _ = env.step(action)
                    done = terminated or truncated

    def test_the_reader_decides_as_from_the_observation(self):
        model, policy = served_model("search"), ScriptedSearchPolicy()
        reader = ReActPolicy(model)
        with gym.make("SpecSearch-v0") as env:
            for seed in range(3):
                observation, _ = env.reset(seed=seed)
                done = False
                while not done:
                    action = policy(observation)
                    assert reader(observation, CancelToken()) == action
                    guess = model(SEARCH_GUESSES["policy"].request(observation, 3, ())).text
                    assert SEARCH_GUESSES["policy"].read(guess, observation) == action
                    observation, reward, terminated, truncated, _ = env.step(action)
                    done = terminated or truncated
                assert reward == 1.0

    def test_the_caller_of_tools_goes_on_from_what_it_read_and_guesses_the_same(self):
        tools = [tool_schema("get_order", "order_id"), tool_schema("get_user", "user_id")]
        results = {"get_order": {"user_id": "u-7"}, "get_user": {"city": "Rome"}}
        model = served_model("tools")
        messages: list[Any] = [{"role": "user", "content": "Who ordered W7?"}]
        for expected in ({"order_id": "W7"}, {"user_id": "u-7"}):
            conversation = from_chat(messages, tools)
            (call,) = model(ChatRequest(messages=messages, tools=tools)).tool_calls
            assert json.loads(call.arguments) == expected
            guess = model(TOOL_GUESSES["policy"].request(conversation, 3, ())).text
            assert TOOL_GUESSES["policy"].read(guess, conversation) == {"name": call.name, "arguments": expected}
            function = {"name": call.name, "arguments": call.arguments}
            messages += [
                {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": function}]},
                {"role": "tool", "tool_call_id": "c", "content": json.dumps(results[call.name])},
            ]
        assert model(ChatRequest(messages=messages, tools=tools)).text == '{"city": "Rome"}'
        bare = [{"type": "function", "function": {"name": "now"}}]
        (call,) = model(ChatRequest(messages=messages[:1], tools=bare)).tool_calls
        assert (call.name, call.arguments) == ("now", "{}")
        assert model(TOOL_GUESSES["policy"].request(from_chat(messages, tools), 3, ())).text == ""

    def test_what_they_do_not_understand_is_a_bad_request(self, monkeypatch):
        monkeypatch.setenv("SPEC_ENVS_STOCKFISH", "/not/installed")
        for name, message in (("chess", "found no position"), ("retail", "serves a customer")):
            with ModelServer(name) as server:
                with openai.OpenAI(api_key="none", base_url=server.base_url) as client:
                    with pytest.raises(openai.BadRequestError, match=message):
                        client.chat.completions.create(model=name, messages=HELLO)

    def test_any_function_by_its_name(self):
        assert served_model("tests.benchmarks.test_serving:parrot") is parrot

    def test_a_coroutine_function(self):
        async def model(request: ChatRequest) -> str:
            return "Hello!"

        with ModelServer(model) as server, openai.OpenAI(api_key="none", base_url=server.base_url) as client:
            answer = client.chat.completions.create(model="model", messages=HELLO)
        assert answer.choices[0].message.content == "Hello!"

    def test_a_function_that_answers_with_nothing(self):
        with ModelServer(lambda request: None) as server:
            with openai.OpenAI(api_key="none", base_url=server.base_url, max_retries=0) as client:
                with pytest.raises(openai.InternalServerError, match="must return a Completion or a text, not None"):
                    client.chat.completions.create(model="model", messages=HELLO)

    @pytest.mark.parametrize(
        "name, message",
        [
            ("poker", "must be chess, retail"),
            ("no.such.module:x", "No module named"),
            ("json:nothing", "no attribute 'nothing'"),
            ("string:digits", "must be a handler of ChatRequest"),
            ("spec_envs.benchmarks.serving:ModelServer", "must be a handler of ChatRequest"),
            (":x", "Empty module name"),
            (".x:x", "relative import"),
        ],
    )
    def test_names_of_nothing(self, name, message):
        with pytest.raises(InvalidConfiguration, match=message):
            served_model(name)


def tool_schema(name: str, parameter: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {parameter: {"type": "string"}}, "required": [parameter]}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": parameters}}


def parrot(request: ChatRequest) -> str:
    return request.messages[-1]["content"]


def _failure(client: openai.OpenAI) -> Exception | None:
    try:
        client.chat.completions.create(model="model", messages=HELLO)
    except openai.APIError as error:
        return error
    return None


def told_on(pipe: IO[str] | None) -> IO[str]:
    """What a program writes to a pipe of its own."""
    assert pipe is not None
    return pipe


class TestCommand:
    def test_prints_its_address_and_serves_until_it_is_interrupted(self):
        command = [sys.executable, "-W", "error", "-m", "spec_envs.benchmarks.cli", "serve-model"]
        command += ["--policy", "tests.benchmarks.test_serving:parrot", "--name", "parrot"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            address = told_on(process.stdout).readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", address), told_on(process.stderr).read()
            with openai.OpenAI(api_key="none", base_url=address) as client:
                answer = client.chat.completions.create(model="parrot", messages=HELLO)
            assert answer.choices[0].message.content == "Hello?"
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
            assert "Traceback" not in told_on(process.stderr).read()

    def test_an_interruption_while_the_model_thinks(self, tmp_path):
        """A model that does not look at its token is waited for, and the server ends in order before that."""
        source = (
            "import time\n\ndef f(request):\n    print('thinking', flush=True)\n    time.sleep(1.0)\n    return 'x'\n"
        )
        (tmp_path / "slow.py").write_text(source)
        command = [str(Path(sys.executable).with_name("spec-envs")), "serve-model", "--policy", "slow:f"]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:
            address = told_on(process.stdout).readline().strip()
            with openai.OpenAI(api_key="none", base_url=address, max_retries=0) as client:
                asking = threading.Thread(target=lambda: refused.append(_failure(client)))
                refused: list[Any] = []
                asking.start()
                assert told_on(process.stdout).readline() == "thinking\n"
                process.send_signal(signal.SIGINT)
                assert process.wait(timeout=60) == 0
                asking.join()
            assert isinstance(refused[0], openai.APIError) and "Traceback" not in told_on(process.stderr).read()

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("def f(request): return 'Hello!'", None),
            ("def f(:", r"--policy my_model:f cannot be imported: SyntaxError: .*my_model.py, line 1"),
            ("raise RuntimeError('no weights')", "--policy my_model:f cannot be imported: RuntimeError: no weights"),
        ],
    )
    def test_a_module_where_the_command_is_run(self, tmp_path, source, message):
        (tmp_path / "my_model.py").write_text(source)
        command = [str(Path(sys.executable).with_name("spec-envs")), "serve-model", "--policy", "my_model:f"]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:
            if message is None:
                address = told_on(process.stdout).readline().strip()
                assert address.startswith("http://"), told_on(process.stderr).read()
                process.send_signal(signal.SIGINT)
                assert process.wait(timeout=60) == 0
            else:
                told = told_on(process.stderr).read()
                assert re.search(message, told) and "Traceback" not in told and process.wait(timeout=60) == 2

    def test_a_port_that_is_taken(self, server):
        port = server.address.rpartition(":")[2]
        with pytest.raises(InvalidConfiguration, match=f"cannot listen on port {port} of 127.0.0.1"):
            Served(server._app.asgi, port=int(port))
