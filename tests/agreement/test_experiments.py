"""The documented experiment through both layers: its lift is scipy's over raw decisions."""

import json
import re
from contextlib import chdir
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats
from scipy.stats.contingency import relative_risk

from fastdata import Variant
from fastdata.cli.main import commands
from tests.agreement.readings import HOUR, START
from tests.agreement.sets import Record
from tests.agreement.stages import STAGES, Deployment, send

PAGE = Path(__file__).parents[2] / "docs" / "experiments.md"
DECLARED = Path(__file__).parent / "declared"
SCORING = Variant("scoring", by="customer_id", share=0.1)
ASKED = (
    "compare decisions --lift --left arm=b --right arm=a --share 0.1 --to 2013-01-01T02:00Z --json"
)


@pytest.fixture(scope="module")
def sent() -> list[Record]:
    """Of 2,000 customers, what both implementations decided; each seventh is sent twice."""
    rng = Random(6)
    sent: list[Record] = [
        {
            "decision": f"d{number}{version}",
            "at": START + rng.randrange(3) * HOUR + rng.randrange(60) * 30_000,
            "customer_id": f"customer-{number}" if number else None,
            "version": version,
            "is_approved": rng.random() < (0.35 if version == "b" else 0.3),
            "amount": rng.choice([None, rng.gammavariate(2, 60 if version == "b" else 50)]),
        }
        for number in range(2_000)
        for version in "ab"
    ]
    sent += sent[::7]
    rng.shuffle(sent)
    return sent


@pytest.fixture(scope="module")
def answers(sent: list[Record], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command says at each stage."""
    folder, agents = (tmp_path_factory.mktemp(name) for name in ("experiment", "page"))
    agents /= "decisions.py"
    agents.write_text(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)[0])
    deployment = Deployment(folder, agents, DECLARED / "schemas")
    log = send(deployment, sent, key="customer_id", partitions=3, at=START + 4 * HOUR)
    layers, answers = deployment.layers(log, workers=0), {}
    for stage in STAGES:
        if stage == "batch":
            log.fill(deployment.source.segment_size)
        layers.run(stage)
        with chdir(folder):
            result = CliRunner().invoke(commands, ASKED.split(), catch_exceptions=False)
        answers[stage] = json.loads(result.stdout)
    return answers


def _customer(record: Record) -> str | None:
    customer = record["customer_id"]
    return None if customer is None else str(customer)


@pytest.mark.parametrize("stage", STAGES)
def test_the_lift_is_that_of_the_raw_decisions(
    sent: list[Record], answers: dict[str, Any], stage: str
) -> None:
    once = {str(record["decision"]): record for record in sent}.values()
    before = [record for record in once if int(str(record["at"])) < START + 2 * HOUR]
    arms = {
        arm: [r for r in before if r["version"] == arm == SCORING.arm(_customer(r))] for arm in "ba"
    }
    counts = [len(decisions) for decisions in arms.values()]
    hits = [sum(bool(r["is_approved"]) for r in decisions) for decisions in arms.values()]
    amounts = [
        np.array([r["amount"] for r in decisions if r["amount"] is not None], float)
        for decisions in arms.values()
    ]

    answer = answers[stage]
    rate, mean = answer["effects"]
    assert (mean["measure"], rate["measure"]) == ("amount", "approved_share")
    welch = stats.ttest_ind(*amounts, equal_var=False)
    assert mean["counts"] == [len(values) for values in amounts]
    assert mean["p_value"] == pytest.approx(welch.pvalue)
    ends = mean["difference"]["lower"], mean["difference"]["upper"]
    assert ends == pytest.approx(tuple(welch.confidence_interval()))
    assert mean["lift"]["value"] == pytest.approx(amounts[0].mean() / amounts[1].mean() - 1)
    risk = relative_risk(hits[0], counts[0], hits[1], counts[1])
    assert rate["lift"]["value"] == pytest.approx(risk.relative_risk - 1)
    lift = [end - 1 for end in risk.confidence_interval()]
    assert [rate["lift"]["lower"], rate["lift"]["upper"]] == pytest.approx(lift)
    assert answer["events"] == counts
    expected = [sum(counts) * share for share in (0.1, 0.9)]
    assert answer["share_p_value"] == pytest.approx(stats.chisquare(counts, expected).pvalue)
    assert answer["is_exact"] is (stage != "speed")
