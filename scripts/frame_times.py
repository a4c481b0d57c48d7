"""How long Chromium takes to draw a timeline of 2,000 calls while a user zooms: ``python scripts/frame_times.py``.

Prints the milliseconds that the page computes for a frame, and those between frames; 16.7 is a screen's own pace.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options

from spec_envs.pages import page, timelines
from spec_envs.search.web.chromium import find_chromium

NUM_CALLS, NUM_FRAMES = 2000, 240

#: Presses keys of the timeline, one a frame, and waits for each frame.
PLAY = """
const [frames, done] = arguments;
const box = document.querySelector(".timeline");
const keys = ["+", "+", "+", "PageDown", "PageDown", "ArrowRight", "-", "PageUp", "ArrowRight", "0"];
const between = [], drawing = [];
let before = performance.now();
function frame(number) {
  const now = performance.now();
  between.push(now - before);
  before = now;
  if (number === frames) return done([between.slice(1), drawing]);
  box.dispatchEvent(new KeyboardEvent("keydown", { key: keys[number % keys.length], bubbles: true }));
  requestAnimationFrame((begin) => {
    drawing.push(performance.now() - begin); // the timeline has asked for this frame first, and has drawn
    frame(number + 1);
  });
}
requestAnimationFrame(() => frame(0));
"""


def events() -> list[dict[str, object]]:
    """A trace in which many calls overlap."""
    found: list[dict[str, object]] = [{"time_s": 0.0, "kind": "reset", "handler": ""}]
    for number in range(NUM_CALLS):
        begin, is_used = number * 0.05, number % 12 == 0
        call = {"handler": "policy", "call": number, "node": number}
        found.append({"time_s": begin, "kind": "start", "speculative": number % 4 > 0, "probability": 0.3, **call})
        found.append({"time_s": begin + 0.3, "kind": "end", "outcome": "done" if is_used else "stopped", **call})
        if is_used:
            found.append({"time_s": begin + 0.3, "kind": "commit", "outcome": "hit", **call})
    return sorted(found, key=lambda event: event["time_s"])  # type: ignore[arg-type, return-value]


def main() -> None:
    """Measure and print."""
    program, driver = find_chromium()
    options = Options()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--window-size=1280,1400"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "page.html")
            file.write_text(page("Many calls", timelines(events())), encoding="utf-8")
            browser.get(file.as_uri())
            browser.set_script_timeout(120)
            between, drawing = browser.execute_async_script(PLAY, NUM_FRAMES)
    finally:
        browser.quit()
    for name, times in (("computing a frame", drawing), ("between frames", between)):
        median, p95 = statistics.median(times), statistics.quantiles(times, n=20)[-1]
        sys.stdout.write(
            f"{name}: median {median:.1f} ms, p95 {p95:.1f} ms, {len(times)} frames of {NUM_CALLS:,} calls\n"
        )


if __name__ == "__main__":
    main()
