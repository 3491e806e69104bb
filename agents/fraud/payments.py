"""Payments: cleaned once for all jobs, their past by customer, and what was decided.

    FASTDATA_AGENTS=agents/fraud faust -A fastdata worker -l info

runs this; each file in agents/fraud/jobs/ is a job of its own beside it. docs/fraud.md has more.
"""

from fastdata import Count, Mean, Metric, Ratio, Source, StdDev, Variant

EUROS = {"EUR": 1.0, "USD": 0.9, "GBP": 1.2}  # of one of each

payments = Source(
    "payments", topic="payments", schema="schemas/payment.avsc", time="paid_at", id="payment_id"
)
payments.to("clean-payments", schema="schemas/clean_payment.avsc")


@payments.map
def clean(payment: dict[str, object]) -> dict[str, object] | None:
    """Leave out test cards and foreign coins, and have all amounts in euros."""
    rate = EUROS.get(str(payment["currency"]).upper())
    if rate is None or str(payment["card"]).startswith("test"):
        return None
    payment["euros"] = round(float(str(payment["amount"])) * rate, 2)
    return payment


clean_payments = Source(
    "clean_payments",
    topic="clean-payments",
    schema="schemas/clean_payment.avsc",
    time="paid_at",
    id="payment_id",
    lateness="90d",
)
spending = Metric(
    "spending",
    clean_payments,
    by=["customer"],
    rollups=["day"],
    measures={"payments": Count(), "mean": Mean("euros"), "spread": StdDev("euros")},
)
suspicions = Source(
    "suspicions",
    topic="suspicions",
    schema="schemas/suspicion.avsc",
    time="paid_at",
    id="suspicion_id",
)

# A tenth of the customers has the new rule for amounts.
scoring = Variant("scoring", by="customer", share=0.1)
decided = Source(
    "decided",
    topic="decisions",
    schema="schemas/stopped_payment.avsc",
    time="paid_at",
    id="payment_id",
)
outcomes = Metric(
    "outcomes",
    decided,
    by={"arm": scoring.expression},
    where="rule = 'amount'",
    measures={
        "decisions": Count(),
        "right": Count("NULLIF(is_fraud, FALSE)"),
        "precision": Ratio("right", "decisions"),
    },
)
