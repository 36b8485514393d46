"""TLS and SASL against Apache Kafka: what goes through, and what is the config's fault."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sync.kafka import KafkaSettings, KafkaSink, connections
from sync.values import Misconfigured, NotReady, Unreachable
from tests.support.certificates import issue
from tests.support.kafka import ApacheKafka
from tests.support.proxy import Proxy

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """A broker whose link asks for TLS, a client certificate and SCRAM; and the settings that satisfy it."""
    folder = tmp_path_factory.mktemp("security")
    files = issue(folder)
    pair = folder / "pair.pem"
    pair.write_text(files.server_key.read_text() + files.server_cert.read_text())
    prefix = "listener.name.link"
    config = {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LINK:SASL_SSL",
        f"{prefix}.ssl.keystore.type": "PEM",
        f"{prefix}.ssl.keystore.location": str(pair),
        f"{prefix}.ssl.truststore.type": "PEM",
        f"{prefix}.ssl.truststore.location": str(files.ca_file),
        f"{prefix}.ssl.client.auth": "required",
        f"{prefix}.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        f"{prefix}.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
    }
    password = folder / "password"
    password.write_text("s3cret\n")
    with (
        ApacheKafka(config=config, scram={"gateway": "s3cret"}) as kafka,
        Proxy(kafka.host, kafka.behind_link_port, at=kafka.link_port),
    ):
        yield KafkaSettings(
            brokers=(f"{kafka.host}:{kafka.link_port}",),
            security="sasl_ssl",
            ca_file=files.ca_file,
            cert_file=files.client_cert,
            key_file=files.client_key,
            sasl_mechanism="SCRAM-SHA-512",
            username="gateway",
            password_file=password,
        )


async def first_answer(settings):
    """What the first producer id is answered with, once the broker is through its own start."""
    sink = KafkaSink(settings)
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    return await sink.new_producer()
                except NotReady as error:
                    if "LoadInProgress" not in error.reason:
                        raise
                    await asyncio.sleep(0.1)
    finally:
        await sink.close()


async def test_tls_with_a_client_certificate_and_scram_goes_through(secured):
    assert (await first_answer(secured)).id >= 0


async def test_a_wrong_password_names_the_field(secured, tmp_path):
    wrong = tmp_path / "password"
    wrong.write_text("guess")
    with pytest.raises(Misconfigured) as fault:
        await first_answer(replace(secured, password_file=wrong))
    assert fault.value.field == "kafka.password_file"
    assert "guess" not in str(fault.value)


async def test_a_cluster_that_let_us_in_before_may_refuse_us_for_a_while(secured, tmp_path, monkeypatch):
    rotated = tmp_path / "password"
    rotated.write_text("s3cret")
    sink = KafkaSink(replace(secured, password_file=rotated))
    await sink.reach()
    rotated.write_text("guess")
    await sink.close()
    with pytest.raises(Unreachable):
        await sink.reach()
    monkeypatch.setattr(connections, "_PARDON_S", 0.0)
    with pytest.raises(Misconfigured):
        await sink.reach()
    rotated.write_text("s3cret")
    await sink.reach()
    await sink.close()


async def test_another_authority_names_the_field(secured, tmp_path):
    with pytest.raises(Misconfigured) as fault:
        await first_answer(replace(secured, ca_file=issue(tmp_path / "other").ca_file))
    assert fault.value.field == "kafka.ca_file"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"ca_file": "missing"}, "kafka.ca_file"),
        ({"cert_file": "missing"}, "kafka.cert_file"),
        ({"password_file": "missing"}, "kafka.password_file"),
        ({"username": None}, "kafka.username"),
    ],
)
async def test_a_file_or_name_that_is_missing_names_the_field(secured, tmp_path, change, field):
    change = {name: value and tmp_path / value for name, value in change.items()}
    with pytest.raises(Misconfigured) as fault:
        await first_answer(replace(secured, **change))
    assert fault.value.field == field


async def test_plaintext_to_a_tls_port_waits_and_does_not_hang(secured):
    plain = KafkaSettings(secured.brokers, connect_timeout_s=2.0)
    with pytest.raises(NotReady):
        await first_answer(plain)
