import pytest

from fastdata.archive.layout import (
    check_topic,
    first_of,
    object_name,
    partition_of,
    segment_name,
    tile_name,
    tile_object_name,
)
from fastdata.archive.storage import open_archive_storage
from fastdata.errors import SettingsError


def test_names_of_objects_are_those_of_kafka_connects_s3_sink() -> None:
    assert object_name("a.b-c_d", 3, 42) == "topics/a.b-c_d/partition=3/a.b-c_d+3+0000000042.avro"


def test_names_of_the_rest() -> None:
    assert object_name("t", 3, 42, is_rejects=True) == "rejects/t/partition=3/t+3+0000000042.avro"
    assert tile_object_name("t", 0, 5, 7) == "tiles/t/partition=0/t+0+0000000005+0000000007.avro"
    assert tile_object_name("t", 0, 5, 7, is_rejects=True).endswith("+0000000007.rejects.avro")
    assert segment_name("t", 0, 12) == "manifest/t/partition=0/segment=0000000012.json"
    assert tile_name("t", 0, 12) == "manifest/t/partition=0/tile=0000000012.json"


@pytest.mark.parametrize("topic", ["", ".", "..", "a/b", "../x", "a b", "é", "x" * 250, "a\n"])
def test_a_name_that_is_no_topic_never_becomes_a_path(topic: str) -> None:
    with pytest.raises(SettingsError, match="no name of a Kafka topic"):
        check_topic(topic)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        (object_name("t", 0, 12_345_678_901), None, 12_345_678_901),
        (tile_object_name("t", 0, 5, 7), None, 5),
        (tile_object_name("t", 0, 5, 7, is_rejects=True), None, 5),
        (segment_name("t", 0, 9), "segment", 9),
        (tile_name("t", 0, 9), "tile", 9),
        (segment_name("t", 0, 9), "tile", None),
        ("manifest/t/partition=0/notes.txt", "tile", None),
    ],
)
def test_the_number_in_a_name_can_be_read_back(
    name: str, kind: str | None, expected: int | None
) -> None:
    assert first_of(name, kind) == expected


def test_the_partition_in_a_name_can_be_read_back() -> None:
    assert partition_of(tile_name("t", 17, 9)) == 17
    assert partition_of("manifest/t/notes.txt") is None


@pytest.mark.parametrize("url", ["s3://user:hunter2@bucket/x", "gs://b", "file://host/x"])
def test_other_archives_are_refused_without_showing_a_secret(url: str) -> None:
    with pytest.raises(SettingsError, match="not supported yet") as caught:
        open_archive_storage(url)

    assert "hunter2" not in str(caught.value)
