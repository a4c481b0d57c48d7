"""``ChatModel``: the real ``openai`` client against a real HTTP server."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import pickle
import subprocess
import sys
import threading
import traceback

import gymnasium as gym
import pytest

import spec_envs  # noqa: F401
from spec_envs import CancelToken, Effect, Usage
from spec_envs.agents import BuiltinChessGuesser
from spec_envs.agents.llm import ChatModel, ChatPolicy, ChatRequest, Completion, Price, ToolRequest
from spec_envs.asgi_server import Served
from spec_envs.benchmarks.serving import Fault, ModelServer, Pace
from spec_envs.errors import CallCancelled, EnvClosed, HandlerFailed, InvalidConfiguration
from spec_envs.wrappers import SpeculativeWrapper
from spec_envs.wrappers.handlers import record, replay, retry
from spec_envs.wrappers.recording import Recording
from tests.agents.scripted import Counting, Script, asking

KEY = "sk-planted-0123456789"
TEXT = "The quick brown fox jumps over the lazy dog."
REASONING = 5


@pytest.fixture(scope="module")
def server():
    with ModelServer(Script(TEXT), name="m", pace=Pace(reasoning_tokens=REASONING)) as server:
        yield server


@pytest.fixture
def script(server):
    server._model.__init__(TEXT)
    return server._model


@pytest.fixture
def model(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatModel("m", base_url=server.base_url, prices={"m": Price(1e6, 1e6)}) as model:
        yield model


def spent(token):
    return token.usage()[0]


class TestAnswers:
    def test_text_with_usage_and_money(self, server, script, model):
        before, token = server.statistics, CancelToken()
        answer = model(asking(), token)
        produced = server.settle().tokens_out - before.tokens_out
        assert (answer.text, answer.tool_calls, answer.finish_reason) == (TEXT, (), "stop")
        assert answer.usage.tokens_out == produced > REASONING
        assert answer.usage.money == answer.usage.tokens  # a million for a million
        assert spent(token) == answer.usage

    def test_tool_calls_without_ids(self, script, model):
        calls = (ToolRequest("look", '{"at": "the moon", "n": 2}'), ToolRequest("stop", "{}"))
        script.answers = [Completion(text="Well.", tool_calls=calls)]
        tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
        answer = model(asking(tools=tools), CancelToken())
        assert (answer.text, answer.tool_calls, answer.finish_reason) == ("Well.", calls, "tool_calls")
        assert list(script.asked[0].tools) == tools

    def test_what_is_asked_for_arrives(self, script, model):
        script.answers = ['{"a": 1}']
        request = asking(output="json", temperature=0.5, max_tokens=100)
        assert json.loads(model(request, CancelToken()).text) == {"a": 1}
        assert script.asked == [request]

    def test_a_limit_of_tokens_is_kept(self, script, model):
        answer = model(asking(max_tokens=REASONING + 2), CancelToken())
        assert answer.finish_reason == "length" and 0 < len(answer.text) <= 8

    def test_log_probabilities_where_they_are_asked_for(self, script, model):
        script.answers = [Completion(text="e2e4", logprobs=(("e2", -0.25), ("e4", -0.5)))]
        assert model(asking(logprobs=True), CancelToken()).logprobs == (("e2", -0.25), ("e4", -0.5))
        assert model(asking(), CancelToken()).logprobs == ()

    def test_further_parameters_are_sent_as_they_are(self, server, script):
        with ChatModel("m", base_url=server.base_url, options={"n": 2}) as model:
            with pytest.raises(HandlerFailed, match="n must be 1, not 2"):
                model(asking(), CancelToken())

    def test_equal_answers_are_equal(self, script, model):
        script.answers = [Completion(tool_calls=(ToolRequest("look", "{}"),))]
        assert model(asking(), CancelToken()) == model(asking(), CancelToken())

    def test_many_calls_at_once_share_one_thread(self, server, script, model):
        before = server.statistics
        results: list[str] = []
        threads = [
            threading.Thread(target=lambda: results.append(model(asking(), CancelToken()).text)) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [TEXT] * 20
        assert server.settle().done - before.done == 20
        assert sum(thread.name == "chat-model-m" for thread in threading.enumerate()) == 1

    def test_on_an_event_loop(self, script, model):
        async def ask_three():
            answers = await asyncio.gather(*(model.acall(asking(), CancelToken()) for _ in range(3)))
            await model.aclose()
            return answers

        assert [answer.text for answer in asyncio.run(ask_three())] == [TEXT] * 3

    def test_draws(self, model):
        assert model.effect is Effect.SAMPLE


class TestCancelling:
    def test_stops_the_server_and_counts_what_was_written(self, server, script, model):
        request = asking("Hello, hello! " * 300)
        model(request, CancelToken())  # from a whole answer it learns how many tokens a request has
        tokens_in = server.settle().by_request[-1].tokens_in
        server.fail_next(Fault(stall_after=REASONING + 3))
        before, token = server.statistics, Counting(2 + REASONING + 3)
        with pytest.raises(CallCancelled):
            model(request, token)
        after = server.settle()
        assert after.hung_up == before.hung_up + 1
        assert spent(token).tokens_out == after.by_request[-1].tokens_out == REASONING + 3
        assert spent(token).tokens_in == pytest.approx(tokens_in, rel=0.01)
        assert spent(token).money == spent(token).tokens

    def test_while_the_server_thinks(self, server, script, model):
        before, token, seen = server.statistics, CancelToken(), threading.Event()

        def cancel_the_call(thinking):
            thinking.on_cancel(seen.set)
            token.cancel()
            thinking.sleep(math.inf)  # a model that stops when it is told to

        script.on_request = cancel_the_call
        with pytest.raises(CallCancelled):
            model(asking(), token)
        assert server.settle().hung_up == before.hung_up + 1
        assert seen.is_set()
        assert spent(token).tokens_out == 0 and spent(token).tokens_in > 0

    def test_while_the_client_backs_off(self, server, script, model):
        class OnRetry(logging.Handler):
            def emit(self, record):
                if record.getMessage().startswith("Retrying request"):
                    token.cancel()

        server.fail_next(Fault(status=429, retry_after_s=60.0))
        token, log, handler = CancelToken(), logging.getLogger("openai._base_client"), OnRetry()
        level = log.level
        log.setLevel(logging.INFO)
        log.addHandler(handler)
        try:
            with pytest.raises(CallCancelled):
                model(asking(), token)
        finally:
            log.removeHandler(handler)
            log.setLevel(level)
        assert not spent(token)  # the server has refused what it was sent

    def test_before_the_call(self, server, script, model):
        before, token = server.statistics, CancelToken()
        token.cancel()
        with pytest.raises(CallCancelled):
            model(asking(), token)
        assert server.statistics.requests == before.requests and not spent(token)

    def test_of_a_task_on_an_event_loop(self, server, script, model):
        server.fail_next(Fault(stall_after=4))
        before = server.statistics

        async def main():
            task = asyncio.ensure_future(model.acall(asking(), token := Counting(2 + 4, lambda: task.cancel())))
            with pytest.raises(asyncio.CancelledError):
                await task
            await model.aclose()
            return token

        assert spent(asyncio.run(main())).tokens_out == 4
        assert server.settle().hung_up == before.hung_up + 1

    def test_close_breaks_off_what_runs(self, server, script):
        server.fail_next(Fault(stall_after=2))
        model = ChatModel("m", base_url=server.base_url)
        ended: list[type] = []

        def call():
            try:
                model(asking(), Counting(2 + 2, begun.set))
            except Exception as error:
                ended.append(type(error))

        begun = threading.Event()
        thread = threading.Thread(target=call)
        thread.start()
        begun.wait()
        model.close()
        model.close()
        thread.join()
        assert ended == [EnvClosed]
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("chat-model")]
        with pytest.raises(EnvClosed, match="was closed"):
            model(asking(), CancelToken())

    def test_reasoning_that_is_not_shown_is_charged_by_the_time_it_took(self):
        from spec_envs.agents.llm.streamed_answer import Answer, TokenRates

        rates, price = TokenRates(), Price(0.0, 0.0)
        whole = Answer(asking())
        whole.sent(0.0)
        whole.add(_chunk(content="Yes."), 10.0)
        whole.add(_chunk(usage=(7, 201, 200)), 10.0)
        assert whole.usage(price, rates, 10.0) == Usage(7, 201)
        cut = Answer(asking())
        cut.sent(0.0)
        assert cut.usage(price, rates, 5.0) == Usage(7, 100)
        cut.add(_chunk(content="Yes"), 6.0)
        assert cut.usage(price, rates, 9.0) == Usage(7, 121)

    def test_backing_off_is_no_time_of_reasoning(self):
        from spec_envs.agents.llm.streamed_answer import Answer, TokenRates

        rates, price = TokenRates(), Price(0.0, 0.0)
        answer = Answer(asking())
        answer.sent(0.0)
        answer.refused()
        assert answer.usage(price, rates, 50.0) == Usage()
        answer.sent(90.0)
        answer.add(_chunk(content="Yes."), 100.0)
        answer.add(_chunk(usage=(7, 201, 200)), 100.0)
        answer.usage(price, rates, 100.0)
        assert rates.hidden(10.0) == 200

    def test_several_tokens_in_one_piece_are_counted_by_their_characters(self):
        from spec_envs.agents.llm.streamed_answer import Answer, TokenRates

        answer = Answer(asking())
        answer.sent(0.0)
        answer.add(_chunk(content="x" * 40), 1.0)
        answer.add(_chunk(content="y"), 1.0)
        assert answer.usage(Price(0.0, 0.0), TokenRates(), 1.0).tokens_out == 10


def _chunk(content=None, usage=None):
    from openai.types.chat import ChatCompletionChunk

    data = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
    if content is not None:
        data["choices"] = [{"index": 0, "delta": {"content": content}, "finish_reason": None}]
    if usage is not None:
        tokens_in, tokens_out, reasoning = usage
        data["usage"] = {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }
    return ChatCompletionChunk.model_validate(data)


class TestFaults:
    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_a_busy_server_is_asked_again_when_it_says(self, server, script, model, status):
        before = server.statistics
        server.fail_next(*[Fault(status=status, retry_after_s=0.01)] * 2)
        token = CancelToken()
        answer = model(asking(), token)
        assert answer.text == TEXT and spent(token) == answer.usage
        after = server.settle()
        assert (after.failed - before.failed, after.done - before.done) == (2, 1)

    def test_the_same_on_an_event_loop(self, server, script, model):
        async def ask(*faults):
            server.fail_next(*faults)
            try:
                return (await model.acall(asking(), CancelToken())).text
            finally:
                await model.aclose()

        assert asyncio.run(ask(Fault(status=429, retry_after_s=0.01), Fault(status=500, retry_after_s=0.01))) == TEXT
        with pytest.raises(HandlerFailed, match=r"Connection error|peer closed connection"):
            asyncio.run(ask(Fault(drop_after=3)))

    def test_and_given_up_after_so_many_retries(self, server, script):
        server.fail_next(*[Fault(status=429, retry_after_s=0.01)] * 2)
        token = CancelToken()
        with ChatModel("m", base_url=server.base_url, max_retries=1) as model:
            with pytest.raises(HandlerFailed, match=r"status 429.*has requested this failure"):
                model(asking(), token)
        assert not spent(token)

    def test_a_limit_of_the_rate_is_waited_for(self):
        with ModelServer(Script(TEXT), rate_limit=(1, 0.05)) as server:
            with ChatModel("model", base_url=server.base_url, max_retries=50) as model:
                for _ in range(3):
                    assert model(asking(), CancelToken()).text == TEXT
            assert server.settle().done == 3

    def test_a_stalled_stream_times_out_and_is_charged_for_what_came(self, server, script):
        server.fail_next(Fault(stall_after=REASONING + 2))
        token = CancelToken()
        with ChatModel("m", base_url=server.base_url, timeout_s=1.0) as model:
            with pytest.raises(HandlerFailed, match="timed out|ReadTimeout"):
                model(asking(), token)
        assert spent(token).tokens_out == REASONING + 2

    def test_a_server_that_never_begins_is_asked_again(self, server, script):
        server.fail_next(Fault(stall_after=0))
        with ChatModel("m", base_url=server.base_url, timeout_s=1.0, max_retries=1) as model:
            assert model(asking(), CancelToken()).text == TEXT

    def test_a_dropped_connection_is_an_error_and_is_charged_for_what_came(self, server, script, model):
        server.fail_next(Fault(drop_after=3))
        token = CancelToken()
        with pytest.raises(HandlerFailed, match=r"Connection error|peer closed connection"):
            model(asking(), token)
        assert spent(token).tokens_out == 3

    def test_which_the_decorator_repeats(self, server, script, model):
        server.fail_next(Fault(drop_after=3))
        patient = retry(model, attempts=2, on=(HandlerFailed,), backoff_s=0.0)
        assert patient(asking(), CancelToken()).text == TEXT

    def test_a_model_that_raises(self, server, script):
        def fail(cancel):
            raise LookupError("no book")

        script.on_request = fail
        with ChatModel("m", base_url=server.base_url, max_retries=0) as model:
            with pytest.raises(HandlerFailed, match=r"status 500.*LookupError.*no book"):
                model(asking(), CancelToken())

    def test_a_model_that_does_not_exist(self, server):
        with ChatModel("n", base_url=server.base_url) as model:
            with pytest.raises(HandlerFailed, match=r"status 404.*'n' does not exist; this server has 'm'"):
                model(asking(), CancelToken())

    def test_no_server(self):
        with ChatModel("m", base_url="http://127.0.0.1:9/v1", max_retries=0) as model:
            with pytest.raises(HandlerFailed, match="gave no answer: the connection was refused"):
                model(asking(), CancelToken())

    def test_null_for_no_choices_is_no_fault(self):
        chunks = [
            {"choices": None},
            {"choices": [{"index": 0, "delta": {"content": "Yes."}}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"choices": None, "usage": {"prompt_tokens": 7, "completion_tokens": 2}},
        ]
        body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode()

        async def app(scope, receive, send):
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        with Served(app) as served, ChatModel("m", base_url=f"{served.address}/v1") as model:
            answer = model(asking(), CancelToken())
        assert (answer.text, answer.usage) == ("Yes.", Usage(7, 2, unpriced=9))

    @pytest.mark.parametrize("body", [b"data: {nonsense\n\n", b"data: [DONE]\n\n", b""])
    def test_a_stream_that_is_none(self, body):
        async def babble(scope, receive, send):
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        with Served(babble) as served, ChatModel("m", base_url=f"{served.address}/v1") as model:
            with pytest.raises(HandlerFailed, match="gave no answer"):
                model(asking(), CancelToken())


class TestKeys:
    @pytest.fixture
    def echo(self, monkeypatch):
        """A server that tells everybody what key was sent."""
        monkeypatch.setenv("SECRET", f"{KEY}\n")

        async def refuse(scope, receive, send):
            key = dict(scope["headers"])[b"authorization"].decode()
            assert key == f"Bearer {KEY}"
            body = json.dumps({"error": {"message": f"Incorrect API key provided: {key}", "code": key}}).encode()
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": body})

        with Served(refuse) as served, ChatModel("m", base_url=f"{served.address}/v1", key_variable="SECRET") as model:
            yield model

    def test_are_not_in_errors(self, echo):
        with pytest.raises(HandlerFailed, match="Incorrect API key provided") as raised:
            echo(asking(), CancelToken())
        error = raised.value
        assert error.__cause__ is None and error.__context__ is None
        for text in (str(error), repr(error), "".join(traceback.format_exception(error))):
            assert KEY not in text
        assert KEY.encode() not in pickle.dumps(error)

    def test_are_not_logged(self, echo, caplog):
        with caplog.at_level(logging.DEBUG), pytest.raises(HandlerFailed):
            echo(asking(), CancelToken())
        assert "401" in caplog.text and KEY not in caplog.text

    def test_are_not_in_traces(self, echo, tmp_path):
        policy = ChatPolicy(echo, "chess")
        env = gym.make("SpecChess-v0", opponent="builtin", max_plies=4)
        with SpeculativeWrapper(env, policy, guessers={"policy": BuiltinChessGuesser()}, guard=False) as env:
            observation, _ = env.reset(seed=0)
            with pytest.raises(HandlerFailed):
                env.act(observation)
        env.trace.to_jsonl(tmp_path / "trace")
        text = (tmp_path / "trace").read_text()
        assert "Incorrect API key" in text and KEY not in text

    def test_are_not_in_reprs_or_attributes(self, echo):
        with pytest.raises(HandlerFailed):
            echo(asking(), CancelToken())
        assert KEY not in repr(echo) and KEY not in repr(vars(echo))

    @pytest.mark.parametrize("url", ["http://me:pass@host/v1", "http://host/v1?api-key=pass"])
    def test_nor_is_a_password_in_the_address(self, url):
        assert repr(ChatModel("m", base_url=url)) == "ChatModel('m', base_url='http://host/v1')"

    def test_a_placeholder_does_not_spoil_the_words_of_an_error(self, server, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "x")
        with ChatModel("n x", base_url=server.base_url) as model:
            with pytest.raises(HandlerFailed, match=r"the model 'n \[key\]' does not exist"):
                model(asking(), CancelToken())

    def test_are_not_in_recordings(self, server, script, model, tmp_path):
        types = (ChatRequest, Completion, ToolRequest, Usage)
        recording = Recording(types=types)
        answer = record(model, recording)(asking(), CancelToken())
        recording.save(tmp_path / "calls")
        assert KEY not in (tmp_path / "calls").read_text()
        again = replay(Recording.load(tmp_path / "calls", types=types), speed=math.inf)
        token = CancelToken()
        assert again(asking(), token) == answer and spent(token) == answer.usage

    def test_that_are_none_are_refused_without_being_shown(self, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-ä")
        with ChatModel("m") as model, pytest.raises(InvalidConfiguration, match="does not hold a valid key") as e:
            model(asking(), CancelToken())
        assert "sk-" not in str(e.value)

    def test_that_are_missing(self, monkeypatch):
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
        with ChatModel("m") as model, pytest.raises(InvalidConfiguration, match="OPENAI_API_KEY must hold the key"):
            model(asking(), CancelToken())

    def test_a_server_of_ones_own_needs_none(self, server, script, monkeypatch):
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        with ChatModel("m", base_url=server.base_url) as model:
            assert model(asking(), CancelToken()).text == TEXT


class TestPrices:
    def test_are_by_million_and_less_for_what_was_cached(self):
        assert Price(2.0, 8.0, 0.5).usage(1_000_000, 500_000, cached=200_000).money == pytest.approx(1.6 + 0.1 + 4.0)
        assert Price(2.0, 8.0).usage(1_000_000, 0, cached=200_000).money == pytest.approx(2.0)

    def test_of_ones_own_come_first(self):
        prices = {"mine": Price(1.0, 2.0)}
        assert ChatModel("mine", prices=prices).price == ChatModel("mine-2026-01-31", prices=prices).price
        assert ChatModel("mine", prices=prices).price == Price(1.0, 2.0)
        assert ChatModel("gpt-5", prices=prices).price is not None

    def test_an_answer_without_a_price_says_so(self, server, script):
        with ChatModel("m", base_url=server.base_url) as model:
            usage = model(asking(), CancelToken()).usage
        assert usage.money == 0 and usage.unpriced == usage.tokens > 0

    def test_make_sense(self):
        with pytest.raises(InvalidConfiguration, match="tokens_out of a price must be finite and at least 0, not -1"):
            Price(1.0, -1)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"name": ""}, "must be the name of a model"),
        ({"timeout_s": 0}, "timeout_s must be above 0"),
        ({"max_retries": -1}, "max_retries must be an integer of at least 0, not -1"),
        ({"max_retries": 1.5}, "max_retries"),
        *(
            ({"base_url": url}, "base_url must be like http://localhost:8000/v1")
            for url in ("", "localhost:8000/v1", "ftp://host/v1", "http://", "http://host:99999/v1", "http://[bad/v1")
        ),
        ({"base_url": "http://me:pass@host:99999/v1"}, "not 'http://host:99999/v1'"),
        ({"options": {"stream": False, "model": "n", "seed": 1}}, "options must not hold model, stream"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(InvalidConfiguration, match=message):
        ChatModel(**{"name": "m", **options})


def test_openai_is_imported_late():
    code = (
        "import sys; from spec_envs.agents.llm import *; ChatModel('m'); from spec_envs.benchmarks.serving import *;"
        "print([name for name in ('openai', 'uvicorn', 'starlette') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=os.environ)
    assert done.stdout == "[]\n", done.stdout + done.stderr
