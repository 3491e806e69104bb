"""Whether both layers say what a plain recount says: `fastdata.verify.verify.verify`."""
