"""Suspects a card that is where it cannot have come since it paid last.

faust -A agents.fraud.jobs.travel worker -l info
"""

from math import asin, cos, radians, sin, sqrt

from agents.fraud.jobs.suspecting import declared, make_job, suspect
from fastdata import agent

FASTEST_KMH, NEAR_KM = 1_000, 100

app, suspicions = make_job("travel")
last = app.Table("last", partitions=4)


def distance_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Along the great circle, of two places in degrees."""
    (north, east), (to_north, to_east) = (map(radians, place) for place in (a, b))
    half = sin((to_north - north) / 2) ** 2
    half += cos(north) * cos(to_north) * sin((to_east - east) / 2) ** 2
    return 2 * 6_371 * asin(sqrt(half))


@agent(app, declared.clean_payments)
async def judge(events):
    """Compare each payment with the one before it, also one that comes again."""
    async for payment in events:
        card, place = payment["card"], [payment["latitude"], payment["longitude"]]
        offset, before, there = last.get(card) or [-1, None, None]
        if payment.offset < offset:
            continue  # it was judged, and what came before it is forgotten
        if payment.offset > offset:
            before, there = there, [payment.time, place]
            last[card] = [payment.offset, before, there]
        if before is not None:
            km, hours = distance_km(before[1], place), (payment.time - before[0]) / 3_600_000
            if km > NEAR_KM and km > FASTEST_KMH * hours:
                await suspect(suspicions, payment, "travel")
