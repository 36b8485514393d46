"""Why a payload gives no reading."""

from __future__ import annotations


class Unread(Exception):  # noqa: N818 - a state of a payload, not an error of ours
    """No reading comes from this payload; the text is the reason, in few and fixed words, for it is counted by."""
