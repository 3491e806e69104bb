"""One answer of both layers: from a metric and a range of time to rows of estimates.

Read `query` first, then `merge`: how totals and partials of a window add up, and what makes a row
exact. `ready` finds windows that batch keeps ready, `sliding` rolling days, `arrow` the table.
"""
