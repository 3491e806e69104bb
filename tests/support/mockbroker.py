"""The embedded broker under the name by which tests know it."""

from fastdata.local.broker import EmbeddedBroker as MockBroker

__all__ = ["MockBroker"]
