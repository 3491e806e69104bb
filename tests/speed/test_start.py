"""Where a partition is folded from. Segments hold 10 offsets."""

import pytest

from fastdata.speed.start import Start, edge_after, plan_start


@pytest.mark.parametrize(
    ("committed", "marker", "log_start", "start"),
    [
        pytest.param(None, None, 0, Start(0), id="a new topic from its beginning"),
        pytest.param(None, None, 7, Start(10, (0, 10)), id="a new group on a log that was trimmed"),
        pytest.param(None, None, 30, Start(30, (0, 30)), id="trimmed at an edge"),
        pytest.param(23, 23, 0, Start(23), id="an orderly restart"),
        pytest.param(23, 28, 0, Start(23), id="a crash before the commit: replayed, re-emitted"),
        pytest.param(23, None, 0, Start(20), id="lost state: its segment from the edge"),
        pytest.param(23, 11, 0, Start(10), id="older state: from the edge of its own segment"),
        pytest.param(None, 8, 0, Start(0), id="a crash before the first commit"),
        pytest.param(23, 23, 31, Start(40, (23, 40)), id="down for longer than the retention"),
        pytest.param(23, 23, 30, Start(30, (23, 30)), id="the log begins at an edge"),
        pytest.param(23, None, 22, Start(30, (23, 30)), id="the edge of a lost segment is gone"),
    ],
)
def test_folding_starts_where_no_segment_is_replaced_by_a_part(
    committed: int | None, marker: int | None, log_start: int, start: Start
) -> None:
    assert plan_start(committed, marker, log_start, 10) == start


def test_an_edge_is_its_own_next_edge() -> None:
    assert [edge_after(offset, 10) for offset in (0, 1, 10, 19)] == [0, 10, 10, 20]
