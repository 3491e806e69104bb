"""Suspects large amounts at merchants that are new: a rule that came later.

faust -A agents.fraud.jobs.merchant worker -l info
"""

from agents.fraud.jobs.suspecting import declared, make_job, suspect
from fastdata import agent

app, suspicions = make_job("merchant")


@agent(app, declared.clean_payments)
async def judge(events):
    """Needs nothing but the payment."""
    async for payment in events:
        if payment["euros"] > 400 and payment["merchant"].startswith("new-"):
            await suspect(suspicions, payment, "merchant")
