from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import ConfigErrors, SecretUnreadable, digest, load, parse, read_secret

ROOT = Path(__file__).parents[2]
SHIPPED = (ROOT / "config.yaml").read_text()
LEAST = "gateway: {id: a, site: b}\nkafka: {brokers: ['k:1']}\nmqtt: [{name: m, local: true}]\n"


def test_the_shipped_document_works_as_it_is():
    config = load(ROOT / "config.yaml", {})
    assert config.kafka.brokers == ["127.0.0.1:9092"]
    assert config.kafka.delivery == "exactly_once"
    assert config.gateway.state_dir == Path("/var/lib/tidegate")
    assert [connection.local for connection in config.mqtt] == [True]
    assert config.models[0].path == ROOT / "models/zoo/fish/1"


def test_the_shipped_document_runs_anywhere_by_its_environment():
    env = {
        "TIDEGATE_KAFKA": "k1:9092,k2:9092",
        "TIDEGATE_DELIVERY": "at_least_once",
        "TIDEGATE_MQTT_HOST": "broker",
        "TIDEGATE_MQTT_PORT": "18830",
        "TIDEGATE_MQTT_VERSION": "3.1.1",
        "TIDEGATE_STATE_DIR": "/tmp/s",
        "TIDEGATE_RUNTIME_DIR": "/tmp/r",
        "TIDEGATE_HTTP_PORT": "0",
        "TIDEGATE_CAMERA_SOURCE": "/tmp/clip.mp4",
        "TIDEGATE_GATEWAY_ID": "other",
        "TIDEGATE_SITE": "there",
    }
    config = load(ROOT / "config.yaml", env)
    assert config.kafka.brokers == ["k1:9092", "k2:9092"]
    assert config.kafka.delivery == "at_least_once"
    assert (config.mqtt[0].host, config.mqtt[0].port, config.mqtt[0].version) == ("broker", 18830, "3.1.1")
    assert config.http.port == 0
    assert (config.gateway.state_dir, config.gateway.runtime_dir) == (Path("/tmp/s"), Path("/tmp/r"))
    assert config.cameras[0].source == "/tmp/clip.mp4"
    assert (config.gateway.id, config.gateway.site) == ("other", "there")


def test_the_shipped_document_may_be_pushed():
    assert parse(SHIPPED, "push", {}, folder=Path("/etc/tidegate"), pushed=True) == load(ROOT / "config.yaml", {})


def test_what_a_value_means_its_key_decides():
    """Y1."""
    config = parse(
        """
gateway: {id: 007, site: no}
kafka: {brokers: 'a:1, b:2', backfill_after_s: 1e2}
mqtt:
  - {name: 12:30, version: 5, local: on, port: "1883"}
""".replace("12:30", "1_2"),
        env={},
    )
    assert (config.gateway.id, config.gateway.site) == ("007", "no")
    assert (config.mqtt[0].version, config.mqtt[0].local, config.mqtt[0].port) == ("5", True, 1883)
    assert config.kafka.brokers == ["a:1", "b:2"]
    assert config.kafka.backfill_after_s == 100.0


def test_a_key_without_a_value_has_its_default():
    config = parse(LEAST + "log:\nsensors: ~\nlogging:\n  level:\n", env={})
    assert config == parse(LEAST, env={})


def test_an_empty_variable_is_not_set_and_a_default_may_be_empty():
    """E1."""
    text = LEAST.replace("name: m", 'name: m, username: "${USER_:-}", client_id: "${CLIENT:-dflt}"')
    with pytest.raises(ConfigErrors):
        parse(text, env={})
    block = "mqtt:\n  - name: m\n    local: true\n    username: ${USER_:-}\n    client_id: ${CLIENT:-dflt}\n"
    config = parse(LEAST.replace("mqtt: [{name: m, local: true}]\n", block), env={"CLIENT": ""})
    assert (config.mqtt[0].username, config.mqtt[0].client_id) == (None, "dflt")


