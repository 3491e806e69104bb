"""The speed layer: Kafka to stamped partials. With `fastdata.app` the only place that knows Faust.

`layer` folds the events of one source and knows no Faust; `state` holds its cells, `flush` makes
them durable, `start` says where a partition goes on. `attach`, `service` and `agent` join that to a
Faust app, `transport`, `table` and `producer` replace what Faust does wrong.
"""
