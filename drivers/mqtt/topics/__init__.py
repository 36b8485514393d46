"""Topics: the subscriptions that bring a message, and the sensors that it may be of."""
