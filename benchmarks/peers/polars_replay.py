"""Polars: four measures by page and minute of a Parquet file, each id once."""

import sys

import polars as pl

source, out = sys.argv[1:]
minute = pl.col("at").dt.truncate("1m").alias("minute")
measures = (
    pl.len().alias("count"),
    pl.col("bytes").sum(),
    pl.col("ms").mean(),
    pl.col("visitor").n_unique().alias("visitors"),
)
events = pl.scan_parquet(source).unique("id", keep="any")
events.group_by("page", minute).agg(*measures).sink_parquet(out)
