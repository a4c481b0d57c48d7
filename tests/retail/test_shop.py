"""The shop's HTTP API with SQLite behind it: the database, the server, its faults, the client and the command."""

from __future__ import annotations

import contextlib
import gc
import http.client
import itertools
import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from spec_envs import Call, CancelToken, Effect
from spec_envs.agents import ScriptedRetailPolicy
from spec_envs.errors import CallCancelled, HandlerFailed, InvalidConfiguration
from spec_envs.retail.loading import load_data
from spec_envs.retail.queries import ToolQuery, instant_tools
from spec_envs.retail.shop import Faults, HttpTools, ShopDatabase, serving
from spec_envs.retail.shop.database import Refused
from tests.retail.served_shop import CANCEL, cancelling, check_agreement, made, play


class TestDatabase:
    def test_answers_and_log_outlive_the_process(self, tmp_path):
        path = tmp_path / "shop.sqlite"
        _, cancel = cancelling(None)
        call = {**cancel, "episode": "e", "key": "step-1"}
        with ShopDatabase(load_data("embedded"), path) as database:
            first = database.call(**call)
            state = database.snapshot("e")
        with ShopDatabase(load_data("embedded"), path) as database:
            assert database.call(**call) == first and first.patch
            assert database.snapshot("e") == state and len(database.writes("e")) == 1
        assert [file.name for file in tmp_path.iterdir()] == ["shop.sqlite"]

    def test_another_key_is_another_write(self, database):
        _, cancel = cancelling(None)
        answers = [database.call("e", **cancel, key=key).output for key in ("1", "2", "1")]
        assert answers[0] == answers[2] and answers[1] == "Error: non-pending order cannot be cancelled"
        assert [(write.key, write.output) for write in database.writes("e")] == [("1", answers[0]), ("2", answers[1])]

    def test_many_at_once_with_one_key_write_once(self, database):
        _, cancel = cancelling(None)
        outputs: list[str] = []

        def write() -> None:
            outputs.append(database.call("e", **cancel, key="1").output)

        threads = [threading.Thread(target=write) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outputs) == 8 and len(set(outputs)) == 1 and len(database.writes("e")) == 1

    def test_what_cannot_be_stored_leaves_nothing(self, database, monkeypatch):
        _, cancel = cancelling(None)
        digest = database.start_digest
        with pytest.raises(Refused, match="the data of episode 'e'"):
            database.call("e", **cancel, key="1", digest=digest + 1)
        monkeypatch.setattr("spec_envs.retail.shop.database.json.dumps", refusing(json.dumps, after=4))
        with pytest.raises(OSError, match="full"):
            database.call("e", **cancel, key="1", digest=digest)
        monkeypatch.undo()
        assert database.writes("e") == [] and database.snapshot("e").digest == digest
        assert database.call("e", **cancel, key="1", digest=digest).patch

    def test_a_file_in_use_fails_one_call_and_not_the_next_ones(self, tmp_path, monkeypatch):
        connect: Any = sqlite3.connect
        monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, **options, timeout=0))
        path, (_, cancel) = tmp_path / "shop.sqlite", cancelling(None)
        with ShopDatabase(load_data("embedded"), path) as database, contextlib.closing(connect(path)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM log").fetchall()
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                database.call("e", **cancel, key="1")
            assert database.writes("e") == [] and database.snapshot("e").digest == database.start_digest
            with serving(database) as served:
                call = {"name": cancel["name"], "arguments": cancel["arguments"]}
                status, answer = ask(served.address, "POST", "/episodes/e/calls", call, **{"Idempotency-Key": "1"})
                assert status == 503 and "locked" in answer["error"]
            reader.rollback()
            assert database.call("e", **cancel, key="1").patch and len(database.writes("e")) == 1

    def test_files_that_do_not_do(self, tmp_path):
        path = tmp_path / "shop.sqlite"
        ShopDatabase(load_data("embedded"), path).close()
        with pytest.raises(InvalidConfiguration, match="belongs to a shop whose data"):
            ShopDatabase(load_data("generated", data_seed=1), path)
        path.write_text("Dear diary, this is no database, and long enough to be looked at.\n" * 20)
        with pytest.raises(InvalidConfiguration, match="cannot be used as a database"):
            ShopDatabase(load_data("embedded"), path)
        with pytest.raises(InvalidConfiguration, match="cannot be opened"):
            ShopDatabase(load_data("embedded"), tmp_path / "nowhere" / "shop.sqlite")


def refusing(function: Any, after: int) -> Any:
    """``function``, which has no more room after so many calls."""
    calls = itertools.count()

    def refuse(*args: Any, **kwargs: Any) -> Any:
        if next(calls) >= after:
            raise OSError("full")
        return function(*args, **kwargs)

    return refuse


def ask(url: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=30)
    content = body if isinstance(body, (str, bytes)) or body is None else json.dumps(body)
    try:
        connection.request(method, path, content, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


class TestApi:
    @pytest.mark.parametrize(
        ("method", "path", "body", "headers", "status", "message"),
        [
            ("POST", "calls", "{", {}, 400, "the body is not JSON"),
            ("POST", "calls", b"\xff", {}, 400, "the body is not JSON"),
            ("POST", "calls", "[" * 100_000, {}, 400, "the body is not JSON"),
            ("POST", "calls", [], {}, 400, "must be a JSON object, not list"),
            ("POST", "calls", {}, {}, 400, '"name" must be the name of a tool, not None'),
            ("POST", "calls", "x" * 1_000_001, {}, 413, "at most 1000000 bytes"),
            ("POST", "calls", {"name": "think", "data": "0"}, {}, 409, "this shop's data have digest"),
            ("POST", "calls", {"name": "cancel_pending_order"}, {}, 400, "needs a key"),
            (
                "POST",
                "calls",
                {"name": "modify_user_address"},
                {"Idempotency_Key": "1", "If_Match": "x"},
                400,
                "If-Match must be a digest",
            ),
            (
                "POST",
                "calls",
                {"name": "modify_user_address"},
                {"Idempotency_Key": "1", "If_Match": f'"{"0" * 32}"'},
                412,
                "somebody else",
            ),
            ("GET", "calls", None, {}, 405, "Method Not Allowed"),
            ("GET", "nothing", None, {}, 404, "Not Found"),
            ("GET", "../a%20b", None, {}, 400, "an episode's name has up to"),
        ],
    )
    def test_what_makes_no_sense(self, database, method, path, body, headers, status, message):
        with serving(database) as served:
            path = f"/episodes/e/{path}".replace("e/../", "")
            found, answer = ask(served.address, method, path, body, **headers)
        assert (found, list(answer)) == (status, ["error"])
        assert message in answer["error"]
        assert database.writes("e") == []

    def test_calls_state_and_log(self, database):
        _, cancel = cancelling(None)
        with serving(database) as served:
            status, answer = ask(served.address, "POST", "/episodes/e/calls", cancel, Idempotency_Key="k")
            assert (status, [change["table"] for change in answer["changes"]][:1]) == (200, ["orders"])
            store = database.snapshot("e")
            state = {"digest": f"{store.digest:032x}", "data_hash": store.tau_hash(), "writes": 1}
            assert ask(served.address, "GET", "/episodes/e") == (200, state)
            log = [{"number": 1, "key": "k", **cancel, "output": answer["output"]}]
            assert ask(served.address, "GET", "/episodes/e/writes") == (200, log)
            assert ask(served.address, "GET", "/") == (200, {"data": f"{database.start_digest:032x}"})
            assert (
                ask(served.address, "POST", "/episodes/e/calls", {"name": "no_tool"})[1]["output"]
                == "Unknown action no_tool"
            )

    def test_a_call_of_great_depth_leaves_the_log_readable(self, database):
        deep: Any = json.loads("[" * 900 + "]" * 900)
        with serving(database) as shop:
            call = {"name": "cancel_pending_order", "arguments": deep}
            assert ask(shop.address, "POST", "/episodes/e/calls", call, **{"Idempotency-Key": "1"})[0] == 200
            status, log = ask(shop.address, "GET", "/episodes/e/writes")
        assert status == 200 and [write["name"] for write in log] == ["cancel_pending_order"]

    def test_numbers_that_json_does_not_know_are_answered_like_any_other(self, database):
        with serving(database) as served, HttpTools(served.address) as tools:
            env, _ = cancelling(tools)
            env.step('{"name": "get_order_details", "arguments": {"order_id": NaN}}')
            assert env.dialogue[-1]["content"].startswith("Error: invalid arguments for get_order_details")

    def test_an_address_that_is_taken(self, database):
        with serving(database) as served:
            port = urllib.parse.urlsplit(served.address).port
            with (
                pytest.raises(InvalidConfiguration, match=f"cannot listen on port {port} of 127.0.0.1"),
                serving(database, port=port or 0),
            ):
                pass


class TestFaults:
    def test_shares_are_what_they_say(self):
        faults = Faults(lost_before=0.1, lost_after=0.2, failed=0.3, slow=0.1, seed=1)
        drawn = [faults.of(number) for number in range(4000)]
        shares = {kind: drawn.count(kind) / 4000 for kind in ("lost_before", "lost_after", "failed", "slow", None)}
        expected = {"lost_before": 0.1, "lost_after": 0.2, "failed": 0.3, "slow": 0.1, None: 0.3}
        assert shares == pytest.approx(expected, abs=0.03)
        assert drawn == [faults.of(number) for number in range(4000)]

    @pytest.mark.parametrize(
        "options", [{"slow": -0.1}, {"failed": 1.1}, {"slow": 0.6, "failed": 0.6}, {"slow_s": -1.0}], ids=str
    )
    def test_shares_that_make_no_sense(self, options):
        with pytest.raises(InvalidConfiguration):
            Faults(**options)

    @pytest.mark.parametrize(
        ("faults", "writes"),
        [(Faults(lost_before=1.0), 0), (Faults(lost_after=1.0), 1), (Faults(failed=1.0), 0)],
        ids=str,
    )
    def test_a_dead_line_is_an_error_after_so_many_attempts(self, database, faults, writes):
        with serving(database, faults=faults) as served:
            with HttpTools(served.address, attempts=3, backoff_s=0.0) as tools:
                env, cancel = cancelling(tools)
                with pytest.raises(HandlerFailed, match="was not answered in 3 attempts"):
                    env.step(cancel)
        assert len(database.writes(env.episode.name)) == writes


class TestClient:
    @pytest.mark.parametrize(
        "options",
        [{"url": "ftp://x"}, {"url": "localhost"}, {"timeout_s": 0}, {"attempts": 0}, {"backoff_s": -1}],
        ids=str,
    )
    def test_arguments_that_make_no_sense(self, options):
        with pytest.raises(InvalidConfiguration):
            HttpTools(**{"url": "http://127.0.0.1:1", **options})

    def test_nobody_is_there(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with HttpTools(f"http://127.0.0.1:{port}", attempts=2, backoff_s=0.0) as tools:
            env, cancel = cancelling(tools)
            with pytest.raises(HandlerFailed, match="ConnectionRefusedError"):
                env.step(cancel)

    @pytest.mark.parametrize("content", ["{", "[]", '{"output": 1, "changes": []}', '{"output": "", "changes": [{}]}'])
    def test_something_else_is_there(self, content):
        with answering(content) as url, HttpTools(url) as tools:
            env, cancel = cancelling(tools)
            with pytest.raises(HandlerFailed, match="returned no valid result"):
                env.step(cancel)

    def test_cancelling_cuts_the_line(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and never answers
            tools = HttpTools(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=60.0)
            env, cancel = cancelling(tools)
            token, outcome = CancelToken(), []

            def call() -> None:
                with pytest.raises(CallCancelled):
                    env.handlers["tool"](query_of(env, cancel), token)
                outcome.append("cancelled")

            caller = threading.Thread(target=call)
            caller.start()
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(4)  # the request is under way
                token.cancel()
                caller.join(timeout=30)
            assert outcome == ["cancelled"]
            tools.close()

    def test_connections_are_used_again_and_those_hung_up_on_are_not(self, database):
        with HttpTools("http://127.0.0.1:1") as nobody:
            assert nobody.url == "http://127.0.0.1:1"
        before = set(threading.enumerate())
        with serving(database) as served:
            port = urllib.parse.urlsplit(served.address).port or 0
            tools = HttpTools(served.address, attempts=1)
            env, _ = cancelling(tools)
            look = {"name": "list_all_product_types", "arguments": {}}
            env.step(look)
            env.step(look)
        with serving(database, port=port):  # started anew: the old connection is of no use, which costs no attempt
            env.step(look)
            tools.close()
            env.step(look)  # works after close, too, and leaves nothing
        assert set(threading.enumerate()) == before
        gc.collect()  # an open socket would be a ResourceWarning, and that an error


def query_of(env: Any, action: dict[str, Any]) -> ToolQuery:
    asked: list[Call] = []
    twin = env.fork()
    twin.answer_with(lambda call: asked.append(call) or instant_tools(call.query))
    twin.step(action)
    assert asked[0].effect is Effect.WRITE
    query: ToolQuery = asked[0].query
    return query


class answering:
    """A server that answers one request with ``content``."""

    def __init__(self, content: str) -> None:
        self._content = content.encode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            received = b""
            while b"}" not in received.partition(b"\r\n\r\n")[2]:
                received += connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(self._content), self._content))

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._listener.close()


class TestCommand:
    @pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
    def test_serves_until_it_is_stopped_and_leaves_only_the_database(self, tmp_path, by):
        path = tmp_path / "shop.sqlite"
        command = [Path(sys.executable).with_name("spec-envs"), "shop", "--port", "0", "--database", path]
        command += ["--lose-after", "0.3", "--seed", "2"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout and process.stderr
            assert select.select([process.stdout], [], [], 60)[0]
            url = process.stdout.readline().strip()
            assert url.startswith("http://127.0.0.1:")
            with HttpTools(url, attempts=20, backoff_s=0.0) as tools:
                env = made(tools, task_index=CANCEL)
                assert play(env, ScriptedRetailPolicy(), 0) == 1.0
            process.send_signal(by)
            assert (process.wait(30), process.stdout.read(), process.stderr.read()) == (0, "", "")
        assert os.listdir(tmp_path) == ["shop.sqlite"]
        with ShopDatabase(load_data("embedded"), path) as database:
            check_agreement(database, env)
