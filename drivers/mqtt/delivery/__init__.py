"""Messages that a broker delivers: which it sends again, which it has queued, and how many it lets wait."""
