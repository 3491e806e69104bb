"""Each definition has the id that version 0.1.0 gave it: by it all that is stored is found.

Whoever changes the `repr` of a measure or of a type, or how expressions are told, makes other
metrics of all that are declared, whose numbers then begin anew.
"""

from pathlib import Path

import pytest

from fastdata import Metric
from fastdata.declare.catalog import load_folder
from fastdata.declare.unfolded import unfolded_of
from tests.stored.written import declared

ROOT = Path(__file__).parents[2]

AGENTS = {
    "departures": "94bbcd1f8edf",
    "traffic": "6cd434fa9ad8",
    "audience": "077e1539e5fa",
    "revenue": "12a8e90213f4",
    "requests": "c6541ef29076",
    "words": "3a5b3f577b4a",
}
DECLARED = {
    "paths": "d86f2533b2cf",
    "levels": "cfe3a87de3d6",
    "kinds": "a578d0e986e1",
    "places": "075cf09014f4",
    "codes": "0142cc59f32e",
    "ages": "9d9c60e785e8",
}
MEASURES = {
    "kinds.visits": "d1a2bdf50d0c",
    "kinds.loads": "86cb51a1e7c8",
    "kinds.size": "450a9e387d1f",
    "kinds.price": "91e30a9e7ebe",
    "kinds.load": "f472f5ee0b77",
    "kinds.mean_size": "f34bab68e212",
    "kinds.mean_price": "b523617c1ec3",
    "kinds.mean_load": "daef75ce89c3",
    "kinds.var_size": "d1f5ac607b7c",
    "kinds.var_price": "f999fc30e10e",
    "kinds.var_load": "514a94fdd80e",
    "kinds.dev_size": "5f1a051b772b",
    "kinds.dev_load": "2b641b386577",
    "kinds.min_size": "cd1bbe00a725",
    "kinds.min_load": "c6809cf35fb5",
    "kinds.min_price": "22ab72b9fa11",
    "kinds.min_user": "585a0df52dde",
    "kinds.min_seen": "036d92593c6f",
    "kinds.min_day": "5ecda819ccf3",
    "kinds.max_size": "43ec562e93fc",
    "kinds.max_load": "a708a88aca26",
    "kinds.max_price": "a8b6695eb844",
    "kinds.max_user": "407e4a05a675",
    "kinds.max_seen": "226018429c8e",
    "kinds.max_day": "a1e307f97836",
    "kinds.first_size": "fcf0c70f11e9",
    "kinds.first_load": "ae2c9d27d7a7",
    "kinds.first_price": "2811439d000e",
    "kinds.first_user": "e66c42872901",
    "kinds.first_seen": "7a0bb5dbee1f",
    "kinds.first_day": "4fcb0a2e23fb",
    "kinds.first_ok": "20ce6546b6ce",
    "kinds.last_size": "35beb63c9024",
    "kinds.last_load": "5e622952484c",
    "kinds.last_price": "5537673e4813",
    "kinds.last_user": "893ed1061b09",
    "kinds.last_seen": "fe7676c9217e",
    "kinds.last_day": "7912c278e596",
    "kinds.last_ok": "c78c589ec37b",
    "kinds.sizes": "97fc53db321b",
    "kinds.loads_in": "d77063248b35",
    "kinds.prices_in": "08bd5da93da0",
    "kinds.users": "aaab924fe4a6",
    "kinds.ages": "d027dd7b51e9",
    "kinds.days": "8a6fd62f7a8d",
    "kinds.top_users": "2af7aa7e27f1",
    "kinds.top_ages": "9bbd5d11f674",
    "kinds.top_by_size": "84e379e7c803",
    "kinds.top_age_by_size": "7e9661b596b2",
    "kinds.top_by_price": "203ff67eff88",
    "kinds.top_day_by_price": "ff607c0c2319",
    "kinds.quantiles": "7253afb431a7",
    "kinds.price_quantiles": "db1753c372ed",
    "kinds.of_user": "437dca7b6f21",
    "kinds.of_age": "811233213e64",
    "kinds.saw_user": "314cb20d926e",
    "kinds.saw_age": "956333c9533f",
    "kinds.user_set": "af2d2f7ec846",
    "kinds.age_set": "51aeb2c76d8e",
    "codes.codes": "915b8724e55f",
    "codes.different": "9e9c1092d0be",
    "codes.names": "f29c60661816",
    "codes.top": "3fc6fcc4be6a",
    "codes.top_names": "f2001f5950f7",
    "codes.top_by_code": "f51174fa6d22",
    "codes.quantiles": "a5b7f7ab6120",
    "codes.of": "fce331c7199a",
    "codes.of_name": "9dd8cfa42a1f",
    "codes.saw": "22dbeba50740",
    "codes.saw_name": "0f12ea9d0db8",
    "codes.set": "35146d8b6a73",
    "codes.name_set": "b58a5cace47f",
}
UNFOLDED = {"visits": "278a65787b29", "readings": "3f18d84a10ce", "hits": "5b15f82be7aa"}


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_of_the_repository_is_the_metric_that_it_was(name: str) -> None:
    assert load_folder(ROOT / "agents").metrics[name].id == f"{name}-{AGENTS[name]}"


@pytest.mark.parametrize("name", DECLARED)
def test_a_metric_is_the_one_that_is_stored(name: str) -> None:
    assert declared().metrics[name].id == f"{name}-{DECLARED[name]}"


@pytest.mark.parametrize("label", MEASURES)
def test_a_metric_of_one_measure_is_the_one_that_it_was(label: str) -> None:
    metric, _, name = label.partition(".")
    visits = declared().sources["visits"]
    measure = declared().metrics[metric].folded[name]

    assert Metric("m", visits, measures={name: measure}).id == f"m-{MEASURES[label]}"


def test_all_agents_and_measures_are_here() -> None:
    folded = [declared().metrics[name].folded for name in ("kinds", "codes")]

    assert load_folder(ROOT / "agents").metrics.keys() == AGENTS.keys()
    assert declared().metrics.keys() == DECLARED.keys()
    assert sum(map(len, folded)) == len(MEASURES)


@pytest.mark.parametrize("name", UNFOLDED)
def test_what_is_left_out_is_counted_where_it_was(name: str) -> None:
    assert unfolded_of(declared().sources[name]).id == f"unfolded-{UNFOLDED[name]}"
