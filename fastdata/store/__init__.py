"""Where totals and partials lie: a protocol, and its stores in memory, SQL and Cassandra.

`protocol` has the promises, `rules` what decides between two partials and which of them counts;
`memory` is the plainest store and the reference of the others. A store knows no metric and no
aggregate: states are bytes to it.
"""
