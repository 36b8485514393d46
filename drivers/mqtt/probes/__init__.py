"""Questions to a broker that is not in use for readings: what it keeps, and what it sends again."""
