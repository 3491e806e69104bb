"""Readings of devices, and a metric of them with every measure that is exact."""

import re
from decimal import Decimal
from pathlib import Path
from random import Random

from tests.agreement.sets import Record
from tests.agreement.stages import Deployment

__all__ = ["HOUR", "START", "deploy", "readings"]

DECLARED = Path(__file__).parent / "declared"
PAGE = Path(__file__).parents[2] / "docs" / "measures.md"
START, HOUR = 1_356_998_400_000, 3_600_000
READINGS = 1_200


def deploy(folder: Path) -> Deployment:
    """Of `readings.py`, with the measure of one's own that the documentation shows."""
    section = PAGE.read_text().partition("## A measure of your own")[2]
    own = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[0]
    changes = {
        "# A measure of your own\n": own,
        '# "weighted"': '"weighted": WeightedMean("amount", "weight"),',
    }
    agents = DECLARED / "agents" / "readings.py"
    return Deployment(folder, agents, DECLARED / "schemas", changes)


def readings() -> list[Record]:
    """Shuffled, with many at one millisecond, and each seventh sent twice."""
    rng = Random(5)
    sent: list[Record] = [
        {
            "reading": f"r{number}",
            "at": START + rng.randrange(5) * HOUR + rng.randrange(30) * 3_000,
            "device": rng.choice("abcd"),
            "value": rng.choice([None, -0.0, 0.1, 2.5, 1e16, rng.uniform(-2, 4)]),
            "amount": rng.randrange(-5, 50),
            "weight": rng.choice([None, 0, 1, 7]),
            "price": Decimal(rng.randrange(-100, 1_000)).scaleb(-2),
            "is_open": rng.random() < 0.5,
            "error": rng.choice([None, None, "timeout", "no route"]),
        }
        for number in range(READINGS)
    ]
    sent += sent[::7]
    rng.shuffle(sent)
    return sent
