"""Chromium for tests that look at pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from selenium import webdriver

from spec_envs.search.web.chromium import find_chromium


@contextmanager
def chromium(phone_width: int | None = None) -> Iterator[webdriver.Chrome]:
    """A browser that keeps its log; ``phone_width``: pages are as narrow as on a phone, in pixels."""
    program, driver = find_chromium()
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if phone_width is not None:
        metrics = {"width": phone_width, "height": 844, "pixelRatio": 1.0}
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield browser
    finally:
        browser.quit()
