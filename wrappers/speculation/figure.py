"""The sentence about time: what was saved, by which measure, and how sure that is."""

from __future__ import annotations

from spec_envs.wrappers.speculation.control import Control


def sentence_of(control: Control | None, saved: float, *, has_guard: bool) -> str:
    """Whether the episode was faster or slower than the plain loop, in words.

    Args:
        control: What plain cycles beside the others say, if there were enough.
        saved: Time saved against the calls' own durations.
        has_guard: Whether there are control cycles at all.
    """
    if control is not None and not control.is_noisy:
        where = f"{control.control_cycles} control steps of {control.cycles}"
        interval = f"{abs(control.saved):.1%} ({_ends(control)}, by {where})"
        if control.low > 0:
            return f"faster than plain by {interval}"
        if control.high < 0:
            return f"slower than plain by {interval}"
        return f"faster or slower than plain, cannot tell: {control.low:+.1%} to {control.high:+.1%} saved, by {where}"
    measure = "against the calls' own durations"
    if control is not None:
        return f"{'faster' if saved > 0 else 'slower'} than plain by {abs(saved):.1%}, {measure} (control is too noisy)"
    if has_guard:
        return f"too few control steps to tell; {saved:.1%} saved {measure}"
    return f"{saved:.1%} saved {measure}; no control steps"


def _ends(control: Control) -> str:
    low, high = sorted((abs(control.low), abs(control.high)))
    return f"{100 * low:.1f} to {100 * high:.1f} %"
