"""A tuner that thinks for ten seconds, and a guesser that meanwhile sets the live system: lossy, in virtual time.

The tuner of this example knows the best slice; a real one would be a chat model: ``ChatPolicy(model, "tuning")``.

Needs: pip install spec-envs
"""

import gymnasium as gym

from spec_envs.agents.tuning import Fixed, HillClimb, TuningGuesser, TuningPolicy
from spec_envs.tuning import SimulatedBackend
from spec_envs.wrappers import LastWriteWins
from spec_envs.wrappers.handlers import with_latency


def main() -> None:
    """Tune a simulated scheduler, first without and then with a guesser."""
    for guessing in (False, True):
        env = gym.make("SpecTuning-v0", backend=SimulatedBackend(paced=True), windows=19, render_mode="ansi")
        knobs = env.get_wrapper_attr("knobs")
        tuner = with_latency(TuningPolicy(Fixed({"slice_ms": 3.2}), knobs), 10.0)
        guesser = TuningGuesser(HillClimb(), knobs) if guessing else None
        with LastWriteWins(env, tuner, guesser=guesser, runtime="simulation") as live:
            observation, _ = live.reset(seed=0)
            done = False
            while not done:
                observation, reward, terminated, truncated, _ = live.step(live.act(observation))
                done = terminated or truncated
            print(live.render())
            print(live.statistics)


if __name__ == "__main__":
    main()
