"""The configuration: its schema, how it is loaded, and how its errors read."""

from agent.config.load import Folders, digest, folders, in_document, load, parse, read
from agent.config.problems import ConfigErrors, Problem
from agent.config.rules.pins import Pins
from agent.config.rules.secrets import SecretUnreadable, read_secret
from agent.config.schema import Config

__all__ = [
    "Config",
    "ConfigErrors",
    "Folders",
    "Pins",
    "Problem",
    "SecretUnreadable",
    "digest",
    "folders",
    "in_document",
    "load",
    "parse",
    "read",
    "read_secret",
]
