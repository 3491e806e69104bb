"""Suspects amounts that are far from the sixty days of their customer, by two rules.

faust -A agents.fraud.jobs.amount worker -l info
"""

from agents.fraud.jobs.suspecting import declared, make_job, suspect
from fastdata import Lookup, agent

KNOWN = 10  # payments, or else nothing is far from them

app, suspicions = make_job("amount")
past = Lookup(declared.spending, last="60d", keys=100_000, past_s=3_600, today=False)


@agent(app, declared.clean_payments)
async def judge(events):
    """Run both implementations over everything: `decide` lets each customer have one."""
    await past.load("customer")
    async for payment in events:
        known = await past(customer=payment["customer"])
        if known["payments"] < KNOWN:
            continue
        euros, mean, spread = payment["euros"], known["mean"], known["spread"]
        if euros > 5 * mean:
            await suspect(suspicions, payment, "amount", arm="a")
        if euros > mean + 6 * spread:
            await suspect(suspicions, payment, "amount", arm="b")
