"""Page views of some web sites: how many, by whom, of what, how fast.

Send `PageView` records of schemas/page_view.avsc to the topic `page_views`, then:

    fastdata query traffic --from 2025-06-01 --to 2025-06-02 --every 1h --by site
    fastdata query audience --from 2025-06-01 --to 2025-07-01 --every day --by site
    fastdata query audience --from 2025-06-30 --to 2025-07-01 --every day --rolling 30d --by site
    fastdata query attention --from 2025-06-01 --to 2025-07-01 --every day --by site
    fastdata alerts

Copy this file to declare metrics of your own.
"""

from fastdata import Alert, Count, DerivedMetric, Max, Mean, Metric, Source, Sum, TopK, Uniques

page_views = Source(
    "page_views",
    topic="page_views",
    schema="schemas/page_view.avsc",
    time="viewed_at",
    id="view_id",
)


@page_views.map
def people(view: dict[str, object]) -> dict[str, object] | None:
    """Drop robots, and what follows the `?` of a path."""
    if view["is_bot"]:
        return None
    view["path"] = str(view["path"]).partition("?")[0]
    return view


traffic = Metric(
    "traffic",
    page_views,
    by=["site", "path"],
    measures={
        "views": Count(),
        "timed": Count("load_ms"),
        "load_ms": Mean("load_ms"),
        "slowest_ms": Max("load_ms"),
        "bytes": Sum("bytes_sent"),
    },
)
slow_site = Alert(
    "slow site", traffic, when="load_ms > 3000 and timed >= 50", every="5m", for_="10m", by="site"
)
audience = Metric(
    "audience",
    page_views,
    by=[("site",), ("site", "country")],  # of a site, and of its countries
    measures={"views": Count(), "visitors": Uniques("visitor_id"), "top_paths": TopK("path")},
    rollups=["day", "month", "30d"],  # kept ready, with exact visitors
    zone="Europe/Berlin",
)
attention = DerivedMetric(  # of each site, as that is what both have
    "attention",
    [traffic, audience],
    measures={"views_per_visitor": "traffic.views / audience.visitors"},
    zone="Europe/Berlin",
)
