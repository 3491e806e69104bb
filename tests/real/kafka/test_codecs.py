"""Producers that compress in any way that Kafka knows."""

from confluent_kafka import Producer

from tests.real.kafka.test_archivers import archived
from tests.support.lab import Lab


async def test_records_of_every_codec_reach_both_layers(lab: Lab) -> None:
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        servers = lab.environment["FASTDATA_BROKER"]
        config = {"bootstrap.servers": servers, "compression.type": codec, "linger.ms": 50}
        lab.produce(400, Producer(config))
    with lab.worker():
        lab.wait_until_folded(2_000)
    done = lab.fastdata("archive", "--once")

    assert done.returncode == 0, done.stderr
    assert await lab.answer() == lab.expected()
    assert len(await archived(lab)) == 2_000
