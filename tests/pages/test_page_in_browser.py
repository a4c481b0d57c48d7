"""The page of a trace in real Chromium: it opens from disk, and is worked with mouse, keyboard and a screen reader."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from spec_envs.benchmarks.all import AllSettings, units
from spec_envs.benchmarks.all import run as all_of_it
from spec_envs.benchmarks.all.run import html_of
from spec_envs.benchmarks.all.units import Unit
from spec_envs.benchmarks.chess import ChessSettings
from spec_envs.pages import page, timelines
from tests.browsing import chromium
from tests.pages.test_timeline import EVENTS, event, play_chess
from tests.search.sites import needs_chromium

FRONTEND = Path(__file__).parents[2] / "frontend"
AXE = FRONTEND / "node_modules/axe-core/axe.min.js"

SUMMARY = {
    "name": "chess",
    "episodes": 3,
    "sequential_s": {"value": 700.0},
    "speculative_s": {"value": 400.0},
    "saved": {"value": 0.43, "low": 0.4, "high": 0.46},
    "hit_rate": {"value": 0.7},
    "tokens_full": {"value": 2.0},
    "lossless": "yes",
    "clock": "virtual",
}
FIGURE = {
    "title": "Time saved",
    "about": "Made up.",
    "command": "spec-envs bench chess",
    "x": "calls at once",
    "y": "time saved",
    "percent_y": True,
    "series": [
        {"name": "ours", "points": [{"x": 1, "y": 0.1, "low": 0.05, "high": 0.15}, {"x": 2, "y": 0.3}]},
        {"name": "theirs", "kind": "points", "points": [{"x": 1, "y": 0.2}]},
    ],
}


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with chromium() as found:
        found.set_window_size(1200, 1400)
        yield found


def open_page(browser: webdriver.Chrome, folder: Path, text: str) -> None:
    (folder / "page.html").write_text(text, encoding="utf-8")
    browser.get((folder / "page.html").as_uri())
    errors = [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert errors == []


def shown(browser: webdriver.Chrome) -> str:
    """The panel about the chosen call."""
    return browser.find_element(By.CSS_SELECTOR, ".panel[aria-live]").text


@pytest.fixture
def game(browser: webdriver.Chrome, tmp_path: Path) -> webdriver.Chrome:
    episodes = timelines((each.as_dict() for each in play_chess()), "game")
    open_page(browser, tmp_path, page("A game", episodes, summary=[SUMMARY], figures=[FIGURE], facts=[("seed", "0")]))
    return browser


pytestmark = needs_chromium


def test_the_keyboard_goes_through_the_calls(game):
    timeline = game.find_element(By.CSS_SELECTOR, ".timeline")
    timeline.send_keys(Keys.HOME)
    assert "Call 0: policy" in shown(game)
    assert "the episode waits for it" in shown(game)
    timeline.send_keys(Keys.ARROW_DOWN)
    assert "made ahead" in shown(game)
    timeline.send_keys(Keys.END)
    last = shown(game)
    timeline.send_keys(Keys.ARROW_LEFT)
    assert shown(game) != last


def test_responses_are_counted_as_the_statistics_count_them(browser, tmp_path):
    unpredicted = event(15.0, "commit", "user", outcome="unguessed")
    for events, told in (
        (EVENTS, "1 of 2 responses were guessed."),
        ([*EVENTS, unpredicted], "1 of 2 responses were guessed; 1 more were not predicted."),
    ):
        open_page(browser, tmp_path, page("A game", timelines(events, "game"), summary=[SUMMARY]))
        assert browser.find_element(By.CSS_SELECTOR, ".sentence").text.endswith(told)
    heads = [
        each.text
        for each in browser.find_elements(By.CSS_SELECTOR, "[aria-label='Summary of all environments'] thead th")
    ]
    assert heads == [
        "environment",
        "episodes",
        "plain",
        "speculative",
        "saved",
        "hit rate",
        "tokens",
        "lossless",
        "clock",
    ]


def test_a_click_and_the_table_choose_a_call(game):
    timeline = game.find_element(By.CSS_SELECTOR, ".timeline")
    rest = timeline.rect["width"] / 2 - 130  # the first call that the episode waits for begins here, in the third row
    ActionChains(game).move_to_element_with_offset(
        timeline, -int(rest), 24 + 20 + 14 + 10 - int(timeline.rect["height"] / 2)
    ).click().perform()
    assert "Call 0: policy" in shown(game)
    game.find_element(By.XPATH, "//summary[contains(., 'as a table')]").click()
    game.find_elements(By.CSS_SELECTOR, "details td button")[3].click()
    assert "Call 0:" not in shown(game)


def test_zooming_shows_a_part_and_all_again(game):
    def picture() -> Any:
        return game.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() =>"
            "done(document.querySelector('.timeline canvas').toDataURL())))"
        )

    whole = picture()
    buttons = {each.get_attribute("aria-label"): each for each in game.find_elements(By.TAG_NAME, "button")}
    buttons["Zoom in"].click()
    assert picture() != whole
    buttons["All: show the whole episode"].click()
    assert picture() == whole


def test_the_cursor_replays_the_game(game):
    def moves() -> list[str]:
        text = game.find_element(By.CSS_SELECTOR, ".board + p").text
        return [word for word in text.split() if not word.endswith(".")]

    assert len(moves()) == 6
    [cursor] = game.find_elements(By.CSS_SELECTOR, "input[type=range]")
    cursor.send_keys(Keys.HOME)
    assert game.find_element(By.CSS_SELECTOR, ".board + p").text == "No move yet."
    forward = game.find_element(By.XPATH, "//button[@aria-label='Next response']")
    seen = 0
    for _ in range(6):  # responses that came at one moment are shown together
        forward.click()
        assert len(moves()) >= seen
        seen = len(moves())
    assert seen == 6


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed (scripts/node-packages installs them)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_axe_finds_no_violation(game, scheme, width):
    game.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    game.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        game.refresh()
        game.execute_script(AXE.read_text("utf-8"))
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = game.execute_async_script(
            "const done = arguments[1]; axe.run(document, {runOnly: arguments[0]}).then(done)", tags
        )
        assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []
        assert game.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        game.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        game.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("view", ["dialogue", "transcript", "curve"])
def test_other_episodes_are_replayed_too(browser, tmp_path, view):
    events = [dict(each, view=view) if each["kind"] == "observe" else each for each in EVENTS]
    if view == "curve":
        events = [
            dict(each, response="value 12.5 ms (p95)") if each.get("outcome") == "done" else each for each in events
        ]
    open_page(browser, tmp_path, page(view, timelines(events)))
    assert "2 of 2 responses" in browser.find_element(By.TAG_NAME, "main").text
    assert bool(browser.find_elements(By.CSS_SELECTOR, ".panel circle")) == (view == "curve")


def test_two_thousand_calls_are_drawn(browser, tmp_path):
    events = [event(0, "reset")]
    for number in range(2000):
        begin = number * 0.05
        events += [
            event(begin, "start", call=number, node=number, speculative=number % 4 > 0, probability=0.3),
            event(
                begin + 0.3, "end", call=number, node=number, outcome="stopped" if number % 3 else "done", response="r"
            ),
        ]
        if number % 12 == 0:
            events.append(event(begin + 0.3, "commit", call=number, node=number, outcome="hit"))
    open_page(browser, tmp_path, page("Many calls", timelines(sorted(events, key=lambda each: each["time_s"]))))
    assert "All 2000 calls as a table" in browser.page_source
    browser.find_element(By.CSS_SELECTOR, ".timeline").send_keys("+" * 20, Keys.PAGE_DOWN * 5, "0")


def test_the_report_of_everything_shows_summary_figures_and_timelines(browser, tmp_path):
    settings = ChessSettings(plies=4, guesses="builtin")
    planned = [
        Unit(part="chess", tags={"figure": "headline"}, settings=settings, items=["made up 0"], name="chess: a game"),
        *(
            Unit(part="theory", tags={"depth": depth, "latency": "fixed", "p": p}, items=(0, 3))
            for depth in ("depth 1", "any depth")
            for p in (0.5, 1.0)
        ),
    ]
    results = [units.run(unit, "") for unit in planned]
    report = all_of_it.report_of(AllSettings(out=tmp_path, quick=True), results, [])
    assert report["failed"] == []
    open_page(browser, tmp_path, html_of(report, results))
    text = browser.find_element(By.TAG_NAME, "main").text
    assert "of 4 responses were guessed." in text and "Theory: fixed latencies" in text
    rows = browser.find_elements(By.CSS_SELECTOR, "[aria-label='Summary of all environments'] tbody tr")
    assert len(rows) == 1 and "yes" in rows[0].text
    assert len(browser.find_elements(By.CSS_SELECTOR, "figure svg[role=img]")) == len(report["figures"]) == 1
    assert len(browser.find_elements(By.CSS_SELECTOR, "figure details table")) == 1


@pytest.mark.skipif(
    not (shutil.which("npm") and (FRONTEND / "node_modules/vite").exists()),
    reason="the packages of frontend/ are not installed (scripts/node-packages installs them)",
)
def test_the_built_page_is_that_of_the_sources(tmp_path):
    subprocess.run(
        ["npm", "run", "build", "--", "--outDir", str(tmp_path)], cwd=FRONTEND, check=True, capture_output=True
    )
    committed = FRONTEND.parent / "spec_envs/pages/built/index.html"
    assert (tmp_path / "index.html").read_text("utf-8") == committed.read_text("utf-8")
