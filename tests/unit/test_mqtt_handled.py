"""What a message that comes again is told by, and all that must not be taken for one."""

from __future__ import annotations

import pytest

from drivers.mqtt import MqttSettings, PayloadSettings, SubscriptionSettings
from drivers.mqtt.delivery import handled as module
from drivers.mqtt.delivery import marks as marks_module
from drivers.mqtt.delivery.handled import Handled
from drivers.mqtt.delivery.marks import Marks
from drivers.mqtt.packets import DUPLICATE, Received
from drivers.mqtt.topics.routes import Routes

_AGAIN = 0x32 | DUPLICATE
PAYLOADS = [b"7", b"8", b"7", b"9"]


def received(*messages: tuple[int, bytes, int], topic: bytes = b"t") -> Received:
    """Messages of packet id, payload and first byte."""
    made = Received()
    for identifier, payload, head in messages:
        made.messages.append((topic, payload, head, None))
        qos = head >> 1 & 3
        made.by_qos[qos] += 1
        made.redelivered += bool(head & DUPLICATE)
        if qos:
            made.acknowledgements += b"\x40\x02" + identifier.to_bytes(2)
    return made


def new(first: int, *payloads: bytes) -> Received:
    return received(*((first + at, payload, 0x32) for at, payload in enumerate(payloads)))


def again(first: int, *payloads: bytes) -> Received:
    return received(*((first + at, payload, _AGAIN) for at, payload in enumerate(payloads)))


def resumed(*taken: Received, acknowledged: bool = False) -> Handled:
    """A session of which so much was taken, and acknowledged or not, resumed."""
    found = Handled()
    found.begin(kept=False)
    for one in taken:
        took = found.take(one)
        if acknowledged:
            found.acknowledged(took)
    found.begin(kept=True)
    return found


def payloads(of: Received) -> list[bytes]:
    return [payload for _, payload, _, _ in of.messages]


def test_what_comes_again_is_taken_out_and_stays_to_be_acknowledged():
    found = resumed(new(5, *PAYLOADS))
    come = again(7, b"7", b"9", b"10")
    assert found.take(come)[0] == 2
    assert payloads(come) == [b"10"]
    assert len(come.acknowledgements) == 12


def test_only_what_is_marked_as_sent_before_is_looked_at():
    come = new(5, *PAYLOADS)
    assert resumed(new(5, *PAYLOADS)).take(come)[0] == 0
    assert payloads(come) == PAYLOADS


def test_a_new_session_knows_nothing():
    found = resumed(new(5, *PAYLOADS))
    found.begin(kept=False)
    assert found.take(again(5, *PAYLOADS))[0] == 0


def test_another_payload_or_topic_under_the_same_id_is_new():
    assert resumed(new(5, b"7")).take(again(5, b"8"))[0] == 0
    come = received((5, b"7", _AGAIN), topic=b"another")
    assert resumed(new(5, b"7")).take(come)[0] == 0


def test_of_what_was_acknowledged_long_ago_nothing_is_known_after_the_first_that_is_new(monkeypatch):
    """The same payload under the same id, when ids have come round: no repetition follows what is new."""
    monkeypatch.setattr(module, "NEWEST", 0)
    found = resumed(new(5, b"7"), acknowledged=True)
    assert found.take(again(6, b"7"))[0] == 0
    assert found.take(again(5, b"7"))[0] == 0
    found = resumed(new(5, b"7"), acknowledged=True)
    assert found.take(new(6, b"7"))[0] == 0
    assert found.take(again(5, b"7"))[0] == 0


def test_a_repetition_of_what_was_acknowledged_long_ago_keeps_the_order_of_the_first_time(monkeypatch):
    monkeypatch.setattr(module, "NEWEST", 0)
    found = resumed(new(5, b"7", b"7"), acknowledged=True)
    assert found.take(again(6, b"7"))[0] == 1
    assert found.take(again(5, b"7"))[0] == 0


def test_a_broker_that_gives_a_free_id_again_at_once_is_not_believed():
    found = resumed(new(1, b"7"), new(1, b"7"))
    come = again(1, b"7")
    assert found.take(come)[0] == 0
    assert payloads(come) == [b"7"]


def test_ids_come_round_from_65535_to_1():
    found = resumed(new(65_534, b"a", b"b"), new(1, b"c"))
    assert found.take(received((65_535, b"b", _AGAIN), (1, b"c", _AGAIN)))[0] == 2


def test_in_one_read_as_well():
    found = resumed(received((65_535, b"b", 0x32), (1, b"c", 0x32)))
    assert found.take(received((65_535, b"b", _AGAIN), (1, b"c", _AGAIN)))[0] == 2


def test_messages_of_qos_0_in_between_have_no_id():
    found = resumed(received((5, b"a", 0x32), (0, b"x", 0x30), (6, b"b", 0x32)))
    come = received((5, b"a", _AGAIN), (0, b"x", 0x30), (6, b"b", _AGAIN))
    assert found.take(come)[0] == 2
    assert payloads(come) == [b"x"]


