"""Failpoints fire once, at the count that was asked for."""

import subprocess
import sys

import pytest

from fastdata import failpoints


def test_a_failpoint_fires_at_its_count_and_then_no_more() -> None:
    failpoints.set_action("here", "raise", at=2)
    failpoints.reach("here")
    with pytest.raises(failpoints.FailpointError):
        failpoints.reach("here")
    failpoints.reach("here")


def test_the_environment_can_kill_the_process() -> None:
    code = "from fastdata.failpoints import reach; reach('a'); print(1, flush=True); reach('a')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"FASTDATA_FAILPOINTS": "a=kill@2"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (-9, "1\n")
