"""What the jobs have in common: an app each, and how they say that they suspect something."""

from pathlib import Path

import fastdata

declared = fastdata.load(Path(__file__).parents[1] / "payments.py")


def make_job(name):
    """The app of a job, whose group is its own, and the topic that it writes to."""
    app = fastdata.make_app(f"fraud-{name}")
    return app, fastdata.Sink(app, "suspicions", schema="schemas/suspicion.avsc")


async def suspect(suspicions, payment, rule, arm=None):
    """Say that a rule suspects a payment; of an experiment, the rule of which arm."""
    await suspicions.send(
        {
            "suspicion_id": f"{payment.id}-{rule}-{arm}",
            "payment_id": payment.id,
            "paid_at": payment.time,
            "customer": payment["customer"],
            "euros": payment["euros"],
            "is_fraud": payment["is_fraud"],
            "rule": rule,
            "arm": arm,
        },
        key=payment.key,
    )
