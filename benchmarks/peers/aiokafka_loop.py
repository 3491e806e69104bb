"""A loop by hand on aiokafka: reads the topic to its end; nothing survives its own."""

import asyncio
import json
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from folding import FOLDS, counts
from given import decode, finish, given


async def main() -> None:
    """Fold all events."""
    fold, seen = FOLDS[given["fold"]], 0
    consumer = AIOKafkaConsumer(
        given["topic"],
        bootstrap_servers=given["servers"],
        group_id=given["group"],
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    while seen < given["events"]:
        for records in (await consumer.getmany(timeout_ms=1_000)).values():
            for record in records:
                fold(decode(record.value))
            seen += len(records)
    finish()
    await consumer.stop()


asyncio.run(main())
Path(given["counts"]).write_text(json.dumps(counts()))
