"""Suspects a card that pays more than five times within a minute.

faust -A agents.fraud.jobs.velocity worker -l info
"""

from agents.fraud.jobs.suspecting import declared, make_job, suspect
from fastdata import agent

MOST, WITHIN_MS = 5, 60_000

app, suspicions = make_job("velocity")
recent = app.Table("recent", default=list, partitions=4)


@agent(app, declared.clean_payments)
async def judge(events):
    """Remember the last payments of each card, also ahead of one that comes again."""
    async for payment in events:
        card, at = payment["card"], payment.time
        paid = {id: then for id, then in recent[card] if then > at - WITHIN_MS}
        if payment.id not in paid:
            recent[card] = [*paid.items(), (payment.id, at)]
        if list(paid | {payment.id: at}).index(payment.id) >= MOST:
            await suspect(suspicions, payment, "velocity")
