"""What speculation itself costs on this machine: measured on real threads, with guesses that are all wrong."""

from spec_envs.benchmarks.plan.episode import POLICY, Players
from spec_envs.benchmarks.plan.simulation import play
from spec_envs.benchmarks.plan.workload import Guessing, PlannedCall, Window, Workload
from spec_envs.wrappers import Limits, ThreadRuntime

_CALLS, _CALL_S = 60, 0.005


def measured(k: int, max_inflight: int) -> float:
    """Seconds of each call for which speculation's own work holds an episode up, in the mean.

    Args:
        k: Guesses for one call, for each of which a fork is made.
        max_inflight: Speculative calls in flight at once.
    """
    wrong = Window(tuple(0.5 / k for _ in range(k)), None)
    episode = [PlannedCall(POLICY, _CALL_S, window=wrong)] * _CALLS
    workload = Workload([episode], {POLICY: Guessing(wrong.claims, windows=[wrong])}, num_known=1)
    limits = Limits(max_inflight=max_inflight, selectivity=0.0, calibrate=False)
    played = [play(episode, Players(episode, workload, seed=0), k, limits, ThreadRuntime()) for _ in range(2)]
    return min(each.machinery_s for each in played) / _CALLS  # the first episode warms up
