"""What the jobs of agents/fraud should have said, by a plain program, and how long it took them."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from agents.fraud.jobs.travel import distance_km
from agents.fraud.payments import EUROS, scoring

DISTURBED_MS = 30_000
Row = dict[str, Any]
Read = Callable[[str], list[tuple[int, int, Row]]]
"""All of a topic: partition, time of the record, and its fields."""


def plain(rows: list[tuple[int, int, Row]], first: list[int], today: int) -> dict[str, str]:
    """By the rules, in the order of the log: payment and rule of each suspicion, by its id."""
    past: dict[str, list[float]] = {}
    recent: dict[str, list[tuple[str, int]]] = {}
    last: dict[str, Row] = {}
    offsets = Counter[int]()
    found: dict[str, str] = {}
    for partition, _, row in rows:
        offset, offsets[partition] = offsets[partition], offsets[partition] + 1
        at, id, card = row["paid_at"], row["payment_id"], row["card"]
        if at < today:
            past.setdefault(row["customer"], []).append(row["euros"])
            continue
        rules = []
        recent[card] = [(i, t) for i, t in recent.get(card, []) if t > at - 60_000] + [(id, at)]
        if len(recent[card]) > 5:
            rules.append("velocity-None")
        if (before := last.get(card)) is not None:
            km, ms = distance_km(_place(before), _place(row)), at - before["paid_at"]
            if ms <= 300_000 and km > 100 and km > 1_000 * ms / 3_600_000:
                rules.append("travel-None")
        last[card] = row
        known = past.get(row["customer"], [])
        if len(known) >= 10:
            mean = sum(known) / len(known)
            spread = (sum((x - mean) ** 2 for x in known) / (len(known) - 1)) ** 0.5
            rules += ["amount-a"] * (row["euros"] > 5 * mean)
            rules += ["amount-b"] * (row["euros"] > mean + 6 * spread)
        if row["euros"] > 400 and row["merchant"].startswith("new-") and offset >= first[partition]:
            rules.append("merchant-None")
        found |= {f"{id}-{rule}": id for rule in rules}
    return found


def _place(row: Row) -> tuple[float, float]:
    return row["latitude"], row["longitude"]


def percentiles(waits: list[int]) -> dict[str, float]:
    """Median, 99th percentile and most, ms."""
    ordered = sorted(waits) or [-1]
    last = len(ordered) - 1
    return {
        "count": len(waits),
        "p50": ordered[last // 2],
        "p99": ordered[round(last * 0.99)],
        "most": ordered[-1],
    }


def check(read: Read, town_rows: int, first: list[int], today: int, touched: dict[str, int]) -> Row:
    """Compare what the jobs have said with a plain program; and how long decisions took.

    Args:
        town_rows: Payments that were sent.
        first: Where the job that was added began, by partition.
        today: Its first instant, ms UTC; what was paid before is the past.
        touched: When each job was disturbed, ms UTC.
    """
    payments, cleaned = read("payments"), read("clean-payments")
    kept = [
        row["payment_id"]
        for _, _, row in payments
        if row["currency"].upper() in EUROS and not row["card"].startswith("test")
    ]
    expected = plain(cleaned, first, today)
    said = read("suspicions")
    decisions = read("decisions")
    passing: dict[str, set[str]] = {}
    for _, _, row in said:
        if row["arm"] in {None, scoring.arm(row["customer"])}:
            passing.setdefault(row["payment_id"], set()).add(row["rule"])
    ruled = {row["payment_id"]: row["rule"] for _, _, row in decisions}
    up = [
        (partition, written, row)
        for partition, written, row in decisions
        if not 0 <= row["paid_at"] - touched.get(row["rule"], 0) < DISTURBED_MS
    ]
    waits = _waits(decisions)
    suspected = {row["suspicion_id"] for _, _, row in said}
    return {
        "sent": town_rows,
        "lost_payments": len(payments) - town_rows,
        "cleaned_differ": len(Counter(kept) - Counter(r["payment_id"] for _, _, r in cleaned)),
        "suspicions": len(suspected),
        "suspicions_missing": len(expected.keys() - suspected),
        "suspicions_wrong": len(suspected - expected.keys()),
        "suspicions_again": len(said) - len(suspected),
        "decisions": len(ruled),
        "decisions_differ": len(ruled.keys() ^ passing.keys()),
        "decisions_wrong": sum(rule not in passing.get(id, ()) for id, rule in ruled.items()),
        "decisions_again": len(decisions) - len(ruled),
        "decided_ms": {rule: percentiles(ms) for rule, ms in sorted(waits.items())},
        "up_ms": {rule: percentiles(ms) for rule, ms in sorted(_waits(up).items())},
        "all_ms": percentiles([wait for of_rule in waits.values() for wait in of_rule]),
        "all_up_ms": percentiles([wait for of_rule in _waits(up).values() for wait in of_rule]),
        "right_of_arm": {arm: _right(decisions, arm) for arm in ("a", "b")},
    }


def _waits(rows: list[tuple[int, int, Row]]) -> dict[str, list[int]]:
    """By rule, how long after its payment each was written."""
    waits: dict[str, list[int]] = {}
    for _, written, row in rows:
        waits.setdefault(row["rule"], []).append(written - row["paid_at"])
    return waits


def _right(decisions: list[tuple[int, int, Row]], arm: str) -> tuple[int, int]:
    """Of the payments that an arm of the experiment has stopped: how many were frauds, and all."""
    unique = {r["payment_id"]: r for _, _, r in decisions if r["rule"] == "amount"}
    rows = [row for row in unique.values() if scoring.arm(row["customer"]) == arm]
    return sum(row["is_fraud"] for row in rows), len(rows)
