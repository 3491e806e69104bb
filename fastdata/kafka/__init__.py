"""How a broker is reached and asked, and how lines are sent to a topic."""
