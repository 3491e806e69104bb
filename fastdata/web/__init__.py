"""`fastdata serve`: answers, what changes in them, and how the layers are, over HTTP.

Begin with `app`, which says what there is. `answers` is a query from its words to bytes, `looks`
what is known of each metric, `changes` the stream of what has changed in it, `readers` the threads
in which all of that is read. `models` has the contract of each response.
"""
