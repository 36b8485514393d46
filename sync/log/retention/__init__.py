"""The log within its bytes and days: what is removed, what is thinned, and when it will be full."""