def test_two_dollars_stand_for_the_characters_themselves():
    config = parse(LEAST.replace("name: m", 'name: m, username: "$${A}${B}"'), env={"B": "${A}"})
    assert config.mqtt[0].username == "${A}${A}"


def test_paths_count_from_the_folder_of_the_document(tmp_path):
    (tmp_path / "pw").write_text("x\n")
    text = LEAST.replace("name: m", "name: m, password_file: pw") + (
        "cameras: [{name: c, source: clip.mp4, tank: t}, {name: d, source: /dev/video0, tank: t}, "
        "{name: e, source: '0', tank: t}, {name: f, source: 'rtsp://h/x', tank: t}]\n"
        "models: [{name: m, path: zoo/m}, {name: p, path: package:fish/1}]\n"
    )
    (tmp_path / "config.yaml").write_text(text)
    config = load(tmp_path / "config.yaml", {})
    assert config.mqtt[0].password_file == tmp_path / "pw"
    assert [camera.source for camera in config.cameras] == [
        str(tmp_path / "clip.mp4"),
        "/dev/video0",
        "0",
        "rtsp://h/x",
    ]
    assert [model.path for model in config.models] == [tmp_path / "zoo/m", ROOT / "models/zoo/fish/1"]


def test_three_values_of_one_payload_are_three_subscriptions():
    entries = "".join(
        f"\n      - {{topic: 'dev/{{sensor}}', sensor_id: '{{sensor}}_{name}', sensor_type: {name}, tank: t, "
        f"payload: {{format: json, value: {name}}}}}"
        for name in ("ph", "oxygen", "temperature")
    )
    text = LEAST.replace("[{name: m, local: true}]", f"\n  - name: m\n    local: true\n    subscriptions:{entries}")
    assert len(parse(text, env={}).mqtt[0].subscriptions) == 3


def test_a_sensor_known_by_name_brings_its_own_type_and_tank():
    text = LEAST.replace("local: true}", "local: true, subscriptions: [{topic: a/b, sensor_id: oxy}]}")
    with pytest.raises(ConfigErrors):
        parse(text, env={})
    config = parse(text + "sensors: [{id: oxy, type: oxygen, unit: mg/L, tank: t}]\n", env={})
    assert config.sensors[0].id == "oxy"


def test_a_byte_order_mark_is_no_fault():
    assert parse(b"\xef\xbb\xbf" + LEAST.encode(), env={}) == parse(LEAST, env={})


def test_aliases_stand_for_what_they_name():
    text = LEAST.replace("[{name: m, local: true}]", "[{name: &m m, local: true, username: *m}]")
    assert parse(text, env={}).mqtt[0].username == "m"


def test_a_file_that_cannot_be_read_is_a_problem_like_any_other(tmp_path):
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path / "none.yaml", {})
    assert str(caught.value) == (
        f"{tmp_path}/none.yaml: cannot be read: no such file or directory (hint: name another with --config)"
    )
    with pytest.raises(ConfigErrors, match="is a directory"):
        load(tmp_path, {})


