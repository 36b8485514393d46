"""What one stream does next, without I/O: events in, actions out."""
