"""Files of events as others write them: their rows, and what types these have.

`opening` tells which format a file has; `lines` and `containers` read them, `profile` and `types`
say what is in them.
"""
