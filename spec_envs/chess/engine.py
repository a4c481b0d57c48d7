"""Stockfish, or another UCI engine, for many users at once: a pool of engines with equal answers to equal queries.

An engine serves one query at a time. Each query starts from an empty hash table and is limited by depth or nodes, never
by the clock, so its answer depends neither on earlier queries nor on how busy the machine is. The engines of a pool are
run by one background thread. They start when first needed; an engine that died is replaced and its query repeated.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import os
import shutil
import threading
import weakref
from typing import Any

import chess
import chess.engine
from gymnasium.error import DependencyNotInstalled

from spec_envs.checks import integer, integer_or_none
from spec_envs.chess.builtin import MATE
from spec_envs.chess.position import Position
from spec_envs.errors import CallCancelled, EnvClosed, HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken, Closing

#: Environment variable with the path of the engine to use instead of an installed Stockfish.
STOCKFISH_VARIABLE = "SPEC_ENVS_STOCKFISH"

# Debian installs games outside the PATH of root and of many services.
_PLACES = ("/usr/games/stockfish", "/usr/local/bin/stockfish", "/opt/homebrew/bin/stockfish")
_REPEATS = 2
_PATIENCE_S = 2.0


def find_stockfish() -> str:
    """The path of Stockfish: from ``SPEC_ENVS_STOCKFISH``, the ``PATH``, or where systems usually put it.

    Raises:
        DependencyNotInstalled: Stockfish was not found; the message says how to install it.
    """
    chosen = os.environ.get(STOCKFISH_VARIABLE)
    places = (chosen,) if chosen else ("stockfish", *_PLACES)
    for place in places:
        path = shutil.which(place)
        if path is not None:
            return path
    if chosen:
        raise DependencyNotInstalled(f"{STOCKFISH_VARIABLE}={chosen} is not a program that can be run")
    raise DependencyNotInstalled(
        f"Stockfish is not installed: run `apt-get install stockfish` (or `brew install stockfish`), or set "
        f"{STOCKFISH_VARIABLE} to its path; the built-in engine needs neither"
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A candidate move (UCI) and its score in centipawns for the side to move; ``MATE - n`` is mate in ``n``."""

    move: str
    score: int


