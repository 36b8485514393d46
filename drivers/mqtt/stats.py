"""What one MQTT connection has seen."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class MqttStats:
    """Counters since the driver was made. `outstanding` is a gauge: messages not yet on disk."""

    received: list[int] = field(default_factory=lambda: [0, 0, 0])
    """Messages by QoS: 0, 1, 2."""
    readings: int = 0
    unreadable: int = 0
    acknowledged: int = 0
    redelivered: int = 0
    """Messages that the broker marked as sent before."""
    recognised: int = 0
    """Messages that had been handed over already, and were only acknowledged again."""
    suspected: int = 0
    """Messages that were taken as new and are probably stored twice: the broker marks no repetition."""
    batches: int = 0
    connects: int = 0
    disconnects: int = 0
    sessions_lost: int = 0
    """Connects at which the broker no longer had the session, also one of an earlier run: what it held is gone."""
    pauses: int = 0
    outstanding: int = 0
    answers: int = 0
    """Messages published in answer to devices, such as a request for a birth."""
    refused: tuple[str, ...] = ()
    """Topic filters that the broker does not let this client subscribe to."""

    def receive(self, by_qos: list[int], redelivered: int) -> None:
        """Count what one read of the socket brought."""
        for qos, count in enumerate(by_qos):
            self.received[qos] += count
        self.redelivered += redelivered

    def observe(self, count: int, unreadable: int) -> None:
        """Count what was made of messages: so many observations, of which some could not be read."""
        self.unreadable += unreadable
        self.readings += count - unreadable

    @property
    def reconnects(self) -> int:
        """Connections after the first."""
        return max(0, self.connects - 1)
