"""Packs: the records sections of many old blocks as columns, a tenth of the size of the blocks.

A pack's body names its own format, so whoever reads the file can unpack it. What a section says is nothing to it but
one number a record, times, and the names that the log gave; where these stand in a body is told to the log
(`LogSettings.numbers`).
"""
