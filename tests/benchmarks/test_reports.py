"""Tables: words stay whole for as long as the terminal has room for them."""

from __future__ import annotations

import itertools
import json
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
from rich.console import Console

from spec_envs.benchmarks import reports, sweep
from spec_envs.benchmarks.episodes import tokens_of
from spec_envs.usage import Usage
from spec_envs.wrappers import Statistics

COLUMNS = ("mode", "p95 over 20 s", "cancelled", "lossless")
ROW = ("last-write-wins", "101.25 ms", "12.5", "1")


def lines(monkeypatch, width):
    console = Console(width=width, highlight=False)
    monkeypatch.setattr(reports, "console", lambda: console)
    with console.capture() as capture:
        console.print(reports.table("A title", COLUMNS, [ROW], footer=("mean", *ROW[1:])))
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize("width", [120, 50, 48, 44, 42])
def test_headings_and_cells_are_broken_between_words(monkeypatch, width):
    shown = lines(monkeypatch, width)
    words = set(" ".join(shown).split())
    assert {word for cell in (*COLUMNS, *ROW, "mean") for word in cell.split()} <= words
    assert max(map(len, shown)) <= width


def test_the_first_column_is_on_the_left_and_the_others_on_the_right(monkeypatch):
    title, headings, rule, row, _, mean = lines(monkeypatch, 120)
    assert title == "A title" and set(rule) == {"─"}
    assert headings == "mode             p95 over 20 s  cancelled  lossless"
    assert row == "last-write-wins      101.25 ms       12.5         1"
    assert mean == "mean                 101.25 ms       12.5         1"


def test_words_are_broken_where_nothing_else_helps(monkeypatch):
    shown = lines(monkeypatch, 20)
    assert max(map(len, shown)) <= 20
    assert "ms" in "".join(shown)


class TestProgressWithoutATerminal:
    def test_is_a_line_now_and_then_also_during_one_long_step(self, monkeypatch, capsys):
        monkeypatch.setattr(reports, "_LINE_S", 0.001)
        shown = ""
        with reports.progress("serving", 3) as advance:
            advance()
            for _ in itertools.count():
                shown += capsys.readouterr().err
                if "serving: 1 of 3 after " in shown:
                    break
                time.sleep(0)
        assert capsys.readouterr().out == ""

    def test_is_silent_where_a_report_for_a_program_is_wanted(self, monkeypatch, capsys):
        monkeypatch.setattr(reports, "_LINE_S", 0.0)

        def run():
            with reports.progress("serving", 3) as advance:
                advance()
            assert capsys.readouterr() == ("", "")
            return {"served": 3}

        reports.publish(Path("-"), run, lambda report: [])
        assert json.loads(capsys.readouterr().out) == {"served": 3}

    def test_what_libraries_print_meanwhile_is_not_in_the_json(self, capsys):
        def run():
            sys.stdout.write("(raylet) a node has died\n")
            return {"served": 3}

        reports.publish(Path("-"), run, lambda report: [])
        out, err = capsys.readouterr()
        assert json.loads(out) == {"served": 3} and err == "(raylet) a node has died\n"

    def test_items_are_passed_on_one_by_one(self):
        watched = reports.watched(iter("abc"), "letters", 3)
        assert [next(watched), *watched] == ["a", "b", "c"]
        assert reports.collected(iter("abc"), "letters", 3) == ["a", "b", "c"]


def test_tables_fit_eighty_columns_where_there_is_no_terminal():
    assert reports.console().width == 80


@pytest.mark.parametrize("experiment", ["chess", "retail", "search", "search_web", "tuning"])
def test_headings_fit_eighty_columns_without_broken_words(experiment):
    columns = import_module(f"spec_envs.benchmarks.{experiment}.run")._COLUMNS
    assert sum(max(map(len, heading.split())) + 1 for heading in columns) <= 81


@pytest.mark.parametrize(
    ("share", "text"), [(1, "yes"), (1.0, "yes"), (0, "no"), (0.25, "no: only 25.0%"), (None, "-"), ("no", "no")]
)
def test_whether_episodes_were_lossless_is_told_in_one_way(share, text):
    console = Console(width=80)
    columns = {"run": "{run}", "same": "{same:yes}"}
    with console.capture() as capture:
        console.print(reports.table_of("A title", columns, [{"run": 1, "same": share}]))
    assert capture.get().splitlines()[-1].split(maxsplit=1)[1].strip() == text


@pytest.mark.parametrize(
    "cell", ["x{it:.2f}", "{it:,.0f} s", "{it:.1%}", "{one:.1%}-{it:.1%}", "{it[low]}", "{it:yes}"]
)
def test_a_figure_that_does_not_exist_leaves_no_unit_behind(cell):
    console = Console(width=80)
    with console.capture() as capture:
        figures = {"run": 1, "one": 0.5, "it": {"low": None} if "low" in cell else None}
        console.print(reports.table_of("A title", {"run": "{run}", "it": cell}, [figures]))
    assert capture.get().splitlines()[-1].split() == ["1", "-"]


@pytest.mark.parametrize(("tokens", "partial", "text"), [(0, None, "unknown"), (10, 1.5, "x1.50, or x2.00")])
def test_tokens_that_nobody_counts_are_unknown(tokens, partial, text):
    usage = Usage(tokens_out=tokens)
    counted = tokens_of(Statistics(committed=usage, wasted=usage * 0.5, wasted_full=usage))
    assert (counted["tokens_partial"] is None, counted["tokens_partial"]) == (tokens == 0, partial)
    assert text in reports.tokens_text(reports.mean_of_rows([counted]))


def test_a_sweep_without_tokens_counts_calls():
    def point(selectivity, saved, wasted):
        calls = {"committed": 10.0, "wasted": wasted}
        return {"selectivity": selectivity, "mean": {"saved": saved, "calls": calls, "tokens_full": None}}

    console = Console(width=80)
    with console.capture() as capture:
        for each in sweep.show({"sweep": [point(0.0, 0.2, 20.0), point(0.5, 0.2, 5.0), point(1.0, 0.0, 0.0)]}):
            console.print(each)
    shown = capture.get()
    rows = [line.split() for line in shown.splitlines() if "%" in line and "x" in line]
    assert rows == [["0", "20.0%", "x3.00"], ["0.5", "20.0%", "x1.50", "*"], ["1", "0.0%", "x1.00", "*"]]
    assert "x3.0 calls" in shown and "unknown" in shown
