"""Hub: config, composition, supervision, pipeline, farm domain, HTTP, metrics, command line."""

from datetime import UTC, datetime

__version__ = "0.1.0"
RELEASED = datetime(2026, 11, 30, tzinfo=UTC)
"""No box that runs this version can be earlier than this: what certificates are held against without a clock."""
