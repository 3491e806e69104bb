"""The methods that ours extend or depend on, as they were read.

When one changes: read it again, then what depends on it, run tests/chaos, and update the digest.
"""

import hashlib
import inspect
from collections.abc import Callable

import pytest
from aiokafka.consumer.fetcher import Fetcher, PartitionRecords
from aiokafka.producer.message_accumulator import BatchBuilder
from faust.app.base import App
from faust.serializers.schemas import Schema
from faust.stores.rocksdb import Store
from faust.tables.recovery import Recovery
from faust.transport.conductor import ConductorCompiler
from faust.transport.consumer import Consumer, ThreadDelegateConsumer
from faust.transport.drivers import aiokafka as driver
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

READ = [
    (AIOKafkaConsumerThread._create_worker_consumer, "transport: isolation"),
    (AIOKafkaConsumerThread._fetch_records, "transport: holes, what is fetched in a rebalance"),
    (AIOKafkaConsumerThread._seek_wait, "agent: read again"),
    (AIOKafkaConsumerThread._commit, "agent: commit"),
    (Fetcher.fetched_records, "transport: taken without a pause"),
    (PartitionRecords._consumer_record, "transport: chunks of these records"),
    (ThreadDelegateConsumer._getmany, "transport: chunks"),
    (driver.Consumer._to_message, "transport: a message of a chunk"),
    (Schema.compile, "transport: a chunk is not decoded"),
    (ConductorCompiler.build, "transport: one queue for each channel of a topic"),
    (Consumer.perform_seek, "transport: who calls it"),
    (Consumer.getmany, "transport: who calls perform_seek"),
    (Consumer.on_buffer_full, "transport: pressure"),
    (Consumer._drain_messages, "transport: read offsets"),
    (Recovery.on_recovery_completed, "service: seek, then resume"),
    (Recovery._resume_streams, "transport: the same without tables, where no flow is active"),
    (Recovery._slurp_changelogs.fun, "table: restore"),
    (App._stop_consumer, "table: flush before the stores close"),
    (App._on_partitions_revoked, "agent: flush when revoked"),
    (Store.revoke_partitions, "table: closed partitions"),
    (Store.persisted_offset, "table: where to restore from"),
    (BatchBuilder.append, "producing: full batches"),
]
DIGESTS = {
    "AIOKafkaConsumerThread._create_worker_consumer": "c2701bfc3e6f",
    "AIOKafkaConsumerThread._fetch_records": "39a2c6c79fc1",
    "AIOKafkaConsumerThread._seek_wait": "9d221e816d94",
    "AIOKafkaConsumerThread._commit": "932852ce7a23",
    "Fetcher.fetched_records": "be4348896b9b",
    "PartitionRecords._consumer_record": "e668541600b0",
    "ThreadDelegateConsumer._getmany": "f9d47aa9010b",
    "Consumer._to_message": "7c24f6511b2f",
    "Schema.compile": "d46eec5ce319",
    "ConductorCompiler.build": "837cf521368c",
    "Consumer.perform_seek": "0e8c130ff4b0",
    "Consumer.getmany": "4b168d84882a",
    "Consumer.on_buffer_full": "c8961679e0bc",
    "Consumer._drain_messages": "44a2500309e8",
    "Recovery.on_recovery_completed": "6ef567acf072",
    "Recovery._resume_streams": "d986a6710c1a",
    "Recovery._slurp_changelogs": "7825c7e50f76",
    "App._stop_consumer": "55854a5de12c",
    "App._on_partitions_revoked": "d5c895bbe57d",
    "Store.revoke_partitions": "3f85447a24fc",
    "Store.persisted_offset": "6f2e502fb860",
    "BatchBuilder.append": "657d76f55157",
}


@pytest.mark.parametrize(
    ("method", "why"), READ, ids=lambda value: getattr(value, "__qualname__", "")
)
def test_a_method_is_as_it_was_read(method: Callable[..., object], why: str) -> None:
    source = inspect.getsource(inspect.unwrap(method))
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]

    assert (why, digest) == (why, DIGESTS[method.__qualname__])
