"""Stock Faust: an agent that counts in a tumbling table, in RocksDB with its changelog.

With what makes it faster: uvloop, batches of changelog records, and no records of its debug log.
"""

import logging
import os
import signal
import sys
from typing import Any

import mode.loop

mode.loop.use("uvloop")

import faust  # noqa: E402
from given import decode, finish, given  # noqa: E402

for name in ("aiokafka", "faust", "mode"):
    logging.getLogger(name).setLevel(logging.WARNING)
app = faust.App(
    given["group"],
    broker=f"kafka://{given['servers']}",
    store="rocksdb://",
    datadir=given["folder"],
    topic_partitions=given["partitions"],
    topic_disable_leader=True,
    producer_linger=0.05,
)
topic = app.topic(given["topic"], key_type=str, key_serializer="raw", value_serializer="raw")
table = app.Table(
    "counts", default=int, partitions=given["partitions"], options={"driver": "rocksdict"}
)
counts = table.tumbling(60.0).relative_to_stream()


@app.agent(topic)
async def count(stream: Any) -> None:
    """Count each event, and end after the last."""
    seen = 0
    async for key, value in stream.items():
        decode(value)
        counts[key] += 1
        seen += 1
        if seen == given["events"]:
            await app.producer.flush()
            finish()
            os.kill(os.getpid(), signal.SIGTERM)


sys.argv = ["faust", "worker", "--without-web", "--loglevel", "warn"]
app.main()
