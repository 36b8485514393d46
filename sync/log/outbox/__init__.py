"""The loop's side: the log on disk and the one in memory."""
