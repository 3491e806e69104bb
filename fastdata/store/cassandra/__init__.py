"""The store in Apache Cassandra; the only place that knows its driver."""
