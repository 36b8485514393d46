import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from agent.events import SCHEMAS, Alert, AlertState, Encoder, Severity, SystemEvent, SystemEventKind, schema
from agent.events.records import CameraEvent, DeadLetter, FleetReported, SensorData
from drivers import Frame, Reading, SharedImage
from models.values import Detection, Prediction
from sync.log import LogSettings
from sync.log.book import losses
from sync.log.disk import blocks
from sync.log.ledger import notices
from sync.values import Lane

AT = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)


@pytest.fixture
def encoder():
    return Encoder("gw-1", "site_001")


def a_reading(**changes):
    fields = {
        "sensor_id": "temp_001",
        "sensor_type": "temperature",
        "value": 25.5,
        "unit": "degC",
        "tank_id": "tank_001",
        "site_id": "site_001",
        "at": AT,
        "at_device": True,
        "received_ns": 1,
    }
    return Reading(**(fields | changes))


def test_a_reading_keeps_to_its_schema_and_says_whose_clock_and_how_good(encoder):
    (envelope,) = encoder.readings([a_reading()])
    record = SensorData.model_validate_json(envelope.value)
    assert record.model_dump(mode="json", exclude_none=True) == {
        "sensor_id": "temp_001",
        "sensor_type": "temperature",
        "value": 25.5,
        "unit": "degC",
        "tank_id": "tank_001",
        "site_id": "site_001",
        "at": "2026-03-01T12:00:00.123000Z",
        "at_from": "device",
        "quality": "unjudged",
    }
    assert (envelope.lane, envelope.topic, envelope.key) == (Lane.LIVE, "sensor-data", b"site_001/tank_001/temp_001")


def test_readings_that_share_a_time_each_say_their_own_value_and_clock(encoder):
    given = [a_reading(value=value, at_device=device) for value in (-0.0, 1e300, 7) for device in (True, False)]
    bodies = [SensorData.model_validate_json(envelope.value) for envelope in encoder.readings(given)]
    assert [(body.value, body.at_from) for body in bodies] == [
        (reading.value, "device" if reading.at_device else "gateway") for reading in given
    ]


def test_a_name_needs_no_care_of_its_own(encoder):
    name = 'a "b" \\ {c} \u00e5%d'
    (envelope,) = encoder.readings([a_reading(sensor_id=name, unit=name)])
    body = SensorData.model_validate_json(envelope.value)
    assert (body.sensor_id, body.unit) == (name, name)


def test_the_key_follows_a_sensor_to_another_tank_and_tells_equal_names_in_two_sites_apart(encoder):
    moved = [a_reading(), a_reading(tank_id="tank_002"), a_reading(site_id="site_002"), a_reading()]
    assert [envelope.key for envelope in encoder.readings(moved)] == [
        b"site_001/tank_001/temp_001",
        b"site_001/tank_002/temp_001",
        b"site_002/tank_001/temp_001",
        b"site_001/tank_001/temp_001",
    ]


def test_every_record_carries_cloudevents_headers_in_binary_mode(encoder):
    traced, plain = encoder.readings([a_reading(traceparent="00-ab-cd-01"), a_reading()])
    assert dict(traced.headers) == {
        "ce_specversion": b"1.0",
        "ce_type": b"tidegate.sensor-data.v1",
        "content-type": b"application/json",
        "ce_time": b"2026-03-01T12:00:00.123Z",
        "traceparent": b"00-ab-cd-01",
    }
    assert "traceparent" not in dict(plain.headers)


def test_a_prediction_keeps_to_its_schema(encoder):
    frame = Frame("pen-1", "tank_001", "site_001", 7, AT, 0, SharedImage(0, 0, 10, 10), lambda: None)
    prediction = Prediction("fish", "1", "ab" * 32, (Detection("fish", 0.91234, 0.1, 0.2, 0.3, 0.4),), 0.0123, 0.013)
    record = CameraEvent.model_validate_json(encoder.prediction(frame, prediction).value)
    assert record.model.digest == "ab" * 32
    assert (record.frame, record.inference_ms) == (7, 12.3)
    assert record.detections[0].model_dump() == {
        "label": "fish",
        "score": 0.9123,
        "box": {"left": 0.1, "top": 0.2, "width": 0.3, "height": 0.4},
    }


def test_an_alert_goes_on_the_alert_lane_in_utc(encoder):
    alert = Alert(
        alert_id="temp_001/high",
        state=AlertState.RAISED,
        severity=Severity.ALARM,
        kind="high",
        source="temp_001",
        text="too warm",
        at=AT.astimezone(timezone(timedelta(hours=2))),
        site_id="site_001",
    )
    envelope = encoder.alert(alert)
    assert envelope.lane is Lane.ALERT
    assert dict(envelope.headers)["ce_time"] == b"2026-03-01T12:00:00.123Z"
    assert "value" not in json.loads(envelope.value)


@pytest.mark.parametrize(("severity", "lane"), [(Severity.INFO, Lane.LIVE), (Severity.ALARM, Lane.ALERT)])
def test_a_system_event_that_is_an_alarm_goes_first(encoder, severity, lane):
    event = SystemEvent(event=SystemEventKind.RECORDS_LOST, severity=severity, source="log", text="full", at=AT)
    assert encoder.system_event(event).lane is lane


def test_the_fleet_report_is_keyed_by_the_gateway(encoder):
    report = FleetReported(gateway_id="gw-1", revision="00", source="push", outcome="applied", at=AT)
    assert encoder.fleet_reported(report).key == b"gw-1"


def test_what_the_log_itself_tells_keeps_to_the_schemas(encoder, tmp_path):
    settings = LogSettings(tmp_path / "log.sqlite", "gw-1", "site_001")
    loss = notices.loss_event(losses.Loss(Lane.LIVE, "sensor-data", 1, 9, 9, "evicted", 0, 1, "ab12"), settings)
    event = SystemEvent.model_validate_json(loss.value)
    assert (event.event, event.severity, event.data["count"]) == (SystemEventKind.RECORDS_LOST, Severity.ALARM, 9)

    namer = blocks.Namer("gw-1", "ab12")
    (block,) = blocks.encode(encoder.readings([a_reading()]), 7, namer, 3)
    envelope = notices.dead_letter((Lane.LIVE, "sensor-data"), block.body, "too large", at_ms=0, settings=settings)
    letter = DeadLetter.model_validate_json(envelope.value)
    assert (letter.topic, letter.key, letter.headers["ce_id"]) == (
        "sensor-data",
        "site_001/tank_001/temp_001",
        "ab12-7",
    )
    assert {dict(told.headers)["ce_type"].decode() for told in (loss, envelope)} == {
        schema("system-events")["$id"],
        schema("dead-letters")["$id"],
    }


@pytest.mark.parametrize("topic", SCHEMAS)
def test_each_topic_has_a_closed_schema_with_its_version(topic):
    found = schema(topic)
    name, _, kind = topic.partition(".")
    assert found["$id"] == f"tidegate.{name}.v1" + (f".{kind}" if kind else "")
    assert found["additionalProperties"] is False
