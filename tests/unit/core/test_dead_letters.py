"""Dead letters: the message as it was, headers that say why, and never more bytes than the topic takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.core.batching import BatchLimits
from udfs.core.dead_letters import DeadLetter, LetterRules, Record, dead_letter, packed, unpacked
from udfs.core.operations import Origin
from udfs.core.parcels import in_parcels
from udfs.core.refusals import Refusal

ROOMY, SMALL = LetterRules("my-job", 10**9), LetterRules("my-job", 5000)
ORIGIN = Origin("messages", 3, 17)
REFUSAL = Refusal("id-negative", "id", '"id" is -1; ü')
OMITTED = ["value", "key and value", "key, value and headers"]


def letter_of(record: Record, max_bytes: int = ROOMY.max_bytes) -> DeadLetter:
    """Return the dead letter of a record that was refused when it was parsed."""
    return dead_letter(record, REFUSAL, "parse", LetterRules("my-job", max_bytes), is_rendered=False)


@pytest.mark.parametrize(
    ("stage", "is_rendered", "special"),
    [
        pytest.param("parse", False, {"__connect.errors.stage": b"VALUE_CONVERTER"}, id="parse"),
        pytest.param(
            "write", True, {"__connect.errors.stage": b"TASK_PUT", "qdrant.errors.rendered": b"true"}, id="write"
        ),
    ],
)
def test_headers_say_why_and_from_where(stage: str, is_rendered: bool, special: dict[str, bytes]) -> None:  # noqa: FBT001 - a table of two
    """By the names that Kafka Connect has for it, and by ours for what Connect has no name for."""
    letter = dead_letter(Record(None, None, {}, ORIGIN), REFUSAL, stage, ROOMY, is_rendered=is_rendered)
    assert letter.headers == {
        "__connect.errors.topic": b"messages",
        "__connect.errors.partition": b"3",
        "__connect.errors.offset": b"17",
        "__connect.errors.connector.name": b"my-job",
        "__connect.errors.exception.class.name": b"udfs.core.failures.MessageRefusedError",
        "__connect.errors.exception.message": '"id" is -1; ü'.encode(),
        "qdrant.errors.stage": stage.encode(),
        "qdrant.errors.code": b"id-negative",
        "qdrant.errors.field": b"id",
        **special,
    }


BYTES = st.none() | st.binary(max_size=300)
# But for the names that are ours: what an earlier refusal said goes.
NAMES = st.text(max_size=50).filter(lambda name: not name.startswith(("__connect.errors.", "qdrant.errors.")))
RECORDS = st.builds(Record, BYTES, BYTES, st.dictionaries(NAMES, BYTES, max_size=3), st.just(ORIGIN))
MAX_BYTES = st.integers(0, 2500)


@given(RECORDS)
def test_the_message_is_kept_as_it_was(record: Record) -> None:
    """Key, value and headers are those of the message to the byte; what is null is null, what is empty is empty."""
    letter = letter_of(record)
    assert (letter.key, letter.value) == (record.key, record.value)
    added = letter.headers.keys() - record.headers.keys()
    assert {name: text for name, text in letter.headers.items() if name not in added} == record.headers
    assert all(name.startswith(("__connect.errors.", "qdrant.errors.")) for name in added)


def test_what_an_earlier_dead_letter_said_is_not_repeated() -> None:
    """A dead letter that is sent again and refused again says why it was refused this time, and nothing else."""
    once = dead_letter(Record(b"k", b"v" * 9000, {"mine": b"1"}, ORIGIN), REFUSAL, "write", SMALL, is_rendered=True)
    assert {"qdrant.errors.rendered", "qdrant.errors.omitted"} <= once.headers.keys()
    again = Record(once.key, once.value, {**once.headers, "__connect.errors.exception.stacktrace": b"at"}, ORIGIN)
    assert letter_of(again).headers == letter_of(again._replace(headers={"mine": b"1"})).headers


def test_half_a_character_in_the_reason_ends_no_job() -> None:
    """Text that UTF-8 cannot carry is marked, as it would be nobody's fault by then."""
    refusal = Refusal("refused-by-qdrant", "", "Qdrant said \ud800")
    letter = dead_letter(Record(None, None, {}, ORIGIN), refusal, "write", ROOMY, is_rendered=True)
    assert letter.headers["__connect.errors.exception.message"] == b"Qdrant said ?"


@given(RECORDS, MAX_BYTES)
def test_a_dead_letter_is_never_too_large(record: Record, max_bytes: int) -> None:
    """It fits wherever the headers that say why do, with a word about what was left out."""
    least = letter_of(Record(None, b"", {}, ORIGIN))
    explained = len(b"qdrant.errors.omitted") + 150
    letter = letter_of(record, max_bytes)
    assert letter.size <= max(max_bytes, least.size + explained)
    if max_bytes >= least.size + explained:
        assert letter.size <= max_bytes
    assert least.headers.items() <= letter.headers.items()


