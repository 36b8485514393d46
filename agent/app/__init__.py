"""The composition: from a path to a running daemon. `daemon.run` is the whole of it."""
