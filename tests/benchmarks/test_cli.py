"""The command ``spec-envs``: help, version, the demonstration, and errors without tracebacks."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from spec_envs import extras
from spec_envs.benchmarks import demo
from spec_envs.benchmarks.chess.run import LIKE_GPT5, made_up_game
from spec_envs.benchmarks.cli import Commands, main
from spec_envs.benchmarks.demo import Race
from spec_envs.benchmarks.episodes import Step
from spec_envs.benchmarks.overhead import Measured
from spec_envs.benchmarks.overhead import chess as chess_overhead
from spec_envs.benchmarks.overhead import copies as overhead_copies
from spec_envs.benchmarks.overhead import pattern as pattern_overhead
from spec_envs.benchmarks.overhead import plain_steps as plain_steps_overhead
from spec_envs.benchmarks.overhead import retail as retail_overhead
from spec_envs.benchmarks.overhead import run as overhead
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.wrappers import LastWriteWins, SpeculativeWrapper

ROOT = Path(__file__).parents[2]
UNCHANGED = {"lossless": 1, "clock": "virtual"}


@pytest.fixture(autouse=True)
def without_stockfish(monkeypatch):
    monkeypatch.setenv("SPEC_ENVS_STOCKFISH", "/not/installed")


def run(*args: object):
    return CliRunner().invoke(main, list(map(str, args)))


class TestMain:
    def test_help_lists_the_commands(self):
        result = run("--help")
        assert result.exit_code == 0
        assert "bench" in result.output and "demo" in result.output
        assert "chess" in run("bench", "--help").output

    def test_help_imports_no_tables_engines_or_models(self):
        code = (
            "import sys\nfrom spec_envs.benchmarks.cli import main\nmain(['--help'], standalone_mode=False)\n"
            "print([name for name in ('rich', 'openai', 'selenium', 'chess') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
        assert done.stdout.endswith("[]\n"), done.stdout + done.stderr

    def test_version(self):
        version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        assert version in run("--version").output

    @pytest.mark.parametrize("args", [["nothing"], ["bench", "nothing"], ["bench", "chess", "--nothing"]])
    def test_what_does_not_exist_is_a_usage_error(self, args):
        assert run(*args).exit_code == 2

    @pytest.mark.parametrize(
        "error, code",
        [
            (InvalidConfiguration("k must be odd"), 2),
            (HandlerFailed("the opponent left"), 1),
            (FileNotFoundError(2, "No such file", "game.json"), 2),
        ],
    )
    def test_an_error_is_one_line(self, error, code):
        @click.group(cls=Commands)
        def group() -> None: ...

        @group.command()
        def fail() -> None:
            raise error

        result = CliRunner().invoke(group, ["fail"])
        assert result.exit_code == code
        assert result.stderr.count("\n") == 1
        assert str(error.args[-1]) in result.stderr

    def test_a_bug_of_ours_is_not_hidden(self):
        @click.group(cls=Commands)
        def group() -> None: ...

        @group.command()
        def fail() -> None:
            raise ZeroDivisionError

        assert isinstance(CliRunner().invoke(group, ["fail"]).exception, ZeroDivisionError)


class TestExtras:
    @pytest.mark.parametrize(
        ("name", "extra", "package"),
        [
            ("tools", "mcp,openai-agents,servers", "openai-agents"),
            ("served-chess", "servers", "uvicorn"),
            ("search-web", "servers", "starlette"),
            ("tuning", "tuning", "scikit-learn"),
        ],
    )
    def test_one_message_names_what_is_missing_and_the_command_that_installs_it(
        self, monkeypatch, name, extra, package
    ):
        monkeypatch.setattr(extras, "_is_installed", lambda other: other != package)
        result = run("bench", name)
        assert result.exit_code == 2 and result.stderr.count("\n") == 1
        assert package in result.stderr and f"pip install 'spec-envs[{extra}]'" in result.stderr

    def test_what_is_installed_is_not_missing(self):
        extras.require("nothing", "mcp", "openai-agents", "plot", "servers", "tuning")


class TestDemo:
    @pytest.fixture(autouse=True)
    def few_episodes(self, monkeypatch):
        """The rows of the four environments are tested with bench all."""
        row = {"sequential_s": 2.0, "speculative_s": 1.0, "saved": 0.5, "hit_rate": 0.5, "tokens_full": 1.5}
        monkeypatch.setattr(demo, "in_order", lambda work, units, workers: ([row | UNCHANGED] for _ in units))

    def test_plays_the_same_game_twice_and_writes_a_report(self, tmp_path):
        result = run("demo", "--plies", 6, "--speed", 20000, "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output
        assert "made-up" in result.stdout and "built-in engine" in result.stdout
        assert "the same, move by move" in result.stdout
        for name in ("chess", "retail", "search", "tuning"):
            assert f"\n{name} " in result.stdout
        for number, move in enumerate(made_up_game(6, 4, LIKE_GPT5).moves):
            line = f"{number // 2 + 1}{'.' if number % 2 == 0 else '...'} {move}"
            assert result.stdout.count(line) == 2
        report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        assert '"view":"chess"' in report and '"name":"chess, live"' in report
        lines = (tmp_path / "out" / "demo.jsonl").read_text().splitlines()
        outcomes = [json.loads(line)["outcome"] for line in lines if json.loads(line)["kind"] == "commit"]
        hits, windows = outcomes.count("hit"), 6 - outcomes.count("unguessed")  # as the page counts them
        assert len(outcomes) == 6 and f": {hits} of {windows} responses were guessed" in result.stdout

    def test_plays_a_recorded_game_and_opens_the_report(self, tmp_path, monkeypatch):
        opened: list[str] = []
        monkeypatch.setattr("webbrowser.open", opened.append)
        plies = [
            {"move": move, "actor_seconds": 5, "actor_tokens": {"in": 1, "out": 2}} for move in ("e2e4", "e7e5", "g1f3")
        ]
        path = tmp_path / "short.json"
        path.write_text(json.dumps({"plies": plies}))
        result = run("demo", "--game", path, "--speed", 2000, "--out", tmp_path / "out", "--open")
        assert result.exit_code == 0, result.output
        assert "short" in result.stdout and "2. g1f3" in result.stdout
        assert "the same, move by move" in result.stdout
        assert opened == [(tmp_path / "out" / "report.html").as_uri()]

    def test_a_terminal_shows_both_boards_side_by_side(self):
        text = io.StringIO()
        screen = Console(file=text, force_terminal=True, width=80, height=40)
        game = made_up_game(2)
        step = Step(None, {"history": " ".join(game.moves)}, 0.0, {})
        with Race(screen, game) as race:
            race.start("plain")(step)
            race.start("speculative")(step)
        (line,) = [line for line in text.getvalue().splitlines()[-20:] if "plain" in line and "speculative" in line]
        assert line.index("plain") < line.index("speculative")

    @pytest.mark.parametrize("args", [["--game", "missing.json"], ["--speed", 0], ["--plies", 0], ["--plies", 5000]])
    def test_refuses_what_makes_no_sense(self, args, tmp_path):
        result = run("demo", *args, "--out", tmp_path)
        assert result.exit_code == 2
        assert "Traceback" not in result.output


class TestStandIn:
    def test_is_a_legal_game_and_the_same_every_time(self):
        game = made_up_game(40, seed=3)
        assert len(game.plies) == 40
        assert game == made_up_game(40, seed=3) != made_up_game(40, seed=4)
        assert made_up_game(20, seed=3).plies == game.plies[:20]


class TestOverhead:
    def test_reports_what_was_measured(self, monkeypatch):
        monkeypatch.setattr(overhead, "_PLIES", 6)
        monkeypatch.setattr(overhead, "_FORKS", 5)
        monkeypatch.setattr(overhead, "_EPISODES", 1)
        monkeypatch.setattr(overhead, "_RUNS", 1)  # a busy machine would still guess at the end
        monkeypatch.setattr(overhead_copies, "COPIES", 3)
        monkeypatch.setattr(overhead_copies, "EPISODES", 1)
        monkeypatch.setattr(chess_overhead, "GAMES", 1)
        for name, value in (("NUM_TOOLS", 5), ("EVENTS", 30), ("LEARNED", 1), ("MEASURED", 10)):
            monkeypatch.setattr(pattern_overhead, name, value)
        monkeypatch.setattr(chess_overhead, "pettingzoo_is_installed", lambda: False)
        self._fix_times(monkeypatch)
        monkeypatch.setattr(plain_steps_overhead, "TURNS", 20)
        monkeypatch.setattr(retail_overhead, "FORKS", 5)
        monkeypatch.setattr(retail_overhead, "LIVE_FORKS", 20)
        monkeypatch.setattr(retail_overhead, "EPISODES", 2)
        monkeypatch.setattr(retail_overhead, "SIZES", (1, 2))
        result = run("bench", "overhead", "--json", "-")
        assert result.exit_code == 0, result.output
        figures = json.loads(result.stdout)["figures"]
        assert len(figures) >= 10
        times_without_spread = [figure for figure in figures if "(plain: 1.000 ms)" in figure["name"]]
        assert len(times_without_spread) == 20 and {figure["measured"] for figure in times_without_spread} == {2.0}
        # A process may give memory back while it is measured.
        assert all(figure["measured"] >= (-1 if figure["unit"] == "MB" else 0) for figure in figures)
        assert {"name", "unit", "measured", "target", "at_least", "met"} == set(figures[0])

    def _fix_times(self, monkeypatch):
        """Have every step really made, and take 1 ms without a wrapper and 3 ms with one: real times vary too much."""
        step_ms, step_ms_async = overhead._step_ms, overhead._step_ms_async

        def fixed(env, act):
            assert step_ms(env, act) > 0
            return 3.0 if isinstance(env, SpeculativeWrapper | LastWriteWins) else 1.0

        async def fixed_async(env):
            assert await step_ms_async(env) > 0
            return 3.0

        monkeypatch.setattr(overhead, "_step_ms", fixed)
        monkeypatch.setattr(overhead, "_step_ms_async", fixed_async)

    def test_shows_targets_in_a_table(self, monkeypatch):
        monkeypatch.setattr(overhead, "_steps", lambda: iter([Measured("a step", "ms", 2.0, 1.0)]))
        for name in ("_forks", "_search_forks", "_windows", "_copies", "_cancels", "_tool_calls", "_replay"):
            monkeypatch.setattr(overhead, name, lambda: iter([]))
        monkeypatch.setattr(retail_overhead, "figures", lambda: iter([]))
        monkeypatch.setattr(chess_overhead, "figures", lambda: iter([]))
        monkeypatch.setattr(pattern_overhead, "figures", lambda: iter([]))
        monkeypatch.setattr(chess_overhead, "pettingzoo_is_installed", lambda: False)
        result = run("bench", "overhead")
        assert "a step" in result.stdout and "<= 1 ms" in result.stdout and "NO" in result.stdout
        assert "pip install pettingzoo pygame-ce" in result.stdout


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in group.commands.items():
        here = (*path, name)
        found += commands(command, here) if isinstance(command, click.Group) else [here]
    return found


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_help_is_in_whole_sentences(path: tuple[str, ...]) -> None:
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert "..." not in result.output.replace("[ARGS]...", "").replace("FILE...", "")
    assert "None" not in result.output
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help and command.help.strip().endswith((".", ").")) and command.help[0].isupper()
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help and option.help.partition("  [default")[0].endswith("."), option.name


def wanting() -> list[tuple[str, ...]]:
    def of(path: tuple[str, ...]) -> click.Command:
        command: click.Command = main
        for name in path:
            assert isinstance(command, click.Group)
            command = command.commands[name]
        return command

    return [path for path in commands() if any(each.required for each in of(path).params)]


@pytest.mark.parametrize("path", wanting(), ids=" ".join)
def test_a_command_names_what_must_be_given(path: tuple[str, ...]) -> None:
    result = run(*path)
    assert result.exit_code == 2 and "Error: Missing " in result.stderr and "Traceback" not in result.output


class TestTrace:
    def test_follow_writes_no_page(self, tmp_path):
        result = run("trace", "--follow", tmp_path / "live.jsonl", "--out", tmp_path / "page.html")
        assert result.exit_code == 2 and "--follow shows the trace in the terminal and writes no page" in result.output

    def test_follow_says_that_it_waits_for_the_file(self, tmp_path, monkeypatch):
        def interrupted(seconds: float) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("spec_envs.benchmarks.trace.time.sleep", interrupted)
        result = run("trace", "--follow", tmp_path / "live.jsonl")
        assert result.exit_code == 0
        assert f"waiting for {tmp_path / 'live.jsonl'}" in result.output.replace("\n", "")


@pytest.mark.parametrize(("game", "said"), [("chess", "Black's move in "), ("retail", "the customer's answer to ")])
def test_play_ends_with_the_input(game: str, said: str) -> None:
    result = run("play", game, "--agent-seconds", 0)
    assert result.exit_code == 0
    assert f"Nothing more is played: the input ended before {said}" in result.output