class TestAPush:
    def lines(self, text, env, folder):
        with pytest.raises(ConfigErrors) as caught:
            parse(text, "push", env, folder=folder, pushed=True)
        return [str(problem) for problem in caught.value.problems]

    def test_may_not_read_the_environment(self, tmp_path):
        """E2."""
        text = LEAST.replace("site: b", "site: '${AWS_SECRET_ACCESS_KEY}'")
        assert self.lines(text, {"AWS_SECRET_ACCESS_KEY": "x"}, tmp_path) == [
            (
                "push:1: gateway.site: a push may not read the environment variable AWS_SECRET_ACCESS_KEY "
                "(hint: use a name that begins with TIDEGATE_, set on the gateway)"
            )
        ]

    def test_may_not_have_another_file_sent_as_a_password(self, tmp_path):
        """K2."""
        text = LEAST.replace("name: m", "name: m, password_file: /etc/hostname")
        assert self.lines(text, {}, tmp_path) == [
            (
                "push:3: mqtt[0].password_file: a push may not name a secret file there "
                "(hint: use ${CREDENTIALS_DIRECTORY}/… or a file beside config.yaml)"
            )
        ]

    def test_may_not_leave_the_folder_by_a_link(self, tmp_path):
        (tmp_path / "config").mkdir()
        (tmp_path / "secret").write_text("x")
        (tmp_path / "config" / "pw").symlink_to(tmp_path / "secret")
        text = LEAST.replace("name: m", "name: m, password_file: pw")
        assert len(self.lines(text, {}, tmp_path / "config")) == 1

    def test_may_not_hold_a_password(self, tmp_path):
        address = f"rtsp://user{'r' * 80}:pass@10.0.0.1/"
        text = LEAST + f"cameras: [{{name: c, source: '{address}', tank: t}}]\n"
        (line,) = self.lines(text, {}, tmp_path)
        assert "must not contain a password" in line
        assert "pass@" not in line

    @pytest.mark.parametrize("login", ["${TIDEGATE_A}", "user:${TIDEGATE_A}", "${TIDEGATE_A}:${TIDEGATE_A}"])
    def test_may_name_the_variable_of_a_password(self, tmp_path, login):
        text = LEAST + f"cameras: [{{name: c, source: 'rtsp://{login}@10.0.0.1/', tank: t}}]\n"
        assert parse(text, "push", {"TIDEGATE_A": "x"}, folder=tmp_path, pushed=True)
        (line,) = self.lines(text.replace("A}@", "A:-secret}@"), {"TIDEGATE_A": "x"}, tmp_path)
        assert "must not contain a password" in line

    def test_may_name_the_secrets_that_the_gateway_was_given(self, tmp_path):
        (tmp_path / "creds").mkdir()
        (tmp_path / "creds" / "pw").write_text("x\n")
        text = LEAST.replace("name: m", "name: m, password_file: '${CREDENTIALS_DIRECTORY}/pw'")
        env = {"CREDENTIALS_DIRECTORY": str(tmp_path / "creds")}
        config = parse(text, "push", env, folder=Path("/etc/tidegate"), pushed=True)
        assert config.mqtt[0].password_file == tmp_path / "creds" / "pw"


class TestASecret:
    def test_is_the_first_line_of_its_file(self, tmp_path):
        (tmp_path / "pw").write_bytes("pässword \r\nsecond\n".encode())
        assert read_secret(tmp_path / "pw") == "pässword "

    @pytest.mark.parametrize(
        ("content", "why"),
        [(b"", "nothing"), (b"\n", "nothing"), (b"\xff", "UTF-8"), (b"x" * 70_000, "larger")],
    )
    def test_that_cannot_be_had_says_why_but_not_what(self, tmp_path, content, why):
        (tmp_path / "pw").write_bytes(content)
        with pytest.raises(SecretUnreadable, match=why):
            read_secret(tmp_path / "pw")


def test_the_revision_is_that_of_the_bytes():
    assert digest("a: ü") == digest("a: ü".encode())
    assert digest("a: 1") != digest("a: 1 ")
    assert digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.text(max_size=300) | st.binary(max_size=300))
def test_no_text_at_all_does_worse_than_config_errors(text):
    with pytest.raises(ConfigErrors):
        parse(text, env={})


@given(st.data())
def test_no_change_of_the_shipped_document_does_worse_than_config_errors(data):
    begin = data.draw(st.integers(0, len(SHIPPED)))
    end = data.draw(st.integers(begin, min(begin + 40, len(SHIPPED))))
    put = data.draw(st.text(alphabet="abc:-{}[]#*&!$'\"\n\t 019.~|>@%", max_size=12))
    problems = None
    try:
        parse(SHIPPED[:begin] + put + SHIPPED[end:], env={})
    except ConfigErrors as errors:
        problems = errors.problems
    assert problems is None or (problems and all(str(problem).isprintable() for problem in problems))
