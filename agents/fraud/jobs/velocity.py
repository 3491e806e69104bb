"""Suspects a card that pays more than five times within a minute.

faust -A agents.fraud.jobs.velocity worker -l info
"""

from agents.fraud.jobs.suspecting import declared, make_job, suspect
from fastdata import agent

MOST, WITHIN_MS = 5, 60_000

app, suspicions = make_job("velocity")


@agent(app, declared.clean_payments, remember="2m")
async def judge(events):
    """Remember the payments of each card within the last minute, by their ids."""
    async for payment in events:
        since = payment.time - WITHIN_MS
        paid = payment.memory.get(payment["card"], {})
        paid = {id: at for id, at in paid.items() if at > since} | {payment.id: payment.time}
        payment.memory[payment["card"]] = paid
        if len(paid) > MOST and not payment.is_past:
            await suspect(suspicions, payment, "velocity")
