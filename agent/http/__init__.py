"""Metrics, health and control over HTTP: loopback TCP for reading, a unix socket for asking and changing."""

from agent.http.endpoints import Health, build_app
from agent.http.server import ControlSocket, HttpServer

__all__ = ["ControlSocket", "Health", "HttpServer", "build_app"]