class EnginePool(Closing):
    """UCI engines behind one blocking method, ``analyse``, that any number of threads may call.

    The constructor starts nothing. ``close`` stops every engine and the background thread; so do ``with``, the garbage
    collector and the end of the program.

    Args:
        path: The engine's program. Default: ``find_stockfish()`` at first use.
        max_engines: Engines that run at once, about 140 MB each; further queries wait. Default: one per processor, up
            to 4.
        hash_mb: Size of each engine's hash table.
        timeout_s: Longest that one query, or the start of an engine, may take: a hung engine is killed then.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        max_engines: int | None = None,
        hash_mb: int = 1,
        timeout_s: float = 60.0,
    ) -> None:
        if not timeout_s > 0:
            raise InvalidConfiguration(f"timeout_s must be above 0, not {timeout_s!r}")
        self._path = path
        self._max_engines = integer_or_none("max_engines", max_engines, least=1) or min(4, os.cpu_count() or 1)
        self._hash_mb = integer("hash_mb", hash_mb, least=1)
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._closed = False

    def analyse(
        self,
        position: Position | chess.Board,
        *,
        depth: int | None = None,
        nodes: int | None = None,
        multipv: int = 1,
        cancel: CancelToken | None = None,
    ) -> list[Line]:
        """The best moves, best first: as many as asked for, or as there are legal moves.

        Args:
            position: What to analyse; a board is copied.
            depth: Plies to search. One of ``depth`` and ``nodes`` must be given; with both, whichever ends first.
            nodes: Nodes to search.
            multipv: How many moves to rank.
            cancel: When it is cancelled the search is stopped.

        Raises:
            CallCancelled: ``cancel`` was cancelled.
            HandlerFailed: The engine hung, or died again when the query was repeated.
            InvalidConfiguration: No limit, one below 1, or a position that cannot be (which would crash the engine).
            DependencyNotInstalled: There is no engine.
            EnvClosed: The pool was closed.
        """
        if depth is None and nodes is None:
            raise InvalidConfiguration("give depth or nodes: a search without limit has no end")
        limit = chess.engine.Limit(
            depth=integer_or_none("depth", depth, least=1), nodes=integer_or_none("nodes", nodes, least=1)
        )
        multipv = integer("multipv", multipv, least=1)
        board = position.board() if isinstance(position, Position) else position.copy()
        if not board.is_valid():
            raise InvalidConfiguration(f"no game can come to the position {board.fen()}: {board.status()!r}")
        if not any(board.legal_moves):
            return []
        query = _Query(board, limit, multipv)
        worker = self._started()
        if cancel is not None:
            cancel.on_cancel(lambda: worker.give_up(query))
        worker.submit(query)
        try:
            return query.answer.result()
        except concurrent.futures.CancelledError:
            raise CallCancelled from None

    def pids(self) -> list[int]:
        """The process ids of the engines that are running."""
        with self._lock:
            worker = self._worker
        return [] if worker is None or worker.is_of_a_parent() else worker.pids()

    def close(self) -> None:
        """Stop all engines; calls that wait for one raise ``EnvClosed``. Idempotent."""
        with self._lock:
            self._closed = True
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def _started(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise _closed()
            if self._worker is not None and self._worker.is_of_a_parent():
                self._worker = None  # its thread and engines stayed there; this process starts its own
            if self._worker is None:
                path = self._path or find_stockfish()
                self._worker = _Worker(path, self._max_engines, self._hash_mb, self._timeout_s)
                weakref.finalize(self, self._worker.close)
            return self._worker


class _Query:
    """One analysis: what is asked, and the answer as a future of the asking thread's kind."""

    def __init__(self, board: chess.Board, limit: chess.engine.Limit, multipv: int) -> None:
        self.board = board
        self.limit = limit
        self.multipv = multipv
        self.answer: concurrent.futures.Future[list[Line]] = concurrent.futures.Future()
        self.analysis: chess.engine.AnalysisResult | None = None

    async def search(self, engine: chess.engine.UciProtocol) -> list[Line]:
        # A new game for each query empties the engine's hash table.
        wanted = chess.engine.INFO_SCORE | chess.engine.INFO_PV
        self.analysis = await engine.analysis(self.board, self.limit, multipv=self.multipv, game=object(), info=wanted)
        self.stop_if_unwanted()
        best = (await self.analysis.wait()).move
        lines: dict[str, int] = {}
        for info in self.analysis.multipv:
            moves, score = info.get("pv"), info.get("score")
            if moves and score is not None:  # a mated side's info has no moves
                lines.setdefault(moves[0].uci(), score.relative.score(mate_score=MATE))
        if not lines and best is not None:
            lines[best.uci()] = 0
        return [Line(move, score) for move, score in lines.items()]

    def stop_if_unwanted(self) -> None:
        if self.analysis is not None and self.answer.cancelled():
            self.analysis.stop()


