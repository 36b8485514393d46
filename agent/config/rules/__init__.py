"""Rules of a document that no single key can hold: what fits together, what exists, and what a push may change."""