@given(RECORDS, MAX_BYTES)
def test_only_what_is_too_much_is_left_out_and_said(record: Record, max_bytes: int) -> None:
    """First the value, then the key, then the headers; a header and a sentence in place of the value say which."""
    whole, letter = letter_of(record), letter_of(record, max_bytes)
    if whole.size <= max_bytes:
        assert letter == whole
        return
    omitted = (letter.headers["qdrant.errors.omitted"] or b"").decode()
    assert letter.value == (
        f"Too large for this topic, which takes {max_bytes} bytes, and left out: {omitted} of the message.".encode()
    )
    assert letter.key == (record.key if omitted == "value" else None)
    kept = {} if omitted == OMITTED[-1] else record.headers
    assert letter.headers == {
        **letter_of(record._replace(headers=kept)).headers,
        "qdrant.errors.omitted": omitted.encode(),
    }


@given(RECORDS, MAX_BYTES, MAX_BYTES)
def test_more_room_never_keeps_less(record: Record, one: int, other: int) -> None:
    """What fits a topic fits a larger one."""
    smaller, larger = (letter_of(record, size).headers.get("qdrant.errors.omitted") for size in sorted((one, other)))
    ranks: list[bytes | None] = [None, *(omitted.encode() for omitted in OMITTED)]
    assert ranks.index(larger) <= ranks.index(smaller)


EACH = {
    "all of it fits": (0, None),
    "a byte less leaves out the value": (-1, "value"),
    "the value was just too much": (-1000, "value"),
    "then the key": (-2500, "key and value"),
    "then the headers": (-4500, "key, value and headers"),
}


@pytest.mark.parametrize(("room", "omitted"), EACH.values(), ids=EACH.keys())
def test_each_part_in_its_turn(room: int, omitted: str | None) -> None:
    """With 2,000 bytes in each part, a topic that lacks so many bytes loses just these."""
    record = Record(b"k" * 2000, b"v" * 2000, {"mine": b"h" * 2000}, ORIGIN)
    letter = letter_of(record, letter_of(record).size + room)
    assert letter.headers.get("qdrant.errors.omitted") == (omitted and omitted.encode())


def test_a_byte_decides_what_is_left_out() -> None:
    """A part is kept where there is room for it to the byte, and left out where one is missing."""
    record = Record(b"k" * 2000, b"v" * 2000, {"mine": b"h" * 2000}, ORIGIN)
    least, sizes = letter_of(record), []
    for omitted in OMITTED:
        least = letter_of(record, least.size - 1)
        assert least.headers["qdrant.errors.omitted"] == omitted.encode()
        assert letter_of(record, least.size).headers["qdrant.errors.omitted"] == omitted.encode()
        sizes.append(least.size)
    assert sizes == sorted(sizes, reverse=True)


def varint(number: int) -> int:
    """Return the bytes that Kafka's record format has for a number: seven bits in each, after a zigzag."""
    zigzag = number * 2 if number >= 0 else -number * 2 - 1
    return max(1, -(-zigzag.bit_length() // 7))


def field(data: bytes | None) -> int:
    """Return the bytes of a field with its length; that of null is -1."""
    return varint(-1) if data is None else varint(len(data)) + len(data)


def estimated(letter: DeadLetter) -> int:
    """Return what Kafka's producer takes a record for: its batch's 61 bytes, 21 of its own at most, and its fields.

    By kafka.apache.org/documentation/#recordbatch; tests/contract/test_letter_sizes.py asks the producer itself.
    """
    headers = sum(field(name.encode()) + field(value) for name, value in letter.headers.items())
    return 61 + 21 + field(letter.key) + field(letter.value) + varint(len(letter.headers)) + headers


@given(RECORDS)
def test_the_size_is_no_less_than_kafkas_estimate(record: Record) -> None:
    """Kafka's producer refuses what it takes for too large, so ours is an upper bound, and hardly more than its own."""
    letter = letter_of(record)
    assert estimated(letter) <= letter.size <= estimated(letter) + 15 + 10 * len(letter.headers)


@pytest.mark.parametrize("length", [0, 63, 64, 8191, 8192, 2**20])
def test_the_size_is_no_less_where_lengths_take_another_byte(length: int) -> None:
    """Also for lengths that take more bytes themselves."""
    letter = DeadLetter(b"k" * length, b"v" * length, {"n" * length: b"h" * length})
    assert estimated(letter) <= letter.size


@given(st.lists(RECORDS.map(letter_of), max_size=4))
def test_letters_arrive_as_they_were_packed(letters: list[DeadLetter]) -> None:
    """On the way from parse to write nothing about them changes."""
    assert unpacked(packed(letters)) == letters
    assert all(type(letter) is DeadLetter for letter in unpacked(packed(letters)))


@given(st.lists(RECORDS.map(letter_of), max_size=8), st.integers(1, 4), st.integers(1, 3000))
def test_parcels_are_as_large_as_they_may_be(letters: list[DeadLetter], max_count: int, max_bytes: int) -> None:
    """Every letter is in one of them, in its order; only one that is too large by itself makes a parcel too large."""
    parcels = list(in_parcels(letters, BatchLimits(max_count, max_bytes, max_batches=1)))
    assert [letter for parcel in parcels for letter in parcel] == letters
    assert all(parcels), "an empty parcel"
    sizes = [sum(letter.size for letter in parcel) for parcel in parcels]
    assert all(size <= max_bytes or len(parcel) == 1 for size, parcel in zip(sizes, parcels, strict=True))
    assert all(len(parcel) <= max_count for parcel in parcels)
    assert all(
        len(parcel) == max_count or size + after[0].size > max_bytes
        for parcel, size, after in zip(parcels, sizes, parcels[1:], strict=False)
    )
