"""For who runs it: how far each layer is, and what a load needs."""
