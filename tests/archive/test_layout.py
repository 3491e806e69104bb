import pytest

from fastdata.archive.layout import entry_name, folder, object_name, place_of
from fastdata.archive.storage import open_archive_storage
from fastdata.errors import SettingsError


def test_names_of_objects_are_those_of_kafka_connects_s3_sink() -> None:
    assert object_name("a.b-c_d", 3, 42) == "topics/a.b-c_d/partition=3/a.b-c_d+3+0000000042.avro"


def test_names_of_the_rest() -> None:
    assert object_name("t", 3, 42, is_rejects=True) == "rejects/t/partition=3/t+3+0000000042.avro"
    assert object_name("t", 0, 5, 7) == "tiles/t/partition=0/t+0+0000000005+0000000007.avro"
    assert object_name("t", 0, 5, 7, is_rejects=True).endswith("+0000000007.rejects.avro")
    assert (
        entry_name("t", 0, 12, is_closed=True) == "manifest/t/partition=0/segment=0000000012.json"
    )
    assert entry_name("t", 0, 12, is_closed=False) == "tiles/t/partition=0/tile=0000000012.json"


@pytest.mark.parametrize("topic", ["", ".", "..", "a/b", "../x", "a b", "é", "x" * 250, "a\n"])
def test_a_name_that_is_no_topic_never_becomes_a_path(topic: str) -> None:
    with pytest.raises(SettingsError, match="no name of a Kafka topic"):
        folder("topics", topic)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (object_name("t", 0, 12_345_678_901), (0, 12_345_678_901)),
        (object_name("t", 3, 5, 7), (3, 5)),
        (object_name("t", 3, 5, 7, is_rejects=True), (3, 5)),
        (entry_name("t", 17, 9, is_closed=True), (17, 9)),
        (entry_name("t", 17, 9, is_closed=False), (17, 9)),
        ("manifest/t/partition=0/notes.txt", None),
        ("manifest/t/notes.txt", None),
    ],
)
def test_the_place_in_a_name_can_be_read_back(name: str, expected: tuple[int, int] | None) -> None:
    assert place_of(name) == expected


@pytest.mark.parametrize("url", ["s3://user:hunter2@bucket/x", "gs://b", "file://host/x"])
def test_other_archives_are_refused_without_showing_a_secret(url: str) -> None:
    with pytest.raises(SettingsError, match="s3://bucket/prefix") as caught:
        open_archive_storage(url)

    assert "hunter2" not in str(caught.value)
