"""Hub: config, composition, supervision, pipeline, farm domain, HTTP, metrics, command line."""

__version__ = "0.1.0"
