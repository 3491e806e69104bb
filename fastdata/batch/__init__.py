"""The archive to exact totals: `fastdata.batch.replaying.replay`.

Worker processes import `fastdata.batch.engines` alone, so nothing is imported here.
"""
