"""What is saved by cutting an answer off when the rest cannot change the action.

The same episodes of search are played four times, side by side: with and without speculation, and each with whole
answers and with answers that are cut off when the action is complete. (The first answer of a run is always read to its
end.) Each run has a model server of its own, which counts its tokens. Equal requests take equally long.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium as gym
from rich.console import RenderableType

import spec_envs  # noqa: F401  (registers SpecSearch-v0)
from spec_envs.agents import ReActPolicy, SearchGuesser
from spec_envs.agents.llm import ChatModel, ChatRequest, Completion
from spec_envs.benchmarks.episodes import play
from spec_envs.benchmarks.listening import ListeningSettings
from spec_envs.benchmarks.reports import config_of, percent, progress, table_of
from spec_envs.benchmarks.serving import ModelServer
from spec_envs.benchmarks.serving.behaviour import Pace, ServerStatistics
from spec_envs.benchmarks.serving.models import SearchModel
from spec_envs.extras import require
from spec_envs.handling import CancelToken
from spec_envs.search.loading import embedded_corpus, load_questions
from spec_envs.search.questions import Question
from spec_envs.wrappers import Limits, SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency
from spec_envs.wrappers.latency import lognormal

_FIRST_TOKEN_S = 0.3
#: A token of the served model, and about how many the thought and the action have.
_HM = " hm"
_ANSWER = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One run: its episodes, its time, the written tokens by its statistics, and the statistics of its server."""

    seen: Sequence[Any]
    seconds: float
    reported: float
    server: ServerStatistics


def run(settings: ListeningSettings) -> dict[str, Any]:
    """The report of all runs; ``DependencyNotInstalled`` if the extra ``servers`` is missing."""
    require("bench listening", "servers")
    import openai  # noqa: F401  (the import takes most of a second, and must not be measured)

    questions = load_questions("embedded", "test")[: settings.questions]
    runs = [(ahead, whole) for ahead in (False, True) for whole in (True, False)]
    with progress("runs", len(runs)) as advance, ThreadPoolExecutor(len(runs)) as executor:
        started = {
            (ahead, whole): executor.submit(_play, questions, settings, ahead=ahead, whole=whole)
            for ahead, whole in runs
        }
        for each in started.values():
            each.add_done_callback(advance)
    return report_of({key: each.result() for key, each in started.items()}, settings)


class _GoesOn:
    """The served model: what ``SearchModel`` answers, and then ``tail`` tokens that nobody needs."""

    def __init__(self, tail: int) -> None:
        self._inner = SearchModel()
        self._tail = _HM * tail

    def __call__(self, request: ChatRequest) -> Completion:
        answer = self._inner(request)
        return dataclasses.replace(answer, text=answer.text + self._tail)


def _play(questions: Sequence[Question], settings: ListeningSettings, *, ahead: bool, whole: bool) -> Run:
    """Answer the questions one after the other; ``ahead``: with speculation, ``whole``: listening to whole answers."""
    tail = round(settings.tail * settings.seconds * settings.tokens_per_s)
    first_s = min(_FIRST_TOKEN_S, settings.seconds)
    tokens = (settings.seconds - first_s) * settings.tokens_per_s
    pace = Pace(
        first_token_s=first_s,
        tokens_per_s=settings.tokens_per_s,
        spread=settings.spread,
        reasoning_tokens=max(0, round(tokens - tail) - _ANSWER),
        seed=settings.seed,
    )
    site = with_latency(embedded_corpus(), lognormal(settings.page_seconds, settings.spread, settings.seed))
    guesser = SearchGuesser()
    seen, seconds, reported = [], 0.0, 0.0
    with ModelServer(_GoesOn(tail), name="search", pace=pace) as server:
        with ChatModel("search", base_url=server.base_url) as chat:

            def listening_to_all(request: ChatRequest, cancel: CancelToken) -> Completion:
                return chat(dataclasses.replace(request, until=None), cancel)

            policy = ReActPolicy(listening_to_all if whole else chat)
            for question in questions:
                env = gym.make("SpecSearch-v0", backend=site, questions=[question], question_index=0)
                limits = settings.limits if ahead else Limits(max_inflight=0)
                guessers = {"policy": guesser} if ahead else {}
                with SpeculativeWrapper(env, policy, guessers=guessers, k=settings.k, limits=limits) as wrapped:
                    played = play(wrapped, wrapped.act)
                spent = wrapped.statistics  # after close: only then has every cancelled call ended
                seen += played.seen
                seconds += played.seconds
                reported += (spent.committed + spent.wasted).tokens_out
        return Run(seen, seconds, reported, server.settle())


def report_of(runs: dict[tuple[bool, bool], Run], settings: ListeningSettings) -> dict[str, Any]:
    """The figures of all runs; the keys are whether a run speculates, and whether it listens to whole answers."""
    plain = runs[False, True]
    rows = {
        f"{'speculative' if ahead else 'plain'}, {'whole answers' if whole else 'until all is said'}": {
            "seconds": each.seconds,
            "saved": 1 - each.seconds / plain.seconds,
            "tokens_out": each.server.tokens_out,
            "tokens_out_reported": each.reported,
            "requests": each.server.requests,
            "hung_up": each.server.hung_up,
        }
        for (ahead, whole), each in runs.items()
    }
    return {
        "config": config_of(settings),
        "runs": rows,
        "saved_by_not_listening": {
            "plain": 1 - runs[False, False].seconds / plain.seconds,
            "speculative": 1 - runs[True, False].seconds / runs[True, True].seconds,
        },
        "lossless": int(all(each.seen == plain.seen for each in runs.values())),
    }


def show(report: dict[str, Any], settings: ListeningSettings) -> Iterator[RenderableType]:
    """The table of runs, and what is saved."""
    columns = {
        "run": "{run}",
        "seconds": "{seconds:,.4g}",
        "saved": "{saved:.1%}",
        "tokens out (server)": "{tokens_out:,.0f}",
        "tokens out (statistics)": "{tokens_out_reported:,.0f}",
        "requests": "{requests}",
        "hung up on": "{hung_up}",
    }
    title = f"{settings.questions} questions, answers of {settings.seconds:g} s, {settings.tail:.0%} behind the action"
    yield table_of(title, columns, [{"run": name, **row} for name, row in report["runs"].items()])
    saved = report["saved_by_not_listening"]
    yield (
        f"Saved by not listening: {percent(saved['plain'])} without speculation, {percent(saved['speculative'])} with "
        f"it; the same episodes: {'yes' if report['lossless'] else 'no'}."
    )
