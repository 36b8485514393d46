"""Topics: the patterns of subscriptions, and the sensors that a message may speak of."""
