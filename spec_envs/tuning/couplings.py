"""Which settings of Linux change when another one is written, and which cannot be changed back."""

import fnmatch
import glob
import os

#: Settings of which each overwrites the other: the kernel sets one to 0 when the other is written.
_OVERWRITES = {
    "dirty_bytes": "dirty_ratio",
    "dirty_background_bytes": "dirty_background_ratio",
    "overcommit_kbytes": "overcommit_ratio",
}
_OVERWRITES |= {other: name for name, other in _OVERWRITES.items()}

_ROOT = "/"
_POLICIES = "/sys/devices/system/cpu/cpufreq/policy*"
#: By the end of a setting's path: the settings that may change when this setting is written, as paths from its folder.
#: "*" stands for any name, "{folder}" for the name of the folder, and "{name}" for that of the setting.
_CHANGES: dict[str, tuple[str, ...]] = {
    # A disk gets a new scheduler with settings of its own. The limits of a disk raise its read-ahead again.
    "scheduler": ("nr_requests", "wbt_lat_usec", "async_depth", "iosched/*"),
    "queue/nr_requests": ("async_depth", "iosched/async_depth"),
    **dict.fromkeys(
        [f"queue/{name}" for name in ("max_sectors_kb", "discard_max_bytes", "rotational", "iostats", "write_cache")],
        ("read_ahead_kb",),
    ),
    # So does a processor, with a new governor.
    "scaling_governor": (
        "scaling_min_freq",
        "scaling_max_freq",
        "energy_performance_preference",
        "*/*",
        "/sys/devices/system/cpu/cpufreq/[a-o]*/*",
    ),
    "cpufreq/boost": (f"{_POLICIES}/scaling_max_freq", f"{_POLICIES}/boost"),
    "intel_pstate/no_turbo": (f"{_POLICIES}/scaling_max_freq",),
    # A processor that is switched off, or that gets another driver, forgets its settings.
    **dict.fromkeys(["*_pstate/status", "cpu*/online"], (f"{_POLICIES}/*", f"{_POLICIES}/*/*")),
    "smt/control": ("/sys/devices/system/cpu/cpu*/online", f"{_POLICIES}/*", f"{_POLICIES}/*/*"),
    # Huge pages want more free memory.
    "transparent_hugepage/enabled": ("/proc/sys/vm/min_free_kbytes",),
    "ksm/advisor_mode": ("pages_to_scan",),
    # The scheduler of processes scales its times, and a group that is idle loses its weight.
    "sched/tunable_scaling": ("base_slice_ns", "latency_ns", "min_granularity_ns", "wakeup_granularity_ns"),
    "kernel/sched_tunable_scaling": (
        "sched_latency_ns",
        "sched_min_granularity_ns",
        "sched_wakeup_granularity_ns",
    ),
    "cpu.idle": ("cpu.weight", "cpu.weight.nice", "cpu.shares"),
    # One setting in several files: for two settings at once, in another unit, or by another scale.
    "kernel/watchdog": ("nmi_watchdog", "soft_watchdog"),
    "kernel/nmi_watchdog": ("watchdog",),
    "kernel/soft_watchdog": ("watchdog",),
    "cpu.weight.nice": ("cpu.weight",),
    "cpu.weight": ("cpu.weight.nice",),
    **{name: (f"{name}_ms",) for name in ("base_reachable_time", "retrans_time", "gc_min_interval")},
    "neigh/*/unres_qlen": ("unres_qlen_bytes",),
    **{f"bdi/*/{each}_{unit}": (f"{each}_ratio_fine",) for each in ("min", "max") for unit in ("ratio", "bytes")},
    # A setting of the network that is passed on to its devices.
    "ipv4/ip_forward": ("conf/*/forwarding", "conf/all/accept_redirects"),
    "ipv4/conf/all/forwarding": ("../*/forwarding", "accept_redirects", "../../ip_forward"),
    **{f"{family}/conf/default/*": ("../*/{name}",) for family in ("ipv4", "ipv6")},
    "ipv6/conf/all/*": ("../*/{name}",),
    **{f"{family}/neigh/default/*": ("../*/{name}*", "{name}_ms") for family in ("ipv4", "ipv6")},
    "ipv4/tcp_congestion_control": ("tcp_allowed_congestion_control",),
    "mtu": ("/proc/sys/net/ipv6/conf/{folder}/mtu",),
}
#: Settings that the kernel does not change back until the machine starts again.
_ONE_WAY = ("modules_disabled", "kexec_load_disabled", "unprivileged_bpf_disabled", "yama/ptrace_scope", "lockdown")


def overwritten_by(path: str) -> str | None:
    """The file of the setting that the kernel sets to 0 when ``path`` is written; ``None`` if there is none."""
    folder, name = os.path.split(path)
    other = os.path.join(folder, _OVERWRITES.get(name, ""))
    return other if os.path.isfile(other) else None


def changed_by(path: str) -> list[str]:
    """The files of the settings that may change when ``path`` is written, of those that can be read and written."""
    folder = os.path.dirname(path)
    found = {overwritten_by(path)}
    for end, others in _CHANGES.items():
        if fnmatch.fnmatchcase(path, f"*/{end}"):
            for other in others:
                names = {"folder": os.path.basename(folder), "name": os.path.basename(path)}
                pattern = other.format_map({name: glob.escape(each) for name, each in names.items()})
                where = _ROOT if pattern.startswith("/") else folder
                found |= set(map(os.path.realpath, glob.glob(os.path.join(glob.escape(where), pattern.lstrip("/")))))
    return sorted(each for each in found if each and each != path and _is_setting(each))


def is_one_way(path: str) -> bool:
    """Whether the kernel does not take back the old value of the setting in ``path``."""
    return path.endswith(tuple(f"/{name}" for name in _ONE_WAY))


def _is_setting(path: str) -> bool:
    return os.path.isfile(path) and os.stat(path).st_mode & 0o600 == 0o600
