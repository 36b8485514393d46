"""Spoke: arrays in, answers out. Blocking, no asyncio, no knowledge of the hub or the other spokes."""
