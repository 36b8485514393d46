"""The farm domain: pure functions, no I/O."""
