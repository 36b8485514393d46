"""Cameras: files, RTSP streams and devices, each captured by OpenCV in a child process of its own."""

from drivers.camera.driver import CameraDriver
from drivers.camera.settings import CameraSettings
from drivers.camera.stats import CameraStats

__all__ = ["CameraDriver", "CameraSettings", "CameraStats"]
