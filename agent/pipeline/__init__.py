"""From what drivers emit to what is on disk and what sounds: judged on receipt, encoded once, logged first."""

from agent.pipeline.alerts import Alerts
from agent.pipeline.brokers import BrokerWatch, Connection
from agent.pipeline.frames import FrameSlots, ModelRunner
from agent.pipeline.gateway import Conditions, GatewayEvents
from agent.pipeline.intake import Intake, SensorLimits
from agent.pipeline.outbox import Outbox
from agent.pipeline.raised import RaisedAlerts
from agent.pipeline.streams import StreamWatch
from agent.pipeline.watch import LogWatch

__all__ = [
    "Alerts",
    "BrokerWatch",
    "Conditions",
    "Connection",
    "FrameSlots",
    "GatewayEvents",
    "Intake",
    "LogWatch",
    "ModelRunner",
    "Outbox",
    "RaisedAlerts",
    "SensorLimits",
    "StreamWatch",
]
