"""The configuration: its schema, how it is loaded, and how its errors read."""
