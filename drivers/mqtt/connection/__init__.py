"""One connection to a broker: its socket, its login, its packets, and why it ended."""
