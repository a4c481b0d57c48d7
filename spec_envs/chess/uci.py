"""A UCI engine in a process of its own: its options, its searches, and its output, read as moves with scores.

``chess.engine`` of python-chess is not used: it needs an event loop for each engine, which hung when many calls were
cancelled; it logs what it cannot read; and it reads every printed line as moves, which takes three times as long.
"""

import collections
import contextlib
import dataclasses
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator

import chess

from spec_envs.chess.builtin import MATE
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken

#: Seconds until an engine that should stop searching is killed.
_PATIENCE_S = 2.0
#: How many characters of an engine's stderr are kept.
_KEPT = 1000
#: The longest line, in characters, that is read as one.
_MAX_LINE = 1_000_000
_OPTION = re.compile(r"option name (.+?) type \w+(.*)")
#: The longest number that is read, without its decimals; Python refuses to read much longer ones.
_NUMBER = r"[-+]?[0-9]{1,15}(?![^\s.])"
_BOUND = re.compile(rf" (min|max) ({_NUMBER})", re.IGNORECASE)
#: Lines that tell nothing about why an engine fails.
_USUAL = re.compile(r"\s*(?:info (?!string)|option |id |uciok|readyok|$)")
#: What programs answer to "uci" that speak another protocol, such as XBoard's.
_STRANGER = re.compile(
    r"(?:(?:illegal|invalid) move|unknown command|error)\b.*\buci\s*$|^(?:tellics|telluser|feature)\s", re.IGNORECASE
)
# In the line of an analysis: the score, the first move of its line, and its rank.
_SCORE = re.compile(rf"^info .*\bscore (?:lowerbound |upperbound )?(cp|mate) ({_NUMBER})")
_INEXACT = re.compile(r" (?:lower|upper)bound\b")
_FIRST = re.compile(r"\bpv (\S+)")
_RANK = re.compile(rf"\bmultipv ({_NUMBER})")


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A candidate move (UCI) and its score in centipawns for the side to move; ``MATE - n`` is mate in ``n``."""

    move: str
    score: int


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """One analysis: the position, the command that begins the search, how many moves to rank, and the call's token."""

    board: chess.Board
    go: str
    multipv: int
    cancel: CancelToken


class EngineDied(Exception):
    """The engine's process has ended."""


