"""`fastdata demo`: a year of flights through both layers, on this machine alone."""
