"""The archive to exact totals: `fastdata.batch.replay.replay`, which is the place to start reading.

Worker processes import `fastdata.batch.engine` alone, so nothing is imported here.
"""
