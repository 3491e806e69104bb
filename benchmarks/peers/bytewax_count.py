"""Bytewax: a tumbling count by key and minute with recovery, to a topic."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax._bytewax import cli_main
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower, count_window
from bytewax.recovery import RecoveryConfig, init_db_dir
from given import decode, finish, given

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def event_of(message: KafkaSourceMessage) -> tuple[str, datetime]:
    """The key and the time of an event."""
    return message.key.decode(), decode(message.value)[given["time"]]


def answer(counted: tuple[str, tuple[int, int]]) -> KafkaSinkMessage:
    """A closed window."""
    key, (window, count) = counted
    value = {"start": window * 60_000, "value": count}
    return KafkaSinkMessage(key.encode(), json.dumps(value).encode())


servers = [given["servers"]]
flow = Dataflow("counting")
source = KafkaSource(servers, [given["topic"]], tail=False, batch_size=1_000)
events = op.map("decode", op.input("in", flow, source), event_of)
grace = timedelta(milliseconds=given["grace_ms"] + 10_000)
windows = count_window(
    "count",
    events,
    EventClock(lambda event: event[1], wait_for_system_duration=grace),
    TumblingWindower(timedelta(minutes=1), align_to=EPOCH),
    lambda event: event[0],
)
op.output("out", op.map("answer", windows.down, answer), KafkaSink(servers, given["out"]))
recovery = Path(given["folder"]) / "recovery"
recovery.mkdir()
init_db_dir(recovery, 1)
cli_main(flow, epoch_interval=timedelta(seconds=10), recovery_config=RecoveryConfig(str(recovery)))
finish()
