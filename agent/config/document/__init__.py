"""From text to plain values: YAML with the line of each node, and environment variables."""
