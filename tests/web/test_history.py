"""How fast events were folded, told of the partitions that both moments know."""

from fastdata.web.history import PaceSample, rates, trend


def test_a_partition_that_comes_late_is_no_burst() -> None:
    samples = [
        PaceSample(0, {0: 100}, 1.0),
        PaceSample(10_000, {0: 600, 1: 90_000_000}, 1.0),
        PaceSample(20_000, {0: 600, 1: 90_000_250}, None),
        PaceSample(30_000, {1: 90_000_250}, None),
    ]
    assert [50.0, 25.0, 0.0] == rates(samples)


def test_a_curve_begins_at_zero() -> None:
    curve = trend([0, 10, 5])
    assert curve
    assert "M0.0,19.0 L50.0,1.0 L100.0,10.0" == curve.path
    assert trend([1]) is None
