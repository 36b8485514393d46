"""TLS and SASL against Apache Kafka: what goes through, and what is the config's fault."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sync.kafka import KafkaSettings, KafkaSink
from sync.kafka.connection import logins
from sync.values import Misconfigured, NotReady, Unreachable
from tests.support.certificates import issue, issue_client
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


async def test_a_mechanism_that_is_not_offered_names_the_field(secured):
    with pytest.raises(Misconfigured) as fault:
        await first_answer(replace(secured, sasl_mechanism="PLAIN"))
    assert fault.value.field == "kafka.sasl_mechanism"
    assert fault.value.reason == f"{secured.brokers[0]} does not offer PLAIN"


async def test_a_port_without_a_login_names_the_field(secured, kafka):
    with pytest.raises(Misconfigured) as fault:
        await first_answer(replace(secured, brokers=(kafka.bootstrap,), security="sasl_plaintext"))
    assert (fault.value.field, fault.value.reason) == ("kafka.security", f"{kafka.bootstrap} asks for no login")


@pytest.mark.parametrize("security", ["ssl", "sasl_ssl"])
async def test_tls_to_a_port_without_is_said_with_its_cure(secured, kafka, security):
    with pytest.raises(Unreachable, match=r"if that port has no TLS, set kafka.security") as fault:
        await first_answer(replace(secured, brokers=(kafka.bootstrap,), security=security))
    assert "Error" not in fault.value.reason


async def test_no_tls_to_a_port_with_it_is_said_with_its_cure(secured):
    plain = KafkaSettings(secured.brokers, connect_timeout_s=5.0)
    with pytest.raises(Unreachable, match="whether it needs TLS or a login"):
        await first_answer(plain)


async def test_a_cluster_that_let_us_in_before_may_refuse_us_for_a_while(secured, tmp_path, monkeypatch):
    rotated = tmp_path / "password"
    rotated.write_text("s3cret")
    sink = KafkaSink(replace(secured, password_file=rotated))
    await sink.reach()
    rotated.write_text("guess")
    await sink.close()
    with pytest.raises(Unreachable):
        await sink.reach()
    monkeypatch.setattr(logins, "_PARDON_S", 0.0)
    rotated.write_text("another guess")
    with pytest.raises(Misconfigured):
        await sink.reach()
    rotated.write_text("s3cret")
    await sink.reach()
    await sink.close()


@pytest.fixture
def rotating(secured, tmp_path):
    """Settings whose client pair may be replaced in place: `replace_pair(certificate, key)`."""
    certificate, key = tmp_path / "rotating.pem", tmp_path / "rotating.key"

    def replace_pair(new_certificate, new_key):
        certificate.write_bytes(new_certificate.read_bytes())
        key.write_bytes(new_key.read_bytes())

    replace_pair(secured.cert_file, secured.key_file)
    return replace(secured, cert_file=certificate, key_file=key), replace_pair


def refused_pair(secured, folder, why):
    if why == "expired":
        return issue_client(folder, secured.ca_file.parent, days=-1)
    other = issue(folder)
    return other.client_cert, other.client_key


@pytest.mark.parametrize("why", ["expired", "of another authority"])
async def test_a_client_certificate_that_is_refused_is_waited_for_and_its_successor_taken(
    secured, rotating, tmp_path, monkeypatch, why
):
    settings, replace_pair = rotating
    sink = KafkaSink(settings)
    await sink.reach()
    replace_pair(*refused_pair(secured, tmp_path / "refused", why))
    await sink.reach()  # on the connection that stands
    await sink.close()
    with pytest.raises(Unreachable, match="refuses our certificate"):
        await sink.reach()
    monkeypatch.setattr(logins, "_PARDON_S", 0.0)
    settings.key_file.write_bytes(settings.key_file.read_bytes() + b"\n")  # the same key, and another content
    with pytest.raises(Misconfigured) as fault:
        await sink.reach()
    assert fault.value.field == "kafka.cert_file"
    replace_pair(*issue_client(tmp_path / "new", secured.ca_file.parent))
    await sink.reach()
    await sink.close()


async def test_a_pair_that_is_half_replaced_is_waited_for(secured, rotating, tmp_path):
    settings, replace_pair = rotating
    sink = KafkaSink(settings)
    await sink.reach()
    await sink.close()
    certificate, key = issue_client(tmp_path / "new", secured.ca_file.parent)
    replace_pair(certificate, secured.key_file)
    with pytest.raises(Unreachable, match="TLS files cannot be used"):
        await sink.reach()
    replace_pair(certificate, key)
    await sink.reach()
    await sink.close()


async def test_a_gateway_that_comes_without_a_certificate_is_told_which_field(secured):
    with pytest.raises(Misconfigured) as fault:
        await first_answer(replace(secured, cert_file=None, key_file=None))
    assert fault.value.field == "kafka.cert_file"


async def test_one_broker_of_the_list_that_answers_is_enough(secured):
    for brokers in (("127.0.0.1:1", *secured.brokers), (*secured.brokers, "127.0.0.1:1")):
        assert (await first_answer(replace(secured, brokers=brokers))).id >= 0


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
