"""Where a run took place, and what it and others used of the processors meanwhile."""

import os
import platform
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

PACKAGES = (
    "fastdata-lambda",
    "faust-streaming",
    "confluent-kafka",
    "aiokafka",
    "rocksdict",
    "datafusion",
)


def cpu_model() -> str:
    """The processor's name, as the kernel has it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def facts() -> dict[str, object]:
    """What a reader needs to know of the machine and the versions."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it that run."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_s(pid: int) -> float:
    """User and system seconds of a process and of all that it started, ended ones as well."""
    total = 0.0
    for process in tree(pid):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


def peak_mb(pid: int) -> float:
    """The largest memory that the process and those below it have had, each at its own moment."""
    total = 0
    for process in tree(pid):
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return total / 1024


def busy_s() -> float:
    """Seconds for which the processors were busy, with anybody's work."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


@dataclass
class Meter:
    """What this run and others used of the processors since it was made."""

    _began: float = field(default_factory=time.monotonic)
    _busy: float = field(default_factory=busy_s)
    _own: float = field(default_factory=lambda: cpu_s(os.getpid()))

    def read(self) -> dict[str, float]:
        """Cores in use on average, by us and by others, and the load average now."""
        took = time.monotonic() - self._began
        own = (cpu_s(os.getpid()) - self._own) / took
        return {
            "seconds": round(took, 1),
            "own_cores": round(own, 2),
            "other_cores": round(max(0.0, (busy_s() - self._busy) / took - own), 2),
            "load_average": round(os.getloadavg()[0], 2),
        }
