"""Decides: a payment is stopped by the first rule that suspects it, and once.

faust -A agents.fraud.jobs.decide worker -l info
"""

import time

import fastdata
from agents.fraud.jobs.suspecting import declared

KEPT = 100_000  # payments of a partition

app = fastdata.make_app("fraud-decide")
decisions = fastdata.Sink(app, "decisions", schema="schemas/stopped_payment.avsc")


@fastdata.agent(app, declared.suspicions, remember="10m")
async def decide(events):
    """Leave out what the rule of the other arm says of a customer."""
    async for suspicion in events:
        customer, payment_id = suspicion["customer"], suspicion["payment_id"]
        if suspicion["arm"] not in {None, declared.scoring.arm(customer)}:
            continue
        stopped = suspicion.memory
        if payment_id in stopped:
            continue
        stopped[payment_id] = suspicion["rule"]
        if len(stopped) > KEPT:
            del stopped[next(iter(stopped))]
        if suspicion.is_past:
            continue
        await decisions.send(
            {
                "payment_id": payment_id,
                "paid_at": suspicion.time,
                "decided_at": round(time.time() * 1000),
                "customer": customer,
                "rule": suspicion["rule"],
                "is_fraud": suspicion["is_fraud"],
            },
            key=suspicion.key,
        )
