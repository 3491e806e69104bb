"""Where a number belongs: instants and days, segments of the log, values of dimensions."""
