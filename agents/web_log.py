"""Requests of a web server, from the lines of its access log (Common or Combined Log Format).

Send each line to the topic `access_log`, then:

    fastdata query requests --from 2025-06-01 --to 2025-06-02 --every 1h --by status

Copy this file to read lines of your own.
"""

from fastdata import Count, Max, Mean, Metric, Quantiles, Source, Sum, Uniques

access_log = Source(
    "access_log",
    topic="access_log",
    schema="schemas/web_request.avsc",
    time="requested_at",
    format="text",
    pattern=(
        r"(?P<host>\S+) \S+ \S+ \[(?P<requested_at>[^\]]+)\]"
        r' "(?P<method>[A-Z]+) (?P<path>\S+)(?: [^"]*)?"'
        r" (?P<status>\d{3}) (?:(?P<bytes>\d+)|-)(?: .*)?"
    ),
)
requests = Metric(
    "requests",
    access_log,
    by=["status", "method"],
    measures={
        "requests": Count(),
        "bytes": Sum("bytes"),
        "mean_bytes": Mean("bytes"),
        "largest": Max("bytes"),
        "p50_p99": Quantiles("bytes", at=(0.5, 0.99)),
        "hosts": Uniques("host"),
    },
)
