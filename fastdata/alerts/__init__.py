"""Alerts: conditions on answers, judged window by window, and told to whoever wants to know.

Read `judging` first: what opens and closes, pure. `reading` asks the answers for windows, `watch`
puts both together with what is kept, and `delivery` posts events.
"""
