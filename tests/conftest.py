"""Fixtures that several folders of tests use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.children import die_with_parent
from tests.support.kafka import ApacheKafka, Tansu
from tests.support.mosquitto import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_configure(config: pytest.Config) -> None:
    """A worker dies with the run that started it, so that its brokers and daemons do, too."""
    if hasattr(config, "workerinput"):
        die_with_parent()


@pytest.fixture(scope="session")
def kafka() -> Iterator[ApacheKafka]:
    """One Apache Kafka for all tests of a worker; use topic names of your own and leave it running.

    Where it cannot be started the tests that ask for it fail: they are not skipped.
    """
    with ApacheKafka() as broker:
        yield broker


@pytest.fixture(scope="session")
def tansu() -> Iterator[Tansu]:
    """One Tansu for all tests of a worker: a broker without idempotent producers."""
    with Tansu() as broker:
        yield broker


@pytest.fixture
def mosquitto() -> Iterator[Mosquitto]:
    """A mosquitto of this test's own, as it comes, persistence on. Where it is not installed the test fails."""
    with Mosquitto() as broker:
        yield broker
