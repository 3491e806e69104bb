"""Bytes of the log to events: schemas and their registries, and the forms that values have.

`decoder` is what both layers read events with; everything else here serves it.
"""
