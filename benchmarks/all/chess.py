"""Chess: accuracy and time saved against the number of guesses, and time against tokens."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spec_envs.agents import RecordedChessGuesser
from spec_envs.agents.chess.policies import position_of
from spec_envs.benchmarks.all.figures import PAPER, Figure, Point, Rows, figure, said, series
from spec_envs.benchmarks.all.here import Here
from spec_envs.benchmarks.all.units import Row, Unit
from spec_envs.benchmarks.chess import ChessSettings, Fit, Guesses
from spec_envs.benchmarks.chess.run import LIKE_GPT5, ChessBench, made_up_game
from spec_envs.calls import Call
from spec_envs.chess.games import RecordedGame
from spec_envs.guesses import Guess, Guesser
from spec_envs.handling import CancelToken

#: The rows behind the summary.
HEADLINE = {"figure": "headline"}
#: arXiv 2510.04371v2, five games, k=3, 30 plies.
PAPER_HITS, PAPER_SAVED = 0.547, 0.195
_PLIES = (30, 50)
_CONFIDENCE = "the paper's confidence rule"
_MADE_UP = 5
_KS = (1, 2, 3)
_THRESHOLDS = (0.1, 0.3, 0.5, 0.7)
_SELECTIVITIES = (0.0, 0.05, 0.1, 0.25, 0.6)


def plan(here: Here, *, quick: bool, seed: int) -> Iterator[Unit]:
    """The units: each game by each rule and guesser."""
    games: Sequence[Any] = here.games or [f"made up {number}" for number in range(_MADE_UP)]
    # The moves of made-up players are drawn so that the built-in engine knows the usual share of them.
    best: Guesses = "stockfish" if here.stockfish and here.games else "builtin"
    theirs: Guesses = "recorded" if here.games else best
    for game in games:
        yield _unit(game, games, {"figure": "headline"}, ChessSettings(guesses=best, seed=seed), named=game == games[0])
        for plies in _PLIES:
            for k in _KS:
                for rules in ("paper", "tree"):
                    settings = ChessSettings(guesses=theirs, rules=rules, k=k, plies=plies, seed=seed)
                    yield _unit(game, games, {"figure": "k", "rules": rules, "k": k, "plies": plies}, settings)
        for tags, settings in _front(theirs, best, recorded=bool(here.games), seed=seed):
            if not quick or settings.selectivity in (0.0, 0.1, 0.6):
                yield _unit(game, games, {"figure": "front", **tags}, settings)


def _front(
    theirs: Guesses, best: Guesses, *, recorded: bool, seed: int
) -> Iterator[tuple[dict[str, Any], ChessSettings]]:
    """What is tried for the figure of time against tokens."""
    if recorded:
        papers = ChessSettings(guesses="recorded", rules="paper", selectivity=0.0, seed=seed)
        for threshold in _THRESHOLDS:
            yield {"rule": _CONFIDENCE, "dial": threshold}, papers
    named: dict[str, Guesses] = {"the same guesses": theirs, best: best, "model of moves": "move-model"}
    if not recorded:
        del named["the same guesses"]
    for name, guesses in named.items():
        fit: Fit = "leave-one-out" if guesses == "move-model" and recorded else "shipped"
        for dial in _SELECTIVITIES:
            settings = ChessSettings(guesses=guesses, fit=fit, selectivity=dial, seed=seed)
            yield {"rule": f"ours, {name}", "dial": dial}, settings


def _unit(
    game: Any, games: Sequence[Any], tags: Mapping[str, Any], settings: ChessSettings, *, named: bool = False
) -> Unit:
    files = [each for each in (games if settings.fit == "leave-one-out" else [game]) if isinstance(each, Path)]
    others = [str(each) for each in games if each != game] if settings.fit == "leave-one-out" else []
    return Unit(
        part="chess",
        tags=tags,
        settings=settings,
        items=[str(game), *others],
        cost_s=(0.4 + settings.plies / 60) * (4 if settings.selectivity == 0 and settings.rules == "tree" else 1),
        name=f"chess: {Path(str(game)).stem}" if named else "",
        files=files,
    )


def work(unit: Unit) -> list[Row]:
    """Replay one game."""
    settings: ChessSettings = unit.settings
    games = [_game(item, settings.plies) for item in unit.items]
    threshold = unit.tags.get("dial") if unit.tags.get("rule") == _CONFIDENCE else None
    if threshold is None:
        bench = ChessBench(games, settings)
    else:
        bench = _ConfidentBench(games, settings, _scores(Path(unit.items[0])), threshold)
    with bench:
        found = dataclasses.asdict(bench.replay(games[0]))
    return [{"episode": found.pop("game"), "clock": settings.clock, **found}]


def _game(item: str, plies: int) -> RecordedGame:
    if not item.startswith("made up "):
        return RecordedGame.load(item)
    game = made_up_game(plies, int(item.removeprefix("made up ")), LIKE_GPT5)
    return dataclasses.replace(game, name=item)


def _scores(file: Path) -> list[dict[str, float]]:
    """By ply, how sure the recorded guesser said that it was of each of its moves, in percent."""
    plies = json.loads(file.read_text("utf-8"))["plies"]
    known = [ply.get("confidence") or {"moves": [], "scores": []} for ply in plies]
    return [dict(zip(each["moves"], each["scores"], strict=True)) for each in known]


class _ConfidentBench(ChessBench):
    """Replays games by the paper's confidence rule."""

    def __init__(
        self,
        games: Sequence[RecordedGame],
        settings: ChessSettings,
        scores: Sequence[Mapping[str, float]],
        least: float,
    ) -> None:
        super().__init__(games, settings)
        self._scores, self._least = scores, least

    def guesser(self, game: RecordedGame) -> Guesser:
        """The recorded guesses, of which the rule keeps some."""
        return _Confident(RecordedChessGuesser(game, self.settings.k), self._scores, self._least)


