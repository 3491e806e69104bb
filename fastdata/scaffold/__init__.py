"""From a sample of events to a project: `guesses` chooses, `project` writes."""
