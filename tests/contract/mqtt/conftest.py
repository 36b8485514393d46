"""The real mosquitto, both versions of the protocol, and both ways of reading the socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drivers.mqtt.connection.client import SessionClient
from tests.support.mosquitto import DEPLOYED, Mosquitto
from tests.support.paho_client import PahoClient

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["3.1.1", "5"])
def version(request) -> str:
    return request.param


@pytest.fixture(params=[SessionClient, PahoClient], ids=["ours", "paho"])
def client(request) -> type[SessionClient]:
    return request.param


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    """mosquitto on the file that is shipped for gateways."""
    with Mosquitto(conf=DEPLOYED) as broker:
        yield broker
