"""`fastdata worker --processes` in a lab, and what its processes do."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.lab import Lab

# Loaded with the agents by each process: a line of `joins` for each time that it joins the group.
JOINING = """
import asyncio, os
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance

join, lead = CoordinatorGroupRebalance.perform_group_join, CoordinatorGroupRebalance._on_join_leader


async def noted_join(self):
    with open("joins", "a") as joins:
        joins.write(f"{os.getpid()}\\n")
    self._session_timeout_ms = SESSION_MS
    return await join(self)


async def lead_last(self, response):
    # The mock cluster refuses a member that comes for its partitions after the leader.
    await asyncio.sleep(0.3)
    return await lead(self, response)


CoordinatorGroupRebalance.perform_group_join = noted_join
CoordinatorGroupRebalance._on_join_leader = lead_last
"""


@contextmanager
def supervised(
    lab: Lab, processes: int = 2, session_s: int = 10
) -> Iterator["subprocess.Popen[bytes]"]:
    """Workers below one process, which is killed at the end unless it has ended.

    Args:
        session_s: How long a place in the group is kept for who is gone.
    """
    joining = JOINING.replace("SESSION_MS", str(session_s * 1000))
    (lab.folder / "agents/joining.py").write_text(joining)
    lab.environment["FASTDATA_APPLICATION_ID"] = lab.topic
    command = [sys.executable, "-m", "fastdata", "worker", "--processes", str(processes)]
    with (lab.folder / "worker.log").open("ab") as log:
        supervisor = subprocess.Popen(
            command, cwd=lab.folder, env=lab.environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield supervisor
    finally:
        supervisor.kill()
        supervisor.wait()


def children(pid: int) -> list[int]:
    """The processes that one has started and that still run."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def joins(lab: Lab, pid: int) -> int:
    """How often a process has joined the group."""
    return (lab.folder / "joins").read_text().split().count(str(pid))
