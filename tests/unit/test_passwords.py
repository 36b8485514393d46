"""Secrets: what config checks is what is sent, and no message holds one."""

import pytest

from agent.config import ConfigErrors, parse, read_secret
from drivers.mqtt.connection.login import password as mqtt_password
from drivers.mqtt.settings import MqttSettings
from sync.kafka.settings import KafkaSettings, password


@pytest.mark.parametrize("content", ["pässword ", "pässword \n", "pässword \r\n", "pässword \nfor the barge\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_password_is_the_first_line_of_its_file_for_all_who_read_it(tmp_path, content, encoding):
    """With a byte-order mark before it, as editors on Windows write it, and without."""
    file = tmp_path / "password"
    file.write_bytes(content.encode(encoding))
    kafka = KafkaSettings(("127.0.0.1:1",), security="sasl_ssl", username="gw", password_file=file)
    mqtt = MqttSettings("barge", "gw", "site", username="gw", password_file=file)
    assert [read_secret(file), password(kafka), mqtt_password(mqtt)] == ["pässword "] * 3


@pytest.mark.parametrize("address", ["rtsp://user:hunter2@host/", "rtsp://host/live?pwd=hunter2&x="])
def test_an_address_that_is_refused_is_not_quoted_for_it_may_hold_a_password(address):
    """K1."""
    document = f"""
gateway: {{id: gw, site: s}}
kafka: {{brokers: ["127.0.0.1:9092"]}}
mqtt: [{{name: barge, local: true, host: "{address}"}}]
cameras: [{{name: c, tank: t, source: "{address}{"x" * 1100}"}}]
"""
    with pytest.raises(ConfigErrors) as refused:
        parse(document)
    said = str(refused.value)
    assert "cameras[0].source: must be no longer" in said
    assert "mqtt[0].host: must be a host name" in said
    assert "hunter2" not in said


def test_a_password_file_of_another_encoding_is_named_and_its_bytes_are_not(tmp_path):
    file = tmp_path / "password"
    file.write_bytes("hunter2".encode("utf-16"))
    kafka = KafkaSettings(("127.0.0.1:1",), security="sasl_ssl", username="gw", password_file=file)
    mqtt = MqttSettings("barge", "gw", "site", username="gw", password_file=file)
    for read, argument in ((read_secret, file), (password, kafka), (mqtt_password, mqtt)):
        with pytest.raises(Exception, match="is not UTF-8 text") as refused:
            read(argument)
        assert "0xff" not in str(refused.value)
        assert "codec" not in str(refused.value)
