"""Reading a log's file from beside the daemon, for people."""
