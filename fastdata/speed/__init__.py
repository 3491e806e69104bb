"""Speed layer: Kafka to stamped partials. The only place, with `fastdata.app`, that knows Faust."""
