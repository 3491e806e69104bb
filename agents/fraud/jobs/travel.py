"""Suspects a card that is where it cannot have come since it paid within five minutes before.

faust -A agents.fraud.jobs.travel worker -l info
"""

from math import asin, cos, radians, sin, sqrt

from agents.fraud.jobs.suspecting import declared, make_job, suspect
from fastdata import agent

FASTEST_KMH, NEAR_KM, WITHIN_MS = 1_000, 100, 5 * 60_000

app, suspicions = make_job("travel")


def distance_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Along the great circle, of two places in degrees."""
    (north, east), (to_north, to_east) = (map(radians, place) for place in (a, b))
    half = sin((to_north - north) / 2) ** 2
    half += cos(north) * cos(to_north) * sin((to_east - east) / 2) ** 2
    return 2 * 6_371 * asin(sqrt(half))


@agent(app, declared.clean_payments, remember="6m")
async def judge(events):
    """Compare each payment with the one before it."""
    async for payment in events:
        place, at = (payment["latitude"], payment["longitude"]), payment.time
        before = payment.memory.get(payment["card"])
        payment.memory[payment["card"]] = place, at
        if before is None or payment.is_past or at - before[1] > WITHIN_MS:
            continue
        km = distance_km(before[0], place)
        if km > NEAR_KM and km > FASTEST_KMH * (at - before[1]) / 3_600_000:
            await suspect(suspicions, payment, "travel")
