"""Both layers on one machine, with a broker that needs no installation."""
