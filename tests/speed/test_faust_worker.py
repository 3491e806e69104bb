"""Workers as processes, on a broker that speaks the Kafka protocol."""

import asyncio
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.lab import Lab, stop
from tests.support.mockbroker import MockBroker

BROKEN = """
from fastdata import Metric, Source

broken = Source("broken", topic="{topic}-broken", schema="schemas/click.avsc", time="at")
all_broken = Metric("all_broken", broken)

@broken.map
def divide(event):
    return {{**event, "amount": 1 // event["amount"]}}
"""


async def test_the_app_of_the_package_folds_every_event_and_stops_on_sigterm(lab: Lab) -> None:
    lab.produce(2_000)
    with lab.worker("fastdata") as worker:
        lab.wait_until_folded(2_000)
        assert stop(worker) == 0

    assert await lab.answer() == lab.expected()


NOTE_EACH = """

@clicks.map
def note(event):
    with open("noted", "a") as file:
        file.write(".")
    return event
"""


@pytest.mark.processes
async def test_a_source_whose_map_function_raises_stops_alone(lab: Lab, broker: MockBroker) -> None:
    broker.create(f"{lab.topic}-broken")
    (lab.folder / "agents/broken.py").write_text(BROKEN.format(topic=lab.topic))
    other = f"{lab.topic}-broken"
    with lab.worker("fastdata") as worker:
        lab.produce(1_000)
        lab.wait_until_folded(1_000)
        lab.send(lab.event(0, "none"), topic=other)
        lab.wait_for("broken is not folded any more: the map function of source 'broken'")
        lab.send(lab.event(1, "one"), topic=other)
        lab.produce(1_000)
        lab.wait_until_folded(2_000)
        assert await lab.answer() == lab.expected()
        await asyncio.sleep(12)  # readers are told every 5 s
        health = lab.fastdata("status", "--max-lag", "12s", "--layer", "speed")
        assert health.returncode == 3
        assert "broken: workers have read partition" in health.stderr
        assert "clicks" not in health.stderr
        assert stop(worker) == 70

    # A second worker meets the same event, and lets the other source go on as well.
    lab.produce(1_000)
    with lab.worker("fastdata") as worker:
        lab.wait_until_folded(3_000)
        assert await lab.answer() == lab.expected()
    source = (lab.folder / "agents/broken.py").read_text()
    source = source.replace('time="at")', 'time="at", on_map_error="dead-letter")')
    (lab.folder / "agents/broken.py").write_text(source)
    with lab.worker("fastdata") as worker:
        lab.wait_until_folded(3_002)
        assert stop(worker) == 0


@pytest.mark.processes
async def test_a_stopping_worker_flushes_what_it_has_folded(lab: Lab) -> None:
    with (lab.folder / "agents/clicks.py").open("a") as agents:
        agents.write(NOTE_EACH)
    lab.produce(2_000)
    noted = lab.folder / "noted"
    with lab.worker(FASTDATA_COMMIT_INTERVAL_S="60") as worker:
        lab.wait_until(lambda: noted.exists() and noted.stat().st_size == 2_000)
        assert lab.folded() == 0
        assert stop(worker) == 0

    assert lab.folded() == 2_000
    assert await lab.answer() == lab.expected()


async def test_a_killed_worker_goes_on_where_its_state_is(lab: Lab) -> None:
    lab.produce(2_000)
    with lab.worker() as worker:
        lab.wait_until_folded(500)
        worker.kill()
    lab.produce(1_000)
    with lab.worker():
        lab.wait_until_folded(3_000)

    assert await lab.answer() == lab.expected()


async def test_a_worker_without_its_folder_restores_the_state_from_the_changelog(lab: Lab) -> None:
    lab.produce(2_000)
    with lab.worker():
        lab.wait_until_folded(2_000)
    shutil.rmtree(lab.folder / "data/state")
    lab.produce(1_000)
    with lab.worker():
        lab.wait_until_folded(3_000)

    assert await lab.answer() == lab.expected()


OTHER_SOURCE = """
other = Source("other", topic="{topic}-other", schema="schemas/click.avsc", time="at", id="id")
others = Metric("others", other, by=["page"], measures={{"n": Count()}})
"""


@pytest.mark.processes
def test_a_timer_that_is_due_while_the_worker_stops_does_not_keep_it(
    lab: Lab, broker: MockBroker
) -> None:
    broker.create(f"{lab.topic}-other")
    with (lab.folder / "agents/clicks.py").open("a") as agents:
        agents.write(OTHER_SOURCE.format(topic=lab.topic))
    lab.produce(100)
    with lab.worker("fastdata", FASTDATA_CLEAN_UP_INTERVAL_S="0.01") as worker:
        lab.wait_until_folded(100)
        worker.send_signal(signal.SIGTERM)

        assert worker.wait(15) == 0


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[tuple[Lab, ExitStack]]:
    """A lab whose broker goes when the stack is closed."""
    with ExitStack() as stack:
        broker = stack.enter_context(MockBroker())
        broker.create("mortal")
        yield Lab(tmp_path, broker.address, "mortal"), stack


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_with_nothing_to_write_stops_without_a_broker(
    mortal: tuple[Lab, ExitStack], number: signal.Signals
) -> None:
    lab, broker = mortal
    lab.produce(100)
    with lab.worker("fastdata") as worker:
        # Which comes after the store has them.
        lab.wait_until(lambda: lab.committed("fastdata") == 100)
        broker.close()
        lab.wait_for("marking coordinator dead")
        worker.send_signal(number)

        assert worker.wait(60) == 0  # its watchdog would end it sooner

    assert "Traceback" not in (lab.folder / "worker.log").read_text()


@pytest.mark.processes
def test_a_worker_that_cannot_write_its_last_events_says_so_in_one_line(
    mortal: tuple[Lab, ExitStack],
) -> None:
    lab, broker = mortal
    with (lab.folder / "agents/clicks.py").open("a") as agents:
        agents.write(NOTE_EACH)
    noted = lab.folder / "noted"
    lab.produce(100)
    with lab.worker("fastdata", FASTDATA_COMMIT_INTERVAL_S="60") as worker:
        lab.wait_until(lambda: noted.exists() and noted.stat().st_size == 100)
        broker.close()
        worker.send_signal(signal.SIGTERM)

        assert worker.wait(60) == 70

    *_, said = (lab.folder / "worker.log").read_text().splitlines()
    assert "fastdata stops with its last events not written out" in said
    assert "nothing is lost: the next start folds them again" in said
