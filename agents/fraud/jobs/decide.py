"""Decides: a payment is stopped by the first rule that suspects it, and once.

faust -A agents.fraud.jobs.decide worker -l info
"""

import time

import fastdata
from agents.fraud.jobs.suspecting import declared

KEPT = 100  # payments of a customer

app = fastdata.make_app("fraud-decide")
decisions = fastdata.Sink(app, "decisions", schema="schemas/decision.avsc")
stopped = app.Table("stopped", default=list, partitions=4)


@fastdata.agent(app, declared.suspicions)
async def decide(events):
    """Leave out what the rule of the other arm says of a customer."""
    async for suspicion in events:
        customer, payment_id = suspicion["customer"], suspicion["payment_id"]
        if suspicion["arm"] not in {None, declared.scoring.arm(customer)}:
            continue
        before = dict(stopped[customer])
        if before.setdefault(payment_id, suspicion.id) != suspicion.id:
            continue  # by another rule
        stopped[customer] = list(before.items())[-KEPT:]
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
