"""Purchases that come as JSON; who buys is in a record inside."""

from fastdata import Count, Max, Metric, Source, Sum, Uniques

purchases = Source(
    "purchases",
    topic="purchases",
    schema="schemas/purchase.avsc",
    time="at",
    id="purchase",
    segment_size=50,
    format="json",
)


@purchases.map
def with_the_name_of_the_buyer(event: dict[str, object]) -> dict[str, object]:
    """A copy with the buyer's country in the place of the way of paying, unless it is cash."""
    buyer = event["buyer"]
    assert isinstance(buyer, dict)
    return event if event["paid_by"] == "cash" else {**event, "paid_by": buyer["country"]}


sold = Metric(
    "sold",
    purchases,
    by=["paid_by"],
    measures={
        "purchases": Count(),
        "revenue": Sum("price"),
        "dearest": Max("price"),
        "weight": Sum("weight"),
        "different": Uniques("purchase"),
    },
)
