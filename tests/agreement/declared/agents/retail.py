"""Lines of invoices."""

from fastdata import Count, Max, Mean, Metric, Source, Sum, Uniques

retail = Source(
    "retail",
    topic="retail",
    schema="schemas/retail_line.avsc",
    time="sold",
    id="line",
    segment_size=10_000,
)
sales = Metric(
    "sales",
    retail,
    by=["country"],
    measures={
        "lines": Count(),
        "quantity": Sum("quantity"),
        "revenue": Sum("revenue"),
        "mean_revenue": Mean("revenue"),
        "prices": Sum("price"),
        "mean_price": Mean("price"),
        "dearest": Max("unit_price"),
        "last_article": Max("article"),
        "invoices": Uniques("invoice"),
        "customers": Uniques("customer"),
    },
)
