"""The archive to exact totals: `fastdata.batch.replay.replay`.

Worker processes import `fastdata.batch.engine` alone, so nothing is imported here.
"""
