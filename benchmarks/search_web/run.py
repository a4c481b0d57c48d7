"""What speculation saves where real pages are loaded, and whether anything is lost.

A scripted agent that takes its time to think reads a local wiki whose pages take their time, over HTTP or through
headless Chromium. It answers each question twice on the wall clock: by the plain loop, and then through
``SpeculativeWrapper`` with the free guessers, which learn from question to question. Afterwards ``certify`` compares
episodes of other questions, in which neither the site nor the agent pauses.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
from rich.console import RenderableType

from spec_envs.agents.search.action_guesser import SearchGuesser
from spec_envs.agents.search.scripted_policy import ScriptedSearchPolicy
from spec_envs.benchmarks.episodes import Speculated, figures_of, play
from spec_envs.benchmarks.reports import collected, config_of, mean_of, table_of, tokens_text, watched
from spec_envs.benchmarks.search_web import SearchWebSettings
from spec_envs.extras import require
from spec_envs.guesses import Guesser
from spec_envs.handling import CancelToken
from spec_envs.search.loading import load_corpus
from spec_envs.search.local_wiki.server import WikiSite
from spec_envs.search.web.backends import BrowserBackend, HttpBackend
from spec_envs.search.web.client import WebSettings
from spec_envs.wrappers import Certificate, SpeculativeWrapper, certify
from spec_envs.wrappers.handlers import with_latency

Backend = HttpBackend | BrowserBackend
Env = gym.Env[Any, Any]

_COLUMNS = {
    "question": "{question}",
    "steps": "{steps:g}",
    "plain s": "{sequential_s:.2f}",
    "s": "{speculative_s:.2f}",
    "saved": "{saved:.1%}",
    "hit rate": "{hit_rate:.0%}",
    "tokens partial": "x{tokens_partial:.2f}",
    "full": "x{tokens_full:.2f}",
    "lossless": "{lossless:yes}",
}

#: The site runs on this machine, and allows any number of requests.
_SETTINGS = WebSettings(requests_per_s=math.inf)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WebRun(Speculated):
    """The figures of one question, answered twice on the wall clock."""

    question: str  # its id
    steps: int  # actions taken


def run(settings: SearchWebSettings) -> dict[str, Any]:
    """The report of both parts; ``DependencyNotInstalled`` if the extra ``servers`` is missing."""
    require("bench search-web", "servers")
    runs = collected(_measured(settings), "questions", settings.episodes)
    certificate = certified(settings)
    return {
        "config": config_of(settings),
        "episodes": [dataclasses.asdict(each) for each in runs],
        "mean": mean_of(runs) if runs else {},
        "certify": {"verdict": certificate.verdict.value, "seeds": certificate.seeds, "text": str(certificate)},
    }


def show(report: dict[str, Any], settings: SearchWebSettings) -> Iterator[RenderableType]:
    """The table of questions, what they cost, and the certificate."""
    title = (
        f"Web search, backend {settings.backend}: {settings.page_seconds:g} s for a page, "
        f"{settings.agent_seconds:g} s for a thought"
    )
    if report["episodes"]:
        yield table_of(title, _COLUMNS, report["episodes"], {"question": "mean", **report["mean"]})
        yield tokens_text(report["mean"])
    yield f"certify: {report['certify']['text']}"


def _measured(settings: SearchWebSettings) -> Iterator[WebRun]:
    if not settings.episodes:
        return
    guesser = SearchGuesser()
    policy = with_latency(ScriptedSearchPolicy(), settings.agent_seconds)
    with (
        WikiSite(load_corpus("embedded"), latency_s=settings.page_seconds) as site,
        _backend(settings, site.url) as backend,
        gym.make("SpecSearch-v0", backend=backend, split="test") as plain,
    ):
        play(plain, ScriptedSearchPolicy(), options={"question": 0})  # starts the browsers, before any time is measured
        for index in range(settings.episodes):
            yield _compare(plain, backend, policy, guesser, settings, index)


def _compare(
    plain: Env, backend: Backend, policy: Any, guesser: Guesser, settings: SearchWebSettings, index: int
) -> WebRun:
    question = {"question": index}
    expected = play(plain, lambda observation: policy(observation, CancelToken()), options=question)
    wrapped = gym.make("SpecSearch-v0", backend=backend, split="test")
    guessers: dict[str, Guesser] = {"policy": guesser}
    with SpeculativeWrapper(
        wrapped, policy, guessers=guessers, k=settings.k, limits=settings.limits, guard=False
    ) as env:
        played = play(env, env.act, options=question)
    return WebRun(
        question=wrapped.unwrapped.questions[index].id,  # type: ignore[attr-defined]
        steps=len(played.actions),
        **figures_of(
            env.statistics,
            speculative_s=played.seconds,
            sequential_s=expected.seconds,
            lossless=played.seen == expected.seen,
        ),
    )


def certified(settings: SearchWebSettings) -> Certificate:
    """Whether both loops give the same, on ``settings.seeds`` drawn questions."""
    with WikiSite(load_corpus("embedded")) as site, _backend(settings, site.url) as backend:
        return certify(
            lambda: gym.make("SpecSearch-v0", backend=backend, split="dev"),
            ScriptedSearchPolicy(error_rate=0.2),
            {"policy": SearchGuesser()},
            watched(range(settings.seeds), "comparing", settings.seeds),
            k=settings.k,
            limits=settings.limits,
        )


def _backend(settings: SearchWebSettings, url: str) -> Backend:
    if settings.backend == "http":
        return HttpBackend(url, settings=_SETTINGS)
    return BrowserBackend(url, settings=_SETTINGS, max_browsers=settings.browsers)
