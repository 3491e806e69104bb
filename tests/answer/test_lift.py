"""The lift of an experiment: which measures have one, and what is said of it."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from scipy import stats

import fastdata
from fastdata import Metric, lift
from fastdata.cli.compare import compare as command
from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.segments import Coverage
from fastdata.errors import QueryError, SettingsError
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip, Partial, Total
from tests.answer.folder import declare_folder
from tests.answer.trips import NOON, ONE, TWO, progress, unfolded

DECLARATION = """
from fastdata import Count, Mean, Metric, Ratio, Source, StdDev, Sum, Variant

riding = Variant("riding", by="rider", share=0.1)
trips = Source("trips", topic="trips", schema="trip.avsc", time="at", id="id", segment_size=100)
rides = Metric(
    "rides", trips, by={"arm": riding.expression, "line": "line"},
    measures={"n": Count(), "at_night": Count("NULLIF(is_night, FALSE)"), "km": Mean("km"),
              "spread": StdDev("km"), "night_share": Ratio("at_night", "n"), "paid": Sum("fare"),
              "fare": Mean("fare"), "fare_each": Ratio("paid", "n")},
)
plain = Metric("plain", trips, by=["line"], measures={"fare": Mean("fare"), "paid": Sum("fare")})
"""
STORE = "sqlite:///store.db"
NEW, OLD = {"arm": "b"}, {"arm": "a"}
SIDES = ["--left", "arm=b", "--right", "arm=a"]
Trip = tuple[int | None, bool]  # km, is_night
LEFT: list[Trip] = [(8, True), (5, True), (11, False), (6, True), (None, False)]
RIGHT: list[Trip] = [*((4, n % 3 == 0) for n in range(20)), *((n, False) for n in range(20))]
LATE: list[Trip] = [(9, True), (7, False)]


def state(metric: Metric, trips: Sequence[Trip], exact: bool) -> bytes:
    states = metric.zero(exact)
    for km, is_night in trips:
        fields = {"rider": "r", "line": 1, "is_night": is_night, "km": km, "fare": None}
        metric.add(states, fields)
    return metric.dump(states)


@pytest.fixture
def rides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Metric:
    """Batch counted an hour of both arms; the speed layer folded the next one of the new one."""
    monkeypatch.chdir(tmp_path)
    metric = declare_folder(tmp_path, DECLARATION)
    asyncio.run(fill(metric))
    return metric


async def fill(metric: Metric) -> None:
    async with open_store(STORE) as store:
        totals = [
            Total(NOON, dump_dims([arm, line]), state(metric, trips, exact=True))
            for arm, line, trips in (("b", 1, LEFT[:2]), ("b", 2, LEFT[2:]), ("a", 1, RIGHT))
        ]
        await store.write_totals(metric.id, 1, {NOON: totals})
        await store.publish(metric.id, [Flip(NOON, None, 1, Coverage({0: 3}), len(totals))])
        late = state(metric, LATE, exact=False)
        partial = Partial(metric.id, ONE, dump_dims(["b", 1]), 0, 3, 300, late)
        await store.upsert([partial], [progress(TWO)])


async def test_means_and_rates_of_batch_have_a_lift(rides: Metric) -> None:
    answer = await lift(rides, NEW, OLD, end="2013-01-01T13:00", share=0.1, store=STORE)

    night, km = sorted(answer.effects, key=lambda effect: effect.measure, reverse=True)
    welch = stats.ttest_ind([8, 5, 11, 6], [km for km, _ in RIGHT], equal_var=False)
    assert (km.measure, km.kind, km.values) == ("km", "mean", (7.5, 6.75))
    assert km.counts == (4, 40)
    assert km.p_value == pytest.approx(welch.pvalue)
    interval = welch.confidence_interval()
    assert (km.difference.lower, km.difference.upper) == pytest.approx(tuple(interval))
    assert (night.measure, night.kind) == ("night_share", "rate")
    assert night.values == (0.6, 7 / 40)
    assert night.lift.value == pytest.approx(0.6 / 0.175 - 1)
    assert answer.events == (5, 40)
    assert answer.share_p_value == pytest.approx(stats.chisquare([5, 40], [4.5, 40.5]).pvalue)
    assert answer.is_exact
    assert (answer.about["start"], answer.about["definition"]) == ("2013-01-01T12:00:00Z", rides.id)


async def test_both_layers_and_all_rows_of_a_side_are_in_it(rides: Metric) -> None:
    answer = await lift(rides, NEW, OLD, store=STORE)
    km = next(effect for effect in answer.effects if effect.measure == "km")
    assert (answer.events, km.values[0], km.counts) == ((7, 40), 46 / 6, (6, 40))
    assert not answer.is_exact
    line = await lift(rides, NEW | {"line": 2}, OLD, measure="km", store=STORE)
    assert ([effect.values[0] for effect in line.effects], line.lacking) == ([8.5], {})


async def test_what_was_not_folded_yet_makes_it_inexact(rides: Metric) -> None:
    async with open_store(STORE) as store:
        await store.upsert([unfolded(rides, NOON, "late", 3)], [])
    answer = await lift(rides, NEW, OLD, end="2013-01-01T13:00", store=STORE)
    assert (answer.is_exact, answer.about["unfolded"]) == (False, 3)


async def test_a_wider_level_gives_wider_intervals(rides: Metric) -> None:
    narrow, wide = [
        (await lift(rides, NEW, OLD, measure="km", level=level, store=STORE)).effects[0].difference
        for level in (0.5, 0.99)
    ]
    assert narrow.value == wide.value
    assert wide.lower < narrow.lower < narrow.upper < wide.upper  # type: ignore[operator]
    assert (narrow.confidence, wide.confidence) == (0.5, 0.99)


async def test_a_side_without_events_has_no_numbers(rides: Metric) -> None:
    answer = await lift(rides, NEW | {"line": 7}, OLD, share=0.1, store=STORE)
    assert [(effect.values[0], effect.lift.value, effect.p_value) for effect in answer.effects] == [
        (None, None, None), (None, None, None)
    ]  # fmt: skip
    nothing = await lift(rides, NEW, OLD, "2020-01-01", "2020-01-02", share=0.1, store=STORE)
    assert (nothing.events, nothing.share_p_value, nothing.is_exact) == ((0, 0), None, False)


async def test_what_lacks_a_measure_says_which(rides: Metric) -> None:
    answer = await lift(rides, NEW, OLD, store=STORE)
    assert answer.lacking == {
        "fare": "declare StdDev('fare') beside it, and replay",
        "fare_each": "only a Ratio of a Count('...') by Count() is a rate; of a Sum by Count(), "
        "declare Mean and StdDev of what it adds up",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"right": {"line": 1}}, "left and right may have events in common"),
        ({"right": {}}, "give them different values of one dimension, as in arm=b and arm=a"),
        ({"right": {"arms": "a"}}, "right: metric 'rides' has no dimension 'arms'; did you mean"),
        ({"measure": "fare"}, r"no lift of fare: declare StdDev\('fare'\) beside it"),
        ({"measure": "paid"}, "no lift of paid: .*means with a StdDev, and rates: km, night_share"),
        ({"level": 95}, "level is 95; it must be more than 0 and less than 1"),
        ({"share": 0}, "share is 0; it must be more than 0 and less than 1"),
    ],
)
async def test_a_wrong_question_says_what_is_right(
    rides: Metric, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        await lift(rides, NEW, **{"right": OLD, "store": STORE} | options)


async def test_a_metric_without_any_lift_says_what_to_declare(rides: Metric) -> None:
    plain = fastdata.load("agents/trips.py").plain
    with pytest.raises(QueryError, match=r"no lift of fare: declare StdDev\('fare'\)"):
        await lift(plain, {"line": 1}, {"line": 2}, store=STORE)


async def test_without_scipy_it_says_how_to_install_it(
    rides: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "fastdata.answer.samples", raising=False)
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(SettingsError, match=r"pip install 'fastdata-lambda\[lift\]'"):
        await lift(rides, NEW, OLD, store=STORE)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["rides", *arguments])


def test_the_command_shows_each_lift_with_its_interval(rides: Metric) -> None:
    shown = run("--lift", *SIDES, "--share", "0.1", "--to", "2013-01-01T13:00")
    assert [line for line in shown.output.splitlines() if not line.startswith("fare")] == [
        "arm=b against arm=a, 2013-01-01 12:00 to 2013-01-01 13:00 UTC, confidence 0.95",
        "km: 7.500 against 6.750, of 4 and 40",
        "  difference 0.75 [-3.111, 4.611]",
        "  lift 11.111 [-40.986, 84.015] %, p 0.6451",
        "night_share: 60.000 % against 17.500 %, of 5 and 40",
        "  difference 42.500 [2.846, 72.064] points",
        "  lift 242.857 [28.381, 815.643] %, p 0.03115",
        "events: 5 and 40, 11.11 % left where 10 % should be, p 0.8038",
        f"exact; fresh until 2013-01-01 14:00 UTC; {rides.id}",
    ]
    assert "fare: no interval; declare StdDev('fare') beside it, and replay\n" in shown.output


def test_the_command_gives_it_to_machines(rides: Metric, tmp_path: Path) -> None:
    answer = json.loads(run("--lift", "night_share", *SIDES, "--level", "0.9", "--json").stdout)
    [effect] = answer["effects"]
    assert (answer["metric"], answer["left"], answer["level"]) == ("rides", NEW, 0.9)
    assert (effect["counts"], effect["difference"]["confidence"]) == ([7, 40], 0.9)
    file = tmp_path / "lift.json"
    assert run("--lift", *SIDES, "--json", "--output", str(file)).stdout == ""
    assert len(json.loads(file.read_text())["effects"]) == 2


def test_the_command_says_where_nothing_is_stored(rides: Metric) -> None:
    Path("store.db").unlink()

    async def make() -> None:
        async with open_store(STORE):
            pass

    asyncio.run(make())
    assert run("--lift", *SIDES).output == (
        "nothing of rides is stored yet: fastdata worker and replay bring it\n"
    )


def test_a_share_that_is_not_by_chance_is_told(rides: Metric) -> None:
    lines = run("--lift", *SIDES, "--share", "0.9").stdout.splitlines()
    assert lines[-2].endswith(": find out why before you trust the lift")
    assert lines[-1].startswith("not exact: a replay may change these numbers; fresh until 2013-")
    assert "--share says how many should be" in run("--lift", *SIDES).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lift", *SIDES, "--every", "1d"], "--lift is a table or --json, about the whole range"),
        (["--lift", *SIDES, "--format", "csv"], "--lift is a table or --json"),
        (["who", *SIDES, "--level", "0.9"], "--level and --share go with --lift"),
        (SIDES, "name a MEASURE that is a Sets, or give --lift"),
        (["--lift", *SIDES, "--level", "95"], "'--level'"),
    ],
)
def test_a_wrong_command_says_what_is_right(
    rides: Metric, options: list[str], message: str
) -> None:
    wrong = run(*options)
    assert (wrong.exit_code, message in wrong.output) == (2, True)
