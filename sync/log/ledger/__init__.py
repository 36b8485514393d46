"""What left the log undelivered: written down, and told upstream."""
