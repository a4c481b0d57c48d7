"""What speculation itself costs on this machine: measured on real threads, with guesses that are all wrong."""

import dataclasses
import time

from spec_envs.benchmarks.plan.episode import Players
from spec_envs.benchmarks.plan.simulation import play
from spec_envs.benchmarks.plan.workload import Guessing, PlannedCall, Window, Workload
from spec_envs.wrappers import Limits, ThreadRuntime

_CALLS, _CALL_S = 60, 0.002


def measured(k: int, max_inflight: int) -> float:
    """Seconds of processor time of each call that go to forks, guesses and threads; the plain loop's are not counted.

    Processor time does not depend on what else the machine does, and is spent under the interpreter's lock, so that the
    episode waits for it.

    Args:
        k: Guesses for one call, for each of which a fork is made.
        max_inflight: Speculative calls in flight at once.
    """
    wrong = Window(tuple(0.5 / k for _ in range(k)), None)
    episode = [PlannedCall("call", _CALL_S, window=wrong)] * _CALLS
    workload = Workload([episode], {"call": Guessing(wrong.claims, windows=[wrong])}, num_known=1)
    ahead = Limits(max_inflight=max_inflight, selectivity=0.0, calibrate=False)
    plain = dataclasses.replace(ahead, max_inflight=0)
    return max(0.0, _cpu_s(workload, k, ahead) - _cpu_s(workload, k, plain)) / _CALLS


def _cpu_s(workload: Workload, k: int, limits: Limits) -> float:
    (episode,) = workload.episodes
    since = time.process_time()
    play(episode, Players(episode, workload, seed=0), k, limits, ThreadRuntime())
    return time.process_time() - since
