"""The archive to exact totals: `fastdata.batch.replaying.replay`.

Worker processes import `fastdata.batch.rows` alone, so nothing is imported here.
"""