class _Confident:
    """Keeps the m-th guess while (1 - p_1) … (1 - p_(m-1)) p_m is at least ``least``, with the guesser's own scores."""

    def __init__(self, inner: RecordedChessGuesser, scores: Sequence[Mapping[str, float]], least: float) -> None:
        self._inner, self._scores, self._least = inner, scores, least

    def guess(self, call: Call, k: int, cancel: CancelToken) -> list[Guess]:
        """The guesses that are worth a branch; all of them were paid for."""
        position = position_of(call)
        number = None if position is None else self._inner.game.ply_of(position)
        scores = {} if number is None else self._scores[number]
        kept: list[Guess] = []
        wrong_so_far = 1.0
        for guess in self._inner.guess(call, k, cancel):
            p = scores.get(str(guess.response), 0.0) / 100
            if wrong_so_far * p < self._least:
                break
            kept.append(Guess(guess.response, wrong_so_far * p))
            wrong_so_far *= 1 - p
        return kept

    def observe(self, call: Call, response: Any) -> None:
        """Nothing is learned: the rule takes the scores at their word."""


def figures(rows: Rows) -> list[Figure]:
    """The figures of this part."""
    recorded = not any(str(row["episode"]).startswith("made up") for row in rows.rows)
    of_games = "recorded games of gpt-5" if recorded else "made-up games, whose players stand in for language models"
    names = {"paper": "the paper's rules", "tree": "our tree, 4 calls at once"}
    k = rows.where(figure="k")
    found: list[Figure] = []
    for name, title, paper in (
        ("hit_rate", "Chess: moves guessed right", PAPER_HITS),
        ("saved", "Chess: time saved", PAPER_SAVED),
    ):
        shown = [
            series(
                f"{names[rules]}, {plies} plies",
                [group.point(n, name) for n in _KS for group in [_at(k, rules, n, plies)]],
            )
            for rules in names
            for plies in _PLIES
        ]
        about = f"By the number of guesses for a move; {len(rows.where(**HEADLINE))} {of_games}."
        if recorded:
            shown.append(said({3: paper}, f"{PAPER} (5 games, 30 plies)"))
            about += " The paper has five games, of which three are here."
        command = "spec-envs bench chess --games … --guesses recorded --k 3 --rules paper"
        found += figure(title, about, ("guesses", "share"), shown, command=command)
    return [*found, *_tokens(rows.where(figure="front"), k)]


def _at(rows: Rows, rules: str, k: int, plies: int) -> Rows:
    return rows.where(rules=rules, k=k, plies=plies)


def _tokens(front: Rows, k: Rows) -> list[Figure]:
    """Time against tokens."""
    shown = []
    for rule in front.tags("rule"):
        group = front.where(rule=rule)
        by_dial = {dial: group.where(dial=dial) for dial in group.tags("dial")}
        dials = sorted(by_dial, key=lambda dial: by_dial[dial].mean("tokens_full") or 0.0)
        shown.append(series(rule, [_against_tokens(by_dial[dial], f"{dial:g}") for dial in dials]))
    papers = [_against_tokens(_at(k, "paper", n, 30), f"k={n}") for n in _KS]
    shown.append(series("the paper's rules, k = 1, 2, 3", papers, "points"))
    about = (
        "30 plies; tokens relative to no speculation, cancelled calls charged in full. The further up and to the left, "
        "the better. "
    )
    about += (
        "Each line is one rule at several settings: the least gain of a branch for the paper's confidence rule (one "
        "call ahead), the selectivity for ours."
        if _CONFIDENCE in front.tags("rule")
        else "Each line is our rule with one guesser, at several selectivities."
    )
    command = "spec-envs bench chess --games … --sweep"
    return figure("Chess: time against tokens", about, ("tokens", "time saved"), shown, command=command)


def _against_tokens(group: Rows, label: str) -> Point | None:
    tokens = group.mean("tokens_full")
    return None if tokens is None else group.point(tokens, "saved", label)
