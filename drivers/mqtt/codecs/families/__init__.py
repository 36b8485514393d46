"""Families of payloads, a file each. A class here makes the codec of one subscription."""
