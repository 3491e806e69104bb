"""For the tests of those who build on fastdata: the laws of aggregates.

Nothing in here is imported by the rest of fastdata.
"""
