"""Hours kept whole beside the archive, and days, weeks, months and rolling days made of them."""
