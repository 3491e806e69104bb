"""Jobs that are chained by a topic, with real workers on the embedded broker."""

import pytest

from tests.support.chaining import Chain
from tests.support.lab import Lab


@pytest.mark.processes
def test_the_next_job_sums_what_the_first_has_counted(lab: Lab) -> None:
    chain = Chain(lab)
    chain.begin()
    chain.declare()
    lab.produce(500)
    with lab.worker("both_jobs"):
        lab.wait_until(lambda: lab.folded(lab.topic) == 1_500)
        with chain.following():
            chain.wait_until_summed()
