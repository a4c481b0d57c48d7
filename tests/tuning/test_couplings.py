"""Settings that change with another one, as Linux couples them: all come back, also after a kill."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.tuning import couplings
from spec_envs.tuning import journal as journals
from spec_envs.tuning.backends.system_settings import SystemBackend
from spec_envs.tuning.journal import Journal
from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.measurement import MeasureQuery, Metrics

QUEUE = "sys/devices/pci0/block/vda/queue"
CPU = "sys/devices/system/cpu/cpufreq"
THP = "sys/kernel/mm/transparent_hugepage"
CGROUP = "sys/fs/cgroup/a"
NET = "proc/sys/net"
BDI = "sys/devices/virtual/bdi/8:0"
FOUND = {
    f"{QUEUE}/scheduler": "none [mq-deadline] bfq",
    f"{QUEUE}/nr_requests": "64",
    f"{QUEUE}/wbt_lat_usec": "2000",
    f"{QUEUE}/read_ahead_kb": "16",
    f"{QUEUE}/max_sectors_kb": "512",
    f"{QUEUE}/iosched/read_expire": "100",
    f"{QUEUE}/iosched/async_depth": "48",
    f"{CPU}/policy0/scaling_governor": "schedutil",
    f"{CPU}/policy0/scaling_min_freq": "800000",
    f"{CPU}/policy0/scaling_max_freq": "2000000",
    f"{CPU}/policy0/energy_performance_preference": "balance_power",
    f"{CPU}/policy0/schedutil/rate_limit_us": "500",
    f"{CPU}/boost": "1",
    f"{THP}/enabled": "always [madvise] never",
    "proc/sys/vm/min_free_kbytes": "4000",
    "sys/kernel/debug/sched/tunable_scaling": "1",
    "sys/kernel/debug/sched/base_slice_ns": "700000",
    f"{CGROUP}/cpu.idle": "0",
    f"{CGROUP}/cpu.weight": "150",
    f"{CGROUP}/cpu.weight.nice": "-2",
    f"{NET}/ipv4/neigh/eth0/base_reachable_time": "30",
    f"{NET}/ipv4/neigh/eth0/base_reachable_time_ms": "30500",
    f"{NET}/ipv4/neigh/default/base_reachable_time": "30",
    f"{NET}/ipv4/neigh/default/base_reachable_time_ms": "30000",
    f"{NET}/ipv4/neigh/eth0/unres_qlen": "101",
    f"{NET}/ipv4/neigh/eth0/unres_qlen_bytes": "212992",
    f"{NET}/ipv4/conf/default/rp_filter": "1",
    f"{NET}/ipv4/conf/eth0/rp_filter": "2",
    f"{NET}/ipv6/conf/all/proxy_ndp": "0",
    f"{NET}/ipv6/conf/eth0/proxy_ndp": "1",
    f"{BDI}/max_ratio": "33",
    f"{BDI}/max_ratio_fine": "333333",
    f"{CPU}/policy1/scaling_max_freq": "1900000",
    "sys/devices/system/cpu/cpu1/online": "1",
    "sys/devices/system/cpu/smt/control": "on",
    "sys/devices/system/cpu/intel_pstate/status": "active",
    f"{NET}/ipv4/ip_forward": "0",
    f"{NET}/ipv4/conf/all/forwarding": "0",
    f"{NET}/ipv4/conf/all/accept_redirects": "1",
    f"{NET}/ipv4/conf/eth0/forwarding": "1",
    f"{NET}/ipv4/tcp_congestion_control": "cubic",
    f"{NET}/ipv4/tcp_allowed_congestion_control": "reno cubic",
    f"{NET}/ipv6/conf/eth0/mtu": "1280",
    "sys/devices/pci0/net/eth0/mtu": "1500",
    "proc/sys/kernel/watchdog": "1",
    "proc/sys/kernel/nmi_watchdog": "0",
    "proc/sys/kernel/soft_watchdog": "1",
}


class Kernel:
    """A tree of files that are coupled as those of Linux are; ``write`` takes the place of the journal's own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, value in FOUND.items():
            self.put(name, value)

    def put(self, name: str, value: str) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")

    def values(self) -> dict[str, str]:
        return {str(each.relative_to(self.root)): each.read_text().strip() for each in self.files()}

    def files(self) -> list[Path]:
        return [each for each in self.root.rglob("*") if each.is_file()]

    def write(self, path: str, text: str) -> None:
        name = str(Path(path).relative_to(self.root.resolve()))
        before = journals.read_file(path)
        self.put(
            name,
            re.sub(rf"\b{text}\b", f"[{text}]", FOUND[name].replace("[", "").replace("]", ""))
            if "[" in FOUND[name]
            else text,
        )
        match name.rpartition("/")[2]:
            case "scheduler" if text != before:
                for other, value in (("nr_requests", "256"), ("wbt_lat_usec", "0")):
                    self.put(f"{QUEUE}/{other}", value)
                for file in (self.root / QUEUE / "iosched").glob("*"):
                    file.unlink()
                if text == "mq-deadline":
                    self.put(f"{QUEUE}/iosched/read_expire", "500")
                    self.put(f"{QUEUE}/iosched/async_depth", "192")
            case "nr_requests" if (self.root / QUEUE / "iosched/async_depth").exists():
                self.put(f"{QUEUE}/iosched/async_depth", text)
            case "max_sectors_kb":
                self.put(f"{QUEUE}/read_ahead_kb", "128")
            case "scaling_governor" if text != before:
                self.put(f"{CPU}/policy0/energy_performance_preference", "performance")
                (self.root / CPU / "policy0/schedutil/rate_limit_us").unlink(missing_ok=True)
                if text == "schedutil":
                    self.put(f"{CPU}/policy0/schedutil/rate_limit_us", "1000")
            case "boost":
                self.put(f"{CPU}/policy0/scaling_max_freq", "3000000" if text == "1" else "1500000")
            case "enabled":
                self.put("proc/sys/vm/min_free_kbytes", "67584")
            case "tunable_scaling":
                self.put("sys/kernel/debug/sched/base_slice_ns", "3000000")
            case "cpu.idle":
                self.put(f"{CGROUP}/cpu.weight", "0" if text == "1" else "100")
            case "cpu.weight":
                self.put(f"{CGROUP}/cpu.weight.nice", "-2" if text == "150" else "0")
            case "cpu.weight.nice":
                self.put(f"{CGROUP}/cpu.weight", "156" if text == "-2" else "100")
            case "base_reachable_time":
                self.put(f"{name}_ms", f"{text}000")
            case "base_reachable_time_ms":
                self.put(name.removesuffix("_ms"), text[:-3])
                if "default" in name:
                    self.put(name.replace("default", "eth0"), text)
            case "unres_qlen":
                self.put(f"{name}_bytes", str(int(text) * 2304))
            case "unres_qlen_bytes":
                self.put(name.removesuffix("_bytes"), "101" if text == "212992" else str(int(text) // 2304))
            case "rp_filter" if "default" in name:
                self.put(name.replace("default", "eth0"), text)
            case "proxy_ndp" if "all" in name:
                self.put(name.replace("all", "eth0"), text)
            case "max_ratio":
                self.put(f"{name}_fine", f"{text}0000")
            case "max_ratio_fine":
                self.put(name.removesuffix("_fine"), str(int(text) // 10_000))
            case "online" | "status" if text != before:
                self.put(f"{CPU}/policy1/scaling_max_freq", "3000000")
            case "control":
                self.put("sys/devices/system/cpu/cpu1/online", "1" if text == "on" else "0")
                self.put(f"{CPU}/policy1/scaling_max_freq", "3000000")
            case "ip_forward":
                for other in ("all", "eth0"):
                    self.put(f"{NET}/ipv4/conf/{other}/forwarding", text)
                self.put(f"{NET}/ipv4/conf/all/accept_redirects", str(1 - int(text)))
            case "tcp_congestion_control":
                allowed = self.values()[f"{NET}/ipv4/tcp_allowed_congestion_control"].split()
                self.put(f"{NET}/ipv4/tcp_allowed_congestion_control", " ".join(dict.fromkeys([*allowed, text])))
            case "mtu" if "devices" in name:
                self.put(f"{NET}/ipv6/conf/eth0/mtu", text)
            case "watchdog":
                self.put("proc/sys/kernel/nmi_watchdog", text)
                self.put("proc/sys/kernel/soft_watchdog", text)


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    made = Kernel(tmp_path / "root")
    monkeypatch.setattr(journals, "_write", made.write)
    monkeypatch.setattr(couplings, "_ROOT", str(made.root))
    return made


WRITTEN = {
    "another scheduler of a disk": {f"{QUEUE}/scheduler": "bfq"},
    "a scheduler without settings": {f"{QUEUE}/scheduler": "none"},
    "the depth of a queue": {f"{QUEUE}/nr_requests": "128"},
    "a scheduler and a depth": {f"{QUEUE}/nr_requests": "128", f"{QUEUE}/scheduler": "bfq"},
    "the limits of a disk": {f"{QUEUE}/max_sectors_kb": "128"},
    "another governor": {f"{CPU}/policy0/scaling_governor": "performance"},
    "no boost": {f"{CPU}/boost": "0"},
    "huge pages": {f"{THP}/enabled": "always"},
    "the scale of the scheduler": {"sys/kernel/debug/sched/tunable_scaling": "0"},
    "an idle group": {f"{CGROUP}/cpu.idle": "1"},
    "a weight": {f"{CGROUP}/cpu.weight": "100"},
    "a weight by another scale": {f"{CGROUP}/cpu.weight.nice": "0"},
    "a time in another unit": {f"{NET}/ipv4/neigh/eth0/base_reachable_time": "40"},
    "the same time": {f"{NET}/ipv4/neigh/eth0/base_reachable_time": "30"},
    "a finer time": {f"{NET}/ipv4/neigh/eth0/base_reachable_time_ms": "40500"},
    "a setting of all devices": {f"{NET}/ipv4/ip_forward": "1"},
    "what is allowed from then on": {f"{NET}/ipv4/tcp_congestion_control": "bbr"},
    "the size of packets": {"sys/devices/pci0/net/eth0/mtu": "9000"},
    "a time of devices to come": {f"{NET}/ipv4/neigh/default/base_reachable_time_ms": "50000"},
    "the length of a queue": {f"{NET}/ipv4/neigh/eth0/unres_qlen": "3"},
    "a setting of devices to come": {f"{NET}/ipv4/conf/default/rp_filter": "0"},
    "a setting of all devices of IPv6": {f"{NET}/ipv6/conf/all/proxy_ndp": "1"},
    "a share in percent": {f"{BDI}/max_ratio": "50"},
    "a processor": {"sys/devices/system/cpu/cpu1/online": "0"},
    "threads of processors": {"sys/devices/system/cpu/smt/control": "off"},
    "the driver of processors": {"sys/devices/system/cpu/intel_pstate/status": "passive"},
    "two settings at once": {"proc/sys/kernel/watchdog": "0"},
}


@pytest.mark.parametrize("ending", ["closed", "killed"])
@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_what_changes_with_a_setting_comes_back(kernel, written, ending, tmp_path):
    journal = Journal(tmp_path / "journal")
    for name, value in written.items():
        journal.write(str(kernel.root / name), value)
    if ending == "killed":
        kept, changed = (tmp_path / "journal" / "journal.jsonl").read_text(), kernel.values()
        journal.close()
        (tmp_path / "journal" / "journal.jsonl").write_text(kept)
        for file in kernel.files():
            file.unlink()
        for name, value in changed.items():
            kernel.put(name, value)
        journal = Journal(tmp_path / "journal")
    journal.close()
    assert kernel.values() == FOUND
    assert (tmp_path / "journal" / "journal.jsonl").read_text() == ""


def test_a_setting_that_cannot_be_read_is_left_out_unless_it_is_the_one_to_change(kernel, tmp_path, monkeypatch):
    def read_file(path: str) -> str:
        if path.endswith("wbt_lat_usec"):
            raise HandlerFailed(f"{path} cannot be read: Invalid argument")
        return original(path)

    original = journals.read_file
    monkeypatch.setattr(journals, "read_file", read_file)
    with Journal(tmp_path / "journal") as journal:
        journal.write(str(kernel.root / QUEUE / "scheduler"), "bfq")
        with pytest.raises(HandlerFailed, match="wbt_lat_usec cannot be read"):
            journal.write(str(kernel.root / QUEUE / "wbt_lat_usec"), "1")
    assert kernel.values() | {f"{QUEUE}/wbt_lat_usec": "2000"} == FOUND


class OneWay:
    """A workload under a setting that the kernel does not change back."""

    name = "one way"
    knobs = (Knob("only", "int", 0, 1, steps=2),)

    def __init__(self, path: Path) -> None:
        self.files = {"only": str(path)}

    def run(self, query: MeasureQuery, cancel: object) -> Metrics:
        return Metrics.of([1.0], 1.0)


@pytest.mark.parametrize(
    "name",
    [
        "kernel/modules_disabled",
        "kernel/kexec_load_disabled",
        "kernel/unprivileged_bpf_disabled",
        "kernel/yama/ptrace_scope",
    ],
)
def test_what_cannot_be_changed_back_is_refused(tmp_path, name):
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text("0\n")
    with pytest.raises(
        InvalidConfiguration, match="could not be restored: the kernel does not take its old value back"
    ):
        SystemBackend(OneWay(file), allow_system=True, journal=tmp_path / "journal")
    assert file.read_text() == "0\n"
