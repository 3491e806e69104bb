"""Revenue of a shop, exact to the last digit, with what was sent back.

Send `InvoiceLine` records of schemas/invoice_line.avsc to the topic `invoice_lines`, then:

    fastdata query revenue --from 2011-11-01 --to 2011-12-01 --every 1d --by country

Copy this file to declare metrics of your own.
"""

from fastdata import Count, Metric, Ratio, Source, Sum, TopK, Uniques

invoice_lines = Source(
    "invoice_lines",
    topic="invoice_lines",
    schema="schemas/invoice_line.avsc",
    time="invoiced_at",
    id="line_id",
)
revenue = Metric(
    "revenue",
    invoice_lines,
    by=["country"],
    measures={
        "lines": Count(),
        "quantity": Sum("quantity"),
        "revenue": Sum("quantity * unit_price"),
        "refunds": Sum("CASE WHEN quantity < 0 THEN -quantity * unit_price ELSE 0 END"),
        "refunded": Ratio("refunds", "revenue"),
        "invoices": Uniques("invoice"),
        "customers": Uniques("customer"),
        "articles": TopK("article", k=5),
    },
)
