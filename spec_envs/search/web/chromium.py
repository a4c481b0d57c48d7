"""A headless Chromium behind its own gate, driven through Selenium by one thread at a time."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
import urllib.parse
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import psutil
from gymnasium.error import DependencyNotInstalled

from spec_envs.background_loop import BackgroundLoop
from spec_envs.errors import EnvClosed, HandlerFailed
from spec_envs.search.web.client import WebClient
from spec_envs.search.web.gate import Gate

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.remote_connection import RemoteConnection


_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root cannot use the sandbox; the gate and the flags below restrict pages instead
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-extensions",
    "--disable-breakpad",
    "--disable-features=HttpsUpgrades",  # the gate refuses encrypted requests
    "--blink-settings=imagesEnabled=false",
    "--proxy-bypass-list=<-loopback>",  # requests to this machine's own addresses go through the gate too
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    # The gate resolves names; the browser itself can reach the gate only.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
#: Load errors that are caused by the browser, not by the page.
_OWN_TROUBLE = frozenset({"ERR_NETWORK_CHANGED", "ERR_INSUFFICIENT_RESOURCES", "ERR_OUT_OF_MEMORY"})
#: Seconds that a command other than loading a page may take.
_COMMAND_S = 20.0
#: Seconds until a browser that should end is killed.
_PATIENCE_S = 5.0

T = TypeVar("T")


class BrowserDied(Exception):
    """The browser or its driver has ended or does not answer: the browser must be replaced."""


def find_chromium() -> tuple[str, str]:
    """The paths of Chromium and of its driver; ``DependencyNotInstalled`` says how to install what is missing."""
    browser = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        missing = "Chromium" if browser is None else "Chromium's driver (chromedriver)"
        raise DependencyNotInstalled(
            f"{missing} is not installed: run `apt-get install chromium chromium-driver`; backend='http' needs neither"
        )
    return browser, driver


class Browser:
    """A running Chromium. The constructor starts it, which takes about a second, with a temporary folder of its own.

    Scripts of pages do not run, and pictures are not loaded. The gate runs on ``loop``; ``client`` makes its requests.

    Raises:
        DependencyNotInstalled: Chromium or its driver is missing.
        BrowserDied: Chromium does not start.
    """

    def __init__(self, loop: BackgroundLoop, client: WebClient) -> None:
        self._loop = loop
        self._client = client
        # The gate and the backend give up earlier, so that a slow page is not taken for a browser that hangs.
        self._load_s = (1 + client.settings.max_redirects) * client.settings.page_s + _COMMAND_S
        self._gate = Gate(client)
        self._processes: list[psutil.Process] = []
        self._folder = tempfile.mkdtemp(prefix="spec-envs-chromium-")
        self._remove_folder = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._remove_folder.atexit = False  # it would run before close(), while Chromium still writes
        self._driver: Chrome | None = None
        try:
            self._start(*find_chromium(), loop.run(self._gate.start()))
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """The process ids of the driver and of Chromium's main process."""
        return [process.pid for process in self._processes[:2]]

    def load(self, url: str, on_page: Callable[[], None]) -> tuple[str, str]:
        """The address and the HTML of the document that ``url`` leads to, as the site has sent it.

        ``on_page`` is called, on the loop's thread, when the browser has received the page.

        Raises:
            BrowserDied: The browser crashed, was killed, or hangs.
            HandlerFailed: The page, or the target of one of its redirects, was refused or could not be loaded.
        """
        before = self._shown()
        self._loop.call(lambda: self._gate.open(url, on_page))
        try:
            self._command(lambda driver: driver.get(self._gate.inside(url)), url, self._load_s + _COMMAND_S)
            shown = self._document()
        except HandlerFailed as error:
            raise self._gate.failure_of(url) or error from None
        finally:
            self._shut_gate()
        if self._shown() == before:  # the browser still shows the previous page
            raise self._gate.failure_of(url) or HandlerFailed(f"{url} is not a page that a browser can show")
        address = self._gate.outside(shown)
        if (failure := self._gate.failure_of(address)) is not None:
            raise failure
        if address.startswith("chrome-error:"):
            raise HandlerFailed(f"{url} cannot be loaded: Chromium shows an error in its place")
        self._client.check(address)
        text = self._gate.text_of(address)
        if text is None:
            raise HandlerFailed(f"{url} cannot be loaded: Chromium shows {address!r:.200} in its place")
        return address, text

    def stop_loading(self) -> None:
        """Make ``load``, which is running on another thread, fail soon. Does not wait."""
        self._shut_gate()

    def kill(self) -> None:
        """Kill driver and browser, from any thread; ``load`` then raises ``BrowserDied``. Does not wait. Idempotent."""
        _kill(self._processes)

    def close(self) -> None:
        """End the browser, and remove its temporary folder. Idempotent."""
        driver, self._driver = self._driver, None
        if driver is not None and all(map(_is_alive, self._processes[:2])):
            with contextlib.suppress(Exception):  # processes that do not end by themselves are killed below
                _connection(driver).client_config.timeout = _PATIENCE_S
                driver.quit()
        _await_end(_kill(self._processes))
        with contextlib.suppress(EnvClosed):
            self._loop.run(self._gate.close())
        if driver is not None:
            _connection(driver).close()  # type: ignore[no-untyped-call]
            driver.service.stop()
        self._remove_folder()

    def _start(self, browser: str, driver: str, port: int) -> None:
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver import Chrome
        from selenium.webdriver.chrome.options import Options
        from selenium.webdriver.chrome.service import Service
        from urllib3.exceptions import HTTPError

        options = Options()
        options.binary_location = browser
        options.page_load_strategy = "eager"  # wait for the document only, not for the resources that it loads
        options.add_argument(f"--user-data-dir={self._folder}/profile")
        options.add_argument(f"--proxy-server=http://127.0.0.1:{port}")
        for flag in _FLAGS:
            options.add_argument(flag)
        # Files that Chromium writes to other folders would stay behind when it is killed.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        service = Service(driver, env={**kept, "HOME": self._folder, "TMPDIR": self._folder})
        try:
            self._driver = Chrome(options=options, service=service)
            self._note_processes(service)
            self._driver.set_page_load_timeout(self._load_s)
            self._driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        except (WebDriverException, HTTPError, OSError) as error:
            raise BrowserDied(f"{browser} does not start: {error!r:.300}") from error

    def _note_processes(self, service: Any) -> None:
        """Remember the processes that were started: those that outlive the driver could not be found later."""
        with contextlib.suppress(psutil.Error, AttributeError):
            driver = psutil.Process(service.process.pid)
            self._processes = [driver, *driver.children(recursive=True)]

    def _shown(self) -> object:
        """The id of the load that produced the document that is shown now."""
        tree = self._command(lambda driver: driver.execute_cdp_cmd("Page.getFrameTree", {}), "the document", _COMMAND_S)
        return tree["frameTree"]["frame"]["loaderId"]

    def _document(self) -> str:
        """The address of the document that is shown now.

        It comes from the debugger, since a page can change what its own JavaScript objects return.
        """

        def address(driver: Chrome) -> str:
            root = driver.execute_cdp_cmd("DOM.getDocument", {"depth": 0})["root"]
            return str(urllib.parse.urldefrag(root["documentURL"]).url)

        return self._command(address, "the document", _COMMAND_S)

    def _command(self, command: Callable[[Chrome], T], what: str, timeout_s: float) -> T:
        from selenium.common.exceptions import WebDriverException
        from urllib3.exceptions import HTTPError

        if self._driver is None:
            raise BrowserDied("the browser was closed")
        _connection(self._driver).client_config.timeout = timeout_s
        try:
            return command(self._driver)
        except WebDriverException as error:
            network = re.search(r"net::(ERR_\w+)", error.msg or "")
            if network is None or network[1] in _OWN_TROUBLE:
                raise BrowserDied(f"Chromium failed at {what}: {error.msg!r:.300}") from error
            raise HandlerFailed(f"{what} cannot be loaded: {network[1]}") from error
        except (HTTPError, OSError) as error:
            raise BrowserDied(f"Chromium's driver failed at {what}: {error!r:.300}") from error

    def _shut_gate(self) -> None:
        with contextlib.suppress(EnvClosed):
            self._loop.call(self._gate.shut)


def _connection(driver: Chrome) -> RemoteConnection:
    from selenium.webdriver.remote.remote_connection import RemoteConnection

    assert isinstance(driver.command_executor, RemoteConnection)
    return driver.command_executor


def _kill(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Kill ``processes`` and their descendants, and return all of them."""
    everyone = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            everyone += process.children(recursive=True)
    for process in everyone:
        with contextlib.suppress(psutil.Error):
            process.kill()  # psutil does nothing if the process id now belongs to another process
    return everyone


def _await_end(processes: list[psutil.Process]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while any(map(_is_alive, processes)) and time.monotonic() < end:
        time.sleep(0.01)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
