"""Agents, handlers and guessers go to a worker as they are; what belongs to one process says where to make it."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import inspect
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import cloudpickle
import gymnasium as gym
import pytest

import spec_envs
from spec_envs import Call, CancelToken, Effect, Guess, Usage, agents, wrappers
from spec_envs.agents.llm import ChatModel
from spec_envs.agents.tuning import HillClimb, TuningGuesser
from spec_envs.chess import HumanOpponent, RecordedGame, RecordedPlayer, StockfishOpponent
from spec_envs.chess.engine import EnginePool
from spec_envs.chess.position import Position
from spec_envs.conversation import Conversation, ToolCall, UserMessage
from spec_envs.handling import as_guess, as_handler
from spec_envs.pickling import NotPicklable
from spec_envs.retail import HumanCustomer, RecordedCustomer
from spec_envs.retail.loading import load_data
from spec_envs.retail.shop import HttpTools, ShopDatabase
from spec_envs.search import BrowserBackend, FetchQuery, HttpBackend, WikiSite
from spec_envs.search.loading import load_corpus
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.tuning import LiveBackend
from spec_envs.wrappers.cache import cached
from spec_envs.wrappers.handlers import metered, rate_limited, record, replay, retry, with_latency
from spec_envs.wrappers.latency import exponential, lognormal
from spec_envs.wrappers.recording import Record, Recording
from spec_envs.wrappers.tools import BlockingTools, ToolAudit, ToolRule
from tests.agents.test_callable import CASES, NEED_STOCKFISH, query_of, says
from tests.players import needs_stockfish

LIBRARIES = [pickle, cloudpickle]
GAME = RecordedGame.of(
    {
        "plies": [
            {
                "move": move,
                "actor_seconds": 0,
                "actor_tokens": {"in": 1, "out": 1},
                "guesses": {"3": {"moves": ["e7e5", "c7c5", "e7e6"], "seconds": 0, "tokens": {"in": 1, "out": 1}}},
            }
            for move in ("e2e4", "e7e5")
        ]
    }
)


def twin_of(value: Any, library: Any) -> Any:
    return pickle.loads(library.dumps(value))


# -- policies, opponents, customers --------------------------------------------------------------------------------


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_stockfish if name in NEED_STOCKFISH else ()) for name in CASES]
)
def test_a_pickled_policy_answers_as_the_original_does(name: str, library: Any) -> None:
    case = CASES[name]
    handler, query = case.make(), query_of(case)
    twin = twin_of(handler, library)
    try:
        assert twin(query) == handler(query) == as_handler(twin_of(as_handler(handler), library))(query, CancelToken())
    finally:
        for each in (handler, twin):
            getattr(each, "close", lambda: None)()


# -- guessers ------------------------------------------------------------------------------------------------------

AFTER_E4 = Call("opponent", Position(moves=("e2e4",)))
WORLD = Call("world", "a query")
TOLD = Call("policy", Conversation((UserMessage("Look up Ann"),)))


def same(call: Call, k: int) -> list[Guess]:
    return [Guess(pure_response(call.query), 0.5)]


def knobs() -> Any:
    return gym.make("SpecTuning-v0").get_wrapper_attr("knobs")


def tuning_call() -> Call:
    return Call("policy", gym.make("SpecTuning-v0").reset(seed=0)[0])


#: Each guesser, and what it learns from: a call and its response.
GUESSERS: dict[str, tuple[Callable[[], Any], Callable[[], Call], Any]] = {
    "BuiltinChessGuesser": (agents.BuiltinChessGuesser, lambda: AFTER_E4, "e7e5"),
    "RecordedChessGuesser": (lambda: agents.RecordedChessGuesser(GAME), lambda: AFTER_E4, "e7e5"),
    "MoveModelGuesser": (agents.MoveModelGuesser, lambda: AFTER_E4, "e7e5"),
    "StockfishGuesser": (lambda: agents.StockfishGuesser(depth=1), lambda: AFTER_E4, "e7e5"),
    "CallableGuesser": (lambda: agents.CallableGuesser(same), lambda: WORLD, 2),
    "ChatGuesser": (lambda: agents.ChatGuesser(says("e7e5\nc7c5"), "chess"), lambda: AFTER_E4, "e7e5"),
    "ChatGuesser generic": (lambda: agents.ChatGuesser(says("1\n2"), "generic"), lambda: WORLD, 2),
    "FrequencyGuesser": (agents.FrequencyGuesser, lambda: WORLD, 2),
    "NGramGuesser": (agents.NGramGuesser, lambda: TOLD, {"name": "find", "arguments": {"n": "Ann"}}),
    "NearestGuesser": (agents.NearestGuesser, lambda: WORLD, 2),
    "PageGuesser": (agents.PageGuesser, lambda: Call("fetch", FetchQuery("Ann")), None),
    "PatternGuesser": (agents.PatternGuesser, lambda: TOLD, {"name": "find", "arguments": {"n": "Ann"}}),
    "ReplyGuesser": (agents.ReplyGuesser, lambda: query_call("SpecRetail-v0", "user"), "Thanks"),
    "ResultGuesser": (agents.ResultGuesser, lambda: Call("tool", "Ann", Effect.READ), 2),
    "SearchGuesser": (agents.SearchGuesser, lambda: query_call("SpecSearch-v0", "policy"), "search[Tallow]"),
    "UnionGuesser": (
        lambda: agents.UnionGuesser([agents.FrequencyGuesser(), agents.CallableGuesser(same)]),
        lambda: WORLD,
        2,
    ),
    "TuningGuesser": (lambda: TuningGuesser(HillClimb(), knobs()), tuning_call, {"slice_ms": 3.0}),
}


def query_call(environment: str, handler: str) -> Call:
    case = next(each for each in CASES.values() if (each.environment, each.handler) == (environment, handler))
    return Call(handler, query_of(case))


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_stockfish if name == "StockfishGuesser" else ()) for name in GUESSERS]
)
def test_a_pickled_guesser_has_learned_what_the_original_has(name: str, library: Any) -> None:
    make, call_of, response = GUESSERS[name]
    guesser, call = make(), call_of()
    learns = hasattr(guesser, "observe") and response is not None
    for _ in range(3):
        guess = as_guess(guesser.guess)(call, 3)
        if learns:
            guesser.observe(call, response)
    twin = twin_of(guesser, library)
    try:
        guess = as_guess(guesser.guess)(call, 3)
        assert str(as_guess(twin.guess)(call, 3)) == str(guess)
        if learns:
            twin.observe(call, response)
    finally:
        for each in (guesser, twin):
            getattr(each, "close", lambda: None)()


# -- decorated handlers, recordings, models ------------------------------------------------------------------------

RECORDING = Recording([Record("q", 3, 0.0, Usage(1, 2, 3.0))])
HANDLERS: dict[str, Callable[[], Any]] = {
    "with_latency": lambda: with_latency(pure_response, 0.0),
    "with_latency exponential": lambda: with_latency(pure_response, exponential(1e-9)),
    "with_latency lognormal": lambda: with_latency(pure_response, lognormal(1e-9, 0.1)),
    "record": lambda: record(pure_response, Recording()),
    "replay": lambda: replay(RECORDING),
    "replay missing": lambda: replay(Recording(), missing=pure_response),
    "retry": lambda: retry(pure_response, attempts=2),
    "rate_limited": lambda: rate_limited(pure_response, 10, 1.0),
    "metered": lambda: metered(pure_response, Usage(1, 2, 3.0)),
    "all of them": lambda: retry(with_latency(metered(replay(RECORDING), Usage(1, 2, 3.0)), 0.0), attempts=2),
    "cached": lambda: cached(pure_response),
}


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
@pytest.mark.parametrize("name", HANDLERS)
def test_a_pickled_handler_answers_as_the_original_does(name: str, library: Any) -> None:
    handler = HANDLERS[name]()
    twin = twin_of(handler, library)
    token, other = CancelToken(), CancelToken()
    assert twin("q", token) == handler("q", other)
    assert token.usage() == other.usage()
    twin.close()
    assert handler("q") == handler("q", CancelToken())
    handler.close()


def test_a_cache_in_a_folder_is_shared_with_the_worker(tmp_path: Any) -> None:
    asked: list[Any] = []
    handler = cached(asked.append, tmp_path)
    handler("q")
    twin = twin_of(handler, cloudpickle)
    assert twin("q") is None and asked == ["q"]


class TestWhatHasConnections:
    def test_a_chat_model_keeps_its_settings_and_no_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "a-secret-key")
        with ChatModel("m", base_url="http://localhost:1/v1", options={"max_tokens": 5}) as model:
            model._client(model._background.loop)
            data = pickle.dumps(model)
            assert b"a-secret-key" not in data
            with pickle.loads(data) as twin:
                assert repr(twin) == repr(model) and twin._parameters._limit == 5

    @needs_stockfish
    def test_an_engine_pool_starts_engines_of_its_own(self) -> None:
        with EnginePool(max_engines=1) as pool:
            lines = pool.analyse(Position(), depth=1)
            with pickle.loads(pickle.dumps(pool)) as twin:
                assert twin.pids() == []
                assert twin.analyse(Position(), depth=1) == lines
                assert set(twin.pids()).isdisjoint(pool.pids())

    @needs_stockfish
    def test_those_that_share_a_pool_share_one_in_the_worker(self) -> None:
        with EnginePool(max_engines=1) as pool:
            pair = (StockfishOpponent(depth=1, pool=pool), agents.StockfishGuesser(depth=1, pool=pool))
            opponent, guesser = pickle.loads(pickle.dumps(pair))
            assert opponent(Position()) and guesser.guess(AFTER_E4, 2)
            assert opponent._pool is guesser._pool and len(opponent._pool.pids()) == 1
            opponent._pool.close()

    @pytest.mark.parametrize("kind", [HttpBackend, BrowserBackend])
    def test_backends_of_sites_are_made_anew(self, kind: Any) -> None:
        with WikiSite(load_corpus("embedded")) as site, kind(site.url) as backend:
            with pickle.loads(pickle.dumps(backend)) as twin:
                assert type(twin) is kind and twin._loop is not backend._loop
                if kind is HttpBackend:
                    assert twin(FetchQuery("Tallow")) == backend(FetchQuery("Tallow"))

    def test_a_client_of_tools_is_made_anew(self) -> None:
        with HttpTools("http://127.0.0.1:1") as tools, pickle.loads(pickle.dumps(tools)) as twin:
            assert type(twin) is HttpTools


# -- what belongs to one process -----------------------------------------------------------------------------------


def shop() -> ShopDatabase:
    return ShopDatabase(load_data("embedded"))


def on_a_loop(make: Callable[[], Any]) -> Any:
    async def made() -> Any:
        return make()

    return asyncio.run(made())


def tools() -> Any:
    return wrappers.SpeculativeTools({}, agents.NGramGuesser())


REFUSED: dict[str, Callable[[], Any]] = {
    "SpeculativeWrapper": lambda: wrappers.SpeculativeWrapper(FakeEnv()),
    "its policy": lambda: wrappers.SpeculativeWrapper(FakeEnv(), pure_response).policy,
    "AsyncSpeculativeWrapper": lambda: on_a_loop(lambda: wrappers.AsyncSpeculativeWrapper(FakeEnv())),
    "LastWriteWins": lambda: wrappers.LastWriteWins(gym.make("SpecTuning-v0"), pure_response),
    "SpeculativeTools": lambda: on_a_loop(tools),
    "BlockingTools": lambda: BlockingTools({}, agents.NGramGuesser()),
    "ThreadRuntime": wrappers.ThreadRuntime,
    "SimulationRuntime": wrappers.SimulationRuntime,
    "CancelToken": CancelToken,
    "WikiSite": lambda: WikiSite(load_corpus("embedded")),
    "ShopDatabase": shop,
    "HumanOpponent": lambda: HumanOpponent(input=io.StringIO(), output=io.StringIO()),
    "HumanCustomer": lambda: HumanCustomer(input=io.StringIO(), output=io.StringIO()),
}


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
@pytest.mark.parametrize("name", REFUSED)
def test_what_belongs_to_one_process_says_where_to_make_it(name: str, library: Any) -> None:
    value = REFUSED[name]()
    try:
        with pytest.raises(TypeError, match="cannot be pickled.*make it inside the worker"):
            library.dumps([value])
    finally:
        close = getattr(value, "close", None)
        if close is not None and not inspect.iscoroutinefunction(close):
            close()


# -- nothing public is left out ------------------------------------------------------------------------------------

#: Tested here in classes of their own, or by ``test_pickling``.
ELSEWHERE = {
    "ChatModel",
    "HttpBackend",
    "BrowserBackend",
    "HttpTools",
    "FakeEnv",
    "Recording",
    "LiveBackend",
    "SimulatedBackend",
}
#: Made in the tables by other names, or data with parts that the user gives.
WITHIN: dict[str, Callable[[], Any]] = {
    "HumanOpponent": HumanOpponent,
    "HumanCustomer": HumanCustomer,
    "RecordedPlayer": lambda: RecordedPlayer(GAME),
    "RecordedCustomer": lambda: RecordedCustomer(Conversation((UserMessage("Hi"), UserMessage("Bye")))),
    "Corpus": lambda: load_corpus("embedded"),
    "ToolAudit": ToolAudit,
    "Limits": wrappers.Limits,
    "ToolRule": ToolRule,
    "Call": lambda: WORLD,
    "ToolCall": lambda: ToolCall("name", {"a": [1]}),
    "Position": Position,
    "RecordedGame": lambda: GAME,
    "Trace": wrappers.Trace,
    "Statistics": wrappers.Statistics,
}


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
@pytest.mark.parametrize("name", WITHIN)
def test_data_and_people_can_be_pickled(name: str, library: Any) -> None:
    assert type(twin_of(WITHIN[name](), library)) is type(WITHIN[name]())


def public_classes() -> dict[str, type]:
    names = "agents.llm agents.tuning chess retail retail.shop search tuning".split()
    names += "wrappers.tools wrappers.cache wrappers.recording".split()
    modules = [spec_envs, agents, wrappers, *(importlib.import_module(f"spec_envs.{name}") for name in names)]
    named = [(name, getattr(module, name)) for module in modules for name in module.__all__]
    return {name: value for name, value in named if inspect.isclass(value)}


def test_the_tables_hold_every_public_class() -> None:
    told = {name.partition(" ")[0] for table in (CASES, GUESSERS, HANDLERS, REFUSED, WITHIN) for name in table}
    left = {
        name
        for name, kind in public_classes().items()
        if name not in told | ELSEWHERE
        and not issubclass(kind, BaseException | gym.Env)
        and not getattr(kind, "_is_protocol", False)
        and not dataclasses.is_dataclass(kind)
        and not hasattr(kind, "__members__")
    }
    # A tool run is made by its tools, a decorated handler by its decorator.
    assert left == {"ToolRun", "DecoratedHandler", "CachedHandler", "Codec", "ToolResponse"} & left
    assert issubclass(LiveBackend, NotPicklable)


def test_a_new_process_goes_on_where_this_one_was() -> None:
    guesser = agents.FrequencyGuesser()
    guesser.observe(WORLD, 2)
    model = ChatModel("m", base_url="http://localhost:1/v1")
    sent = pickle.dumps((guesser, model, with_latency(agents.BuiltinChessPolicy(), 0.0), WORLD))
    code = (
        "import pickle, sys\n"
        "guesser, model, policy, call = pickle.loads(sys.stdin.buffer.read())\n"
        "guesser.observe(call, 2)\n"
        "print(guesser.guess(call, 1)[0].response, model)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, timeout=120, check=False)
    assert done.stdout.decode().split() == ["2", "ChatModel('m',", "base_url='http://localhost:1/v1')"], done.stderr
    model.close()
