"""Quix Streams: a tumbling count by key and minute, in RocksDB with a changelog, to a topic."""

from typing import Any

from given import decode, finish, given
from quixstreams import Application
from quixstreams.models import Deserializer, SerializationContext


class Avro(Deserializer):
    """The decoding that all programs share."""

    def __call__(self, value: bytes, ctx: SerializationContext) -> Any:
        """An event."""
        return decode(value)


seen = 0


def count_seen(topic: str, partition: int, offset: int) -> None:
    """End after the last event."""
    global seen
    seen += 1
    if seen == given["events"]:
        app.stop()


app = Application(
    given["servers"],
    consumer_group=given["group"],
    auto_offset_reset="earliest",
    state_dir=given["folder"],
    loglevel="ERROR",
    on_message_processed=count_seen,
)
views = app.topic(given["topic"], value_deserializer=Avro(), key_deserializer="str")
answers = app.topic(given["out"], key_serializer="str")
windows = app.dataframe(views).tumbling_window(60_000, grace_ms=given["grace_ms"]).count()
# Later events of a partition close its windows: those of a key that is seen no more as well.
windows.final(closing_strategy="partition").to_topic(answers)
app.run()
finish()