class Engine:
    """A running engine. One thread at a time talks to it; any thread may kill it."""

    def __init__(self, path: str) -> None:
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                command_of(path),
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                encoding="utf-8",
                errors="replace",
                process_group=0,  # the program may be a script that starts the engine
            )
        except OSError as error:
            raise HandlerFailed(f"{path} does not start as a UCI engine: {error!r}") from error
        self.pid = self._process.pid
        self._path = path
        #: The least and the greatest value of each option that the engine offers, by its name in small letters.
        self._options: dict[str, dict[str, int]] = {}
        self._words: collections.deque[str] = collections.deque(maxlen=3)  # what was printed last
        self._complaints = _Complaints(self._process)
        self._lock = threading.Lock()

    @property
    def alive(self) -> bool:
        """Whether the engine's process still runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the engine at once. Idempotent."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what was not sent yet goes with the engine
                pipe.close()

    def start(self, hash_mb: int, cancel: CancelToken, timeout_s: float) -> None:
        """Read what the engine offers, and set its options so that equal queries have equal answers.

        Raises:
            EngineDied: The process has ended.
            HandlerFailed: The program is not a UCI engine, or hung and was killed.
        """
        late = f"it did not answer 'uci' with 'uciok' within {timeout_s} s"
        with self._task(timeout_s, cancel, lambda: late):
            self._say("uci")
            for line in self._hear("uciok", _STRANGER):
                if option := _OPTION.match(" ".join(line.split())):
                    bounds = {name.lower(): int(value) for name, value in _BOUND.findall(option[2])}
                    self._options[option[1].lower()] = bounds
            for name in ("Threads", "Number of Threads"):
                self._set(name, 1)
            self._set("Hash", hash_mb)
            for name, value in (("OwnBook", "false"), ("Ponder", "false"), ("UCI_AnalyseMode", "true")):
                self._set(name, value)

    def search(self, query: Query, timeout_s: float) -> list[Line]:
        """The moves that the engine ranks, best first.

        Raises:
            CallCancelled: The call was cancelled meanwhile.
            HandlerFailed: The engine hung and was killed, or its move is illegal.
            InvalidConfiguration: The engine cannot rank several moves, or does not know the castling of Chess960.
        """
        board = query.board if "uci_chess960" in self._options else _usual(query.board, self._path)
        wanted = min(query.multipv, board.legal_moves.count())
        if wanted > 1 and "multipv" not in self._options:
            raise InvalidConfiguration(
                f"{self._path} does not offer the option MultiPV, so it cannot rank {wanted} moves; use "
                f"Stockfish, or an opponent of full strength (skill=20), which needs one move"
            )
        told = "isready"

        def late() -> str:
            limit = "a limit that this engine knows, or " if told == query.go else ""
            return (
                f"{self._path} gave no answer on {board.fen()} in {timeout_s} s and was killed; it was told {told!r}: "
                f"give {limit}more time (timeout_s)"
            )

        with self._task(timeout_s, query.cancel, late):
            self._set("UCI_Chess960", str(board.chess960).lower())
            self._set("MultiPV", wanted)
            self._say("ucinewgame", "isready")  # a new game empties the hash table
            self._hear("readyok")
            told = query.go
            self._say(_position(board), told)
            if query.cancel.cancelled:  # a "stop" before the search had no effect
                self._say("stop")
            lines = self._hear("bestmove")
        query.cancel.raise_if_cancelled()
        return _ranked(query.board, lines, self._path)[: query.multipv]

    @contextlib.contextmanager
    def _task(self, timeout_s: float, cancel: CancelToken, late: Callable[[], str]) -> Iterator[None]:
        """Kill the engine, and raise ``late()``, after ``timeout_s``; stop its search on ``cancel``."""
        overdue = threading.Event()
        timers: list[threading.Timer] = []
        under_way = True

        def kill() -> None:
            overdue.set()
            self.kill()

        def kill_in(seconds: float) -> None:
            timers.append(threading.Timer(seconds, kill))
            timers[-1].daemon = True
            timers[-1].start()

        def stop() -> None:
            with self._lock:
                if under_way:
                    kill_in(_PATIENCE_S)
                    with contextlib.suppress(EngineDied):
                        self._say("stop")

        kill_in(timeout_s)
        cancel.on_cancel(stop)
        try:
            yield
            if overdue.is_set():  # a search that was ended by the clock has another answer each time
                raise EngineDied("overdue")
        except EngineDied as error:
            self.kill()
            if overdue.is_set() and not cancel.cancelled:
                raise HandlerFailed(f"{late()}{self._last_words()}") from error
            raise
        finally:
            with self._lock:
                under_way = False
            for timer in timers:
                timer.cancel()

    def _set(self, name: str, value: str | int) -> None:
        """Set an option that the engine offers, within the engine's own bounds."""
        bounds = self._options.get(name.lower())
        if bounds is not None:
            if isinstance(value, int):
                value = min(max(value, bounds.get("min", value)), bounds.get("max", value))
            self._say(f"setoption name {name} value {value}")

    def _say(self, *lines: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("".join(f"{line}\n" for line in lines))
            self._process.stdin.flush()
        except (OSError, ValueError) as error:  # the engine has ended, or its pipe was closed
            raise self._died() from error

    def _hear(self, word: str, stranger: re.Pattern[str] | None = None) -> list[str]:
        """The options and analyses that the engine prints, and then the first line that begins with ``word``.

        Raises:
            EngineDied: The engine ended before.
            HandlerFailed: It printed a line that matches ``stranger``.
        """
        assert self._process.stdout is not None
        heard: list[str] = []
        with contextlib.suppress(ValueError):  # the pipe was closed meanwhile
            is_whole = True  # whether the line before has ended
            while line := self._process.stdout.readline(_MAX_LINE):
                begins, is_whole = is_whole, line.endswith("\n")
                if not _USUAL.match(line):
                    self._words.append(line[:200].strip()[:100])
                if begins and is_whole and line.split(None, 1)[:1] == [word]:  # the last line may be cut
                    return [*heard, line]
                if "pv" in line or "option" in line:
                    heard.append(line)
                if stranger and stranger.search(line):
                    raise HandlerFailed(f"the program speaks another protocol, perhaps XBoard's{self._last_words()}")
        raise self._died()

    def _died(self) -> EngineDied:
        self.kill()
        return EngineDied(f"exit code {self._process.returncode}{self._last_words()}")

    def _last_words(self) -> str:
        words = [*self._words, *self._complaints.last()]
        return f"; it printed {' / '.join(words)!r}" if words else ""


class _Complaints:
    """What the engine of ``process`` writes to stderr, read by a thread until the end; only the last part is kept."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._end = ""
        self._process = process
        self._reader = threading.Thread(target=self._read, name="engine-stderr", daemon=True)
        self._reader.start()

    def last(self) -> list[str]:
        """The last lines, at most 3; of an engine that has ended, all of them."""
        if self._process.poll() is not None:
            self._reader.join(_PATIENCE_S)
        lines = [line.strip() for line in self._end.splitlines() if line.strip()]
        return [line[:100] for line in lines[-3:]]

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stderr:
            while text := stderr.readline(_KEPT):
                self._end = (self._end + text)[-_KEPT:]


def _usual(board: chess.Board, path: str) -> chess.Board:
    """``board`` with castling as in usual chess, for an engine that does not know Chess960."""
    if not board.chess960:
        return board
    usual = board.root()
    if usual.has_chess960_castling_rights():
        raise InvalidConfiguration(
            f"{path} does not offer the option UCI_Chess960, so it cannot castle in {usual.fen()}; use Stockfish"
        )
    usual.chess960 = False
    for move in board.move_stack:
        usual.push(move)
    return usual


def _position(board: chess.Board) -> str:
    known = board if not all(board.move_stack) else board.root()  # engines do not know null moves
    fen = known.fen(shredder=board.chess960, en_passant="fen")
    start = "startpos" if fen == chess.STARTING_FEN else f"fen {fen}"
    moves = " ".join(move.uci() for move in board.move_stack) if known is not board else ""
    return f"position {start} moves {moves}" if moves else f"position {start}"


def _ranked(board: chess.Board, lines: list[str], path: str) -> list[Line]:
    """The moves in the engine's answer: the ``bestmove`` first, then the other ranks of the last iteration."""
    said = lines[-1].split()[1:2]
    try:
        best = board.parse_uci(said[0].lower()) if said else chess.Move.null()
    except ValueError:
        best = chess.Move.null()
    if not best:
        raise HandlerFailed(
            f"{path} answered {board.fen()} with {lines[-1].strip()!r}, which is not a legal move; the legal moves are "
            f"{' '.join(sorted(move.uci() for move in board.legal_moves))}"
        )
    ranks: dict[int, tuple[str, int, bool]] = {}
    for line in lines:
        line = " ".join(line.split()).partition(" string ")[0]
        score, first = _SCORE.search(line), _FIRST.search(line)
        if score is None or first is None:
            continue
        rank = int(found[1]) if (found := _RANK.search(line)) else 1
        exact = _INEXACT.search(line) is None
        if exact or rank not in ranks or not ranks[rank][2]:
            with contextlib.suppress(ValueError):
                if move_of_line := board.parse_uci(first[1].lower()):  # no null move
                    ranks[rank] = (move_of_line.uci(), _centipawns(score[1], int(score[2])), exact)
    scores: dict[str, int] = {}
    for _, (move, points, _exact) in sorted(ranks.items()):
        scores.setdefault(move, points)
    top = scores.pop(best.uci(), max(scores.values(), default=0))
    others = sorted(scores.items(), key=lambda scored: -scored[1])
    return [Line(best.uci(), top), *(Line(move, points) for move, points in others)]


def _centipawns(unit: str, value: int) -> int:
    if unit == "cp":
        return value
    return MATE - value if value > 0 else -MATE - value


def command_of(path: str) -> list[str]:
    """The program and its arguments; the path of a program may contain blanks."""
    with contextlib.suppress(ValueError):  # a quotation mark without its partner
        if not shutil.which(path):
            return shlex.split(path) or [path]
    return [path]
