"""Trains the project's own fish detector and exports it: `python -m models.training --frames FOLDER`.

Needs the torch extra. Nothing here is imported by the daemon.
"""
