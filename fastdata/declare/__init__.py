"""What a user writes: sources and metrics, and the files of agents that hold them.

`Source` and `Metric` are checked where they are declared. `unfolded_of` gives the system metric
of a source, `catalog` finds what a folder of agents declares.
"""
