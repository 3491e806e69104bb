"""`fastdata dev` on a Kafka that was there before."""

from pathlib import Path

from tests.support.developing import Place, totals
from tests.support.services.kafka import Kafka


def test_it_makes_the_topics_and_goes_on_where_it_ended(tmp_path: Path, kafka: Kafka) -> None:
    place = Place(tmp_path)
    place.agents.write_text(place.agents.read_text().replace('topic="clicks"', 'topic="developed"'))
    place.environment |= {
        "FASTDATA_BROKER": kafka.bootstrap,
        "FASTDATA_APPLICATION_ID": "developing",
    }
    amount = place.write("a.jsonl", range(3_000)) + place.write("b.jsonl", range(3_000, 5_000))

    for name in ("a.jsonl", "b.jsonl"):
        with place.dev("--load", name, "--exit") as dev:
            (row,) = dev.rows()

    assert totals(row) == (5_000, amount, True)
    # It is one log, and all of it was there.
    assert dev.said[-1]["events"] == 5_000
