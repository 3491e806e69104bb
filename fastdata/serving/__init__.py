"""The serving layer: partials and totals, kept apart, read together as one answer."""
