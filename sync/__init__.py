"""Spoke: bytes out, desired state in. Opaque records with a key, a lane and an id; no knowledge of the hub."""
