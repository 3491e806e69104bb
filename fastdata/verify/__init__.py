"""Whether both layers say what a plain recount says: `fastdata.verify.verify.verify`.

`recount` folds the archive with plain Python, `compare` finds differences, `causes` explains them.
"""
