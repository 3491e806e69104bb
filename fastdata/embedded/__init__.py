"""Everything on one machine: a Kafka broker inside the process and real events to send to it."""
