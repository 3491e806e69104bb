"""How many files a worker may open, and how they are shared."""

import resource
import subprocess
import sys

import pytest

from fastdata.errors import SettingsError
from fastdata.speed.files import check_room, tables_of_partition


@pytest.mark.parametrize(
    ("limit", "partitions", "tables"),
    [
        (1_024, 1, 256),  # the most that a partition is given
        (1_024, 8, 109),  # (1,024 - 100) // 8 - 6
        (4_096, 128, 25),  # (4,096 - 100) // 128 - 6
        (1_024, 256, 20),  # the fewest that RocksDB takes
    ],
)
def test_the_files_of_rocksdb_are_shared_by_the_partitions(
    limit: int, partitions: int, tables: int
) -> None:
    assert tables_of_partition(limit, partitions) == tables


def test_more_partitions_than_files_may_be_open_are_told_in_one_line() -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    check_room(4)

    with pytest.raises(SettingsError, match=f"may have {limit}: raise its hard limit"):
        check_room(limit)


RAISE = """
import resource
from fastdata.speed.files import raise_limit

resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512))
print(raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_limit_of_open_files_is_raised_as_far_as_it_may_be() -> None:
    done = subprocess.run([sys.executable, "-c", RAISE], capture_output=True, text=True, check=True)

    assert done.stdout == "512 512 512\n"