class _Worker:
    """The background thread: an event loop, the engines on it, and the queries under way.

    A query that nobody waits for is not cancelled in asyncio's way (as ``BackgroundLoop`` does), which would leave
    python-chess waiting for an answer: it is stopped by a command that engines know, and its engine is free soon after.
    """

    def __init__(self, path: str, max_engines: int, hash_mb: int, timeout_s: float) -> None:
        self._path = path
        self._options = {"Threads": 1, "Hash": hash_mb}
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(max_engines)
        self._idle: list[chess.engine.UciProtocol] = []
        self._engines: set[chess.engine.UciProtocol] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._process = os.getpid()
        self._close_lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_ignore_the_dead)
        self._thread = threading.Thread(target=self._loop.run_forever, name="engine-pool", daemon=True)
        self._thread.start()

    def submit(self, query: _Query) -> None:
        try:
            self._loop.call_soon_threadsafe(self._begin, query)
        except RuntimeError:  # the loop was closed meanwhile
            raise _closed() from None

    def give_up(self, query: _Query) -> None:
        if query.answer.cancel():
            try:
                self._loop.call_soon_threadsafe(query.stop_if_unwanted)
            except RuntimeError:
                pass  # closed: there is nothing left to stop

    def pids(self) -> list[int]:
        return [engine.transport.get_pid() for engine in tuple(self._engines) if engine.transport is not None]

    def is_of_a_parent(self) -> bool:
        """Whether the process was forked since: threads do not come along, and the engines are the parent's."""
        return self._process != os.getpid()

    def close(self) -> None:
        if self.is_of_a_parent():
            return
        with self._close_lock:
            if self._loop.is_closed():
                return
            asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _begin(self, query: _Query) -> None:
        task = self._loop.create_task(self._answer(query))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, query: _Query) -> None:
        try:
            async with self._slots:
                # From here on the answer cannot be cancelled under our hands, only marked as unwanted.
                lines = await self._ask_until_answered(query)
            if not query.answer.done():
                _resolve(query.answer, lines)
        except Exception as error:
            _reject(query.answer, _closed() if self._closing else error)

    async def _ask_until_answered(self, query: _Query) -> list[Line]:
        failure: chess.engine.EngineError | None = None
        for _ in range(1 + _REPEATS):
            if self._closing:
                raise _closed()
            if query.answer.cancelled():
                return []
            engine = self._idle.pop() if self._idle else await self._start()
            try:
                lines = await self._ask(engine, query)
            except chess.engine.EngineError as error:
                failure = error
                await self._discard(engine)
            except BaseException:
                await self._discard(engine)
                raise
            else:
                self._idle.append(engine)
                return lines
        raise HandlerFailed(f"{self._path} failed {1 + _REPEATS} times on {query.board.fen()}: {failure}") from failure

    async def _start(self) -> chess.engine.UciProtocol:
        try:
            _, engine = await chess.engine.UciProtocol.popen(self._path)
        except OSError as error:
            raise self._no_engine(error) from error
        self._engines.add(engine)  # so that `close` kills it, also while it says nothing
        try:
            if self._closing:
                raise _closed()
            await asyncio.wait_for(engine.initialize(), self._timeout_s)
            # Only sends lines, and waits for nothing.
            await engine.configure({name: value for name, value in self._options.items() if name in engine.options})
        except (TimeoutError, chess.engine.EngineError) as error:
            await self._discard(engine)
            raise self._no_engine(error) from error
        except BaseException:
            await self._discard(engine)
            raise
        return engine

    def _no_engine(self, error: Exception) -> HandlerFailed:
        return HandlerFailed(f"{self._path} does not start as a UCI engine: {error!r}")

    async def _ask(self, engine: chess.engine.UciProtocol, query: _Query) -> list[Line]:
        search = asyncio.ensure_future(query.search(engine))
        # python-chess does not tell a query that was not yet under way that its engine died; the exit code does.
        either: list[asyncio.Future[Any]] = [search, engine.returncode]
        await asyncio.wait(either, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if search.done():
            return search.result()
        search.cancel()
        if engine.returncode.done():
            raise chess.engine.EngineTerminatedError(f"exit code {engine.returncode.result()}")
        raise HandlerFailed(f"{self._path} gave no answer on {query.board.fen()} in {self._timeout_s} s and was killed")

    async def _discard(self, engine: chess.engine.UciProtocol) -> None:
        """Kill an engine, and wait until the system has let go of it."""
        self._engines.discard(engine)
        if engine.transport is not None:
            engine.transport.close()
        await asyncio.wait({engine.returncode}, timeout=_PATIENCE_S)

    async def _shut_down(self) -> None:
        self._closing = True
        await asyncio.gather(*(self._discard(engine) for engine in tuple(self._engines)))
        while self._tasks:  # those that were starting an engine or waiting for one
            await asyncio.wait(self._tasks)
            await asyncio.gather(*(self._discard(engine) for engine in tuple(self._engines)))


def _ignore_the_dead(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # An engine that died leaves futures of python-chess that nobody looks at; its death was seen by its exit code.
    if not isinstance(context.get("exception"), chess.engine.EngineError):
        loop.default_exception_handler(context)


def _closed() -> EnvClosed:
    return EnvClosed("the engine pool was closed; make a new one")


def _resolve(answer: concurrent.futures.Future[list[Line]], lines: list[Line]) -> None:
    try:
        answer.set_result(lines)
    except concurrent.futures.InvalidStateError:
        pass  # cancelled in this moment


def _reject(answer: concurrent.futures.Future[list[Line]], error: Exception) -> None:
    try:
        answer.set_exception(error)
    except concurrent.futures.InvalidStateError:
        pass  # cancelled: nobody waits for it
