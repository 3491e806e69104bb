"""The rules on paper: the model keeps its promises with all of them, and with none less."""

import pytest

from tests.simulation import model
from tests.simulation.model_reader import Violation
from tests.support.rules import RULES

FIRST_SEEDS = {"gap to the largest stamp": 22_700, "monotone state": 1_100}
"""Where to begin without a rule that few schedules need."""


def test_every_schedule_keeps_the_promises() -> None:
    for seed in range(300):
        model.run(seed)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("rule", model.RULES)
def test_taking_a_rule_away_is_noticed(rule: str) -> None:
    first = FIRST_SEEDS.get(rule, 0)
    for seed in range(first, first + 2_000):
        try:
            model.run(seed, [rule])  # type: ignore[no-untyped-call]
        except Violation:
            return
    pytest.fail(f"2,000 schedules did not notice that {rule!r} was gone")


def test_the_code_has_the_rules_of_the_model() -> None:
    assert set(model.RULES) <= RULES.keys()
