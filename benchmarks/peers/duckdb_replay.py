"""DuckDB: four measures by page and minute of a Parquet file, each id once."""

import sys

import duckdb

source, out = sys.argv[1:]
events = duckdb.read_parquet(source)
counted = duckdb.sql("""
    SELECT page, date_trunc('minute', "at") AS minute, count(*) AS count,
           sum("bytes") AS total, avg(ms) AS mean, count(DISTINCT visitor) AS visitors
    FROM (SELECT DISTINCT ON (id) * FROM events)
    GROUP BY ALL
""")
counted.write_parquet(out)
