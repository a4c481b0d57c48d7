"""``spec-envs bench search-web``: what speculation saves where real pages are loaded, and whether anything is lost.

A local wiki whose pages take their time is read over HTTP or through headless Chromium by a scripted agent that takes
its time to think. Each question is answered twice on the wall clock, one run after the other: by the plain loop, and
through ``SpeculativeWrapper`` with the free guessers, which learn from question to question. Then ``certify`` compares
episodes of other questions, with neither pauses of the site nor of the agent.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from spec_envs.agents.search.action_guesser import SearchGuesser
from spec_envs.agents.search.scripted_policy import ScriptedSearchPolicy
from spec_envs.benchmarks.reports import console, mean_of, progress, table, versions, write_json
from spec_envs.handling import CancelToken
from spec_envs.search.loading import load_corpus
from spec_envs.search.local_wiki.server import WikiSite
from spec_envs.search.web.browser_backend import BrowserBackend
from spec_envs.search.web.client import WebSettings
from spec_envs.search.web.http_backend import HttpBackend
from spec_envs.wrappers import HandlerLimit, Limits, SpeculativeWrapper, certify
from spec_envs.wrappers.handlers import with_latency

if TYPE_CHECKING:
    from spec_envs.guesses import Guesser
    from spec_envs.wrappers import Certificate

Backend = HttpBackend | BrowserBackend
Env = gym.Env[Any, Any]

#: The site is ours, and has nothing against many requests.
_SETTINGS = WebSettings(requests_per_s=math.inf)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WebBenchSettings:
    """How the experiment runs; see the command's options for the meaning of each."""

    backend: str = "browser"
    episodes: int = 8
    agent_seconds: float = 1.0
    page_seconds: float = 0.3
    k: int = 3
    max_inflight: int = 8
    browsers: int = 3
    seeds: int = 5

    @property
    def limits(self) -> Limits:
        """Limits of speculation: no more pages at once than there are browsers to load them."""
        pages = self.browsers if self.backend == "browser" else self.max_inflight
        return Limits(max_inflight=self.max_inflight, per_handler={"fetch": HandlerLimit(max_inflight=pages)})


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WebRun:
    """One question, answered twice.

    Attributes:
        question: Its id.
        steps: Actions taken.
        plain_seconds: Of the plain loop, on the wall clock.
        seconds: Through the wrapper.
        saved: Share of the plain loop's seconds.
        hit_rate: Share of the guessed calls whose response was among the guesses.
        lossless: 1 if actions and observations are those of the plain loop, else 0.
    """

    question: str
    steps: int
    plain_seconds: float
    seconds: float
    saved: float
    hit_rate: float
    lossless: int


def run(options: dict[str, Any], json_file: Path | None) -> None:
    """Run both parts and report."""
    settings = WebBenchSettings(**{name: value for name, value in options.items() if value is not None})
    runs: list[WebRun] = []
    with progress("questions", settings.episodes, shown=json_file is None) as show:
        for each in _measured(settings):
            runs.append(each)
            show(len(runs))
    certificate = certified(settings)
    if json_file is not None:
        report = {
            "config": dataclasses.asdict(settings) | {"versions": versions()},
            "episodes": [dataclasses.asdict(each) for each in runs],
            "mean": mean_of(runs) if runs else {},
            "certify": {"verdict": certificate.verdict.value, "seeds": certificate.seeds},
        }
        write_json(report, json_file)
        return
    if runs:
        _print(runs, settings)
    console().print(f"certify: {certificate}")


def _print(runs: list[WebRun], settings: WebBenchSettings) -> None:
    title = (
        f"Web search, backend {settings.backend}: pages of {settings.page_seconds:g} s, thoughts of "
        f"{settings.agent_seconds:g} s"
    )
    columns = ("question", "steps", "plain s", "s", "saved", "hit rate", "lossless")
    rows = [_row(each.question, dataclasses.asdict(each)) for each in runs]
    console().print(table(title, columns, rows, footer=_row("mean", mean_of(runs))))


def _row(name: str, figures: dict[str, Any]) -> list[str]:
    counts = [f"{figures['steps']:g}", f"{figures['plain_seconds']:.2f}", f"{figures['seconds']:.2f}"]
    return [name, *counts, f"{figures['saved']:.1%}", f"{figures['hit_rate']:.0%}", f"{figures['lossless']:g}"]


def _measured(settings: WebBenchSettings) -> Iterator[WebRun]:
    if not settings.episodes:
        return
    guesser = SearchGuesser()
    policy = with_latency(ScriptedSearchPolicy(), settings.agent_seconds)
    with (
        WikiSite(load_corpus("embedded"), latency_s=settings.page_seconds) as site,
        _backend(settings, site.url) as backend,
        gym.make("SpecSearch-v0", backend=backend, split="test") as plain,
    ):
        _play(plain, ScriptedSearchPolicy(), 0)  # starts what has to be started, once, for both
        for index in range(settings.episodes):
            yield _compare(plain, backend, policy, guesser, settings, index)


def _compare(
    plain: Env, backend: Backend, policy: Any, guesser: Guesser, settings: WebBenchSettings, index: int
) -> WebRun:
    start = time.perf_counter()
    expected = _play(plain, lambda observation: policy(observation, CancelToken()), index)
    plain_seconds = time.perf_counter() - start
    wrapped = gym.make("SpecSearch-v0", backend=backend, split="test")
    with SpeculativeWrapper(wrapped, policy, guessers={"policy": guesser}, k=settings.k, limits=settings.limits) as env:
        start = time.perf_counter()
        played = _play(env, env.act, index)
        seconds = time.perf_counter() - start
    return WebRun(
        question=wrapped.unwrapped.questions[index].id,  # type: ignore[attr-defined]
        steps=len(played) - 1,
        plain_seconds=plain_seconds,
        seconds=seconds,
        saved=1 - seconds / plain_seconds,
        hit_rate=env.statistics.hit_rate,
        lossless=int(played == expected),
    )


def _play(env: Env, act: Callable[[Any], Any], index: int) -> list[Any]:
    """Answer a question; returns actions, observations and rewards."""
    observation, _ = env.reset(seed=0, options={"question": index})
    steps: list[Any] = [observation]
    done = False
    while not done:
        action = act(observation)
        observation, reward, terminated, truncated, _ = env.step(action)
        steps.append((action, observation, reward))
        done = terminated or truncated
    return steps


def certified(settings: WebBenchSettings) -> Certificate:
    """Whether the speculative loop gives what the plain loop gives, on ``settings.seeds`` drawn questions."""
    with WikiSite(load_corpus("embedded")) as site, _backend(settings, site.url) as backend:
        return certify(
            lambda: gym.make("SpecSearch-v0", backend=backend, split="dev"),
            ScriptedSearchPolicy(error_rate=0.2),
            {"policy": SearchGuesser()},
            range(settings.seeds),
            k=settings.k,
            limits=settings.limits,
        )


def _backend(settings: WebBenchSettings, url: str) -> Backend:
    if settings.backend == "http":
        return HttpBackend(url, settings=_SETTINGS)
    return BrowserBackend(url, settings=_SETTINGS, max_browsers=settings.browsers)