def test_what_may_not_be_on_disk_is_forgotten():
    found = resumed(new(5, *PAYLOADS))
    found.forget()
    found.begin(kept=True)
    assert found.take(again(5, *PAYLOADS))[0] == 0


def test_receipts_bring_back_what_an_earlier_run_took_of_the_same_session():
    first = Handled()
    first.begin(kept=False)
    receipts = [first.take(new(5, b"a", b"b"))[1], first.take(new(7, b"c"))[1]]
    second = Handled()
    second.recall(first.session, receipts)
    second.begin(kept=True)
    assert second.session == first.session
    come = again(6, b"b", b"c", b"d")
    assert second.take(come)[0] == 2
    assert [payload for _, payload, _, _ in come.earlier] == [b"b", b"c"]
    second.begin(kept=True)
    come = again(7, b"c", b"d")
    assert second.take(come)[0] == 2
    assert [payload for _, payload, _, _ in come.earlier] == [b"c"]
    other = Handled()
    other.recall(first.session + 1, receipts)
    other.begin(kept=True)
    assert other.take(again(5, b"a"))[0] == 0
    with pytest.raises(ValueError, match="cut off"):
        other.recall(first.session, [receipts[0][:-1]])


def test_no_more_is_remembered_than_there_are_ids(monkeypatch):
    monkeypatch.setattr(module, "MOST", 100)
    found = Handled()
    found.begin(kept=False)
    for first in range(1, 1_000, 10):
        found.take(new(first, *[b"7"] * 10))
    assert found._count <= 100


TIMED = Routes(
    MqttSettings(
        "barge",
        "c",
        "home",
        subscriptions=(
            SubscriptionSettings("timed/{tank}/{metric}", payload=PayloadSettings("json", at="at")),
            SubscriptionSettings("counted/{tank}/{metric}", payload=PayloadSettings("json", counter="n")),
            SubscriptionSettings("plain/{tank}/{metric}", payload=PayloadSettings("json")),
        ),
    )
)
SAYS = b'{"value": 7, "at": "2026-03-01T12:00:00Z", "n": 5}'


@pytest.mark.parametrize(("form", "known"), [(b"timed", 1), (b"counted", 1), (b"plain", 0)])
def test_a_payload_that_says_its_time_or_counter_is_known_again_under_any_id(form, known):
    found = Marks()
    _, receipt = found.take(received((5, SAYS, 0x32), topic=form + b"/t/m"), TIMED)
    for take in (found, Marks()):
        if take is not found:
            take.recall([receipt])
        come = received((9, SAYS, 0x32), (10, SAYS.replace(b"7", b"8"), 0x32), topic=form + b"/t/m")
        assert take.take(come, TIMED)[0] == known
        assert len(come.messages) == 2 - known
        assert take.take(received((11, SAYS, 0x32), topic=form + b"/another/m"), TIMED)[0] == 0
    found.forget()
    assert found.take(received((12, SAYS, 0x32), topic=form + b"/t/m"), TIMED)[0] == 0


@pytest.mark.parametrize(("head", "queued", "judged"), [(0x32, False, 1), (0x3A, False, 0), (0x32, True, 0)])
def test_what_comes_again_beside_a_backlog_is_held_against_its_limits(head, queued, judged):
    """A device whose clock is stuck says the same of two readings."""
    found = Marks()
    found.take(received((5, SAYS, 0x32), topic=b"timed/t/m"), TIMED)
    come = received((9, SAYS, head), topic=b"timed/t/m")
    assert found.take(come, TIMED, queued=queued)[0] == 1
    assert len(come.earlier) == judged


def test_a_message_without_dup_is_left_out_once_a_connection():
    found = Marks()
    kept = []
    for connection in range(2):
        found.begin()
        for _ in range(3):
            come = received((5, SAYS, 0x32), (6, SAYS, 0x3A), topic=b"timed/t/m")
            found.take(come, TIMED)
            kept.append((connection, [message[2] for message in come.messages]))
    assert kept == [(0, [0x32]), (0, []), (0, [0x32]), (1, []), (1, [0x32]), (1, [0x32])]


def test_what_says_no_time_though_it_should_is_new_each_time():
    found = Marks()
    for _ in range(2):
        come = received((5, b'{"value": 7}', 0x32), topic=b"timed/t/m")
        assert found.take(come, TIMED)[0] == 0
        assert len(come.messages) == 1


def test_marks_are_bounded(monkeypatch):
    monkeypatch.setattr(marks_module, "MOST", 10)
    found = Marks()
    for number in range(100):
        found.take(received((1, b"%d" % number, 0x32), topic=b"timed/t/m"), TIMED)
    assert len(found._known) == len(found._order) == 10
