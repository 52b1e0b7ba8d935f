"""The table of cases against a real Qdrant: the good are stored as it says, and refusals have their reasons."""

from __future__ import annotations

import asyncio
import json
import math
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from grpc import StatusCode
from qdrant_client import grpc, models

from scripts.stack.workload import compare
from tests.cases import CASES, GOOD, PREPARATION, REFUSED, create_collections, points_left
from tests.support.cases import NAMED
from tests.support.store import connection_to
from udfs.core.messages import ParseRules, parse_message
from udfs.core.operations import Delete
from udfs.core.refusals import Refusal
from udfs.qdrant.client import PointsClient
from udfs.qdrant.encode import encode_upsert
from udfs.qdrant.judge import Action, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from qdrant_client import QdrantClient

    from scripts.stack.qdrant import Qdrant
    from tests.cases import Case
    from udfs.qdrant.judge import Answer

UNUSED = 1


class Server:
    """A real Qdrant with the collections of the cases."""

    def __init__(self, qdrant: Qdrant, client: QdrantClient) -> None:
        self._qdrant = qdrant
        self.client = client
        create_collections(client)

    def points(self) -> PointsClient:
        """Return a client of the job's own, for the loop that is running."""
        return PointsClient(connection_to(self._qdrant))

    def ask(self, collection: str, point: bytes) -> Answer:
        """Send one point, and return what the server says."""

        async def send_one() -> Answer:
            return await self.points().upsert(collection, [point])

        return asyncio.run(send_one())


@pytest.fixture(scope="module")
def server(qdrant: Qdrant) -> Iterator[Server]:
    """The server for all tests of this module."""
    with closing(qdrant.client()) as client:
        yield Server(qdrant, client)


@pytest.fixture(scope="module")
def answers(server: Server) -> Mapping[str, Answer]:
    """What Qdrant said to each case that parsing lets pass, sent one after another as the job sends them."""

    async def send_all() -> dict[str, Answer]:
        points = server.points()
        return {case.id: await send(points, case) for case in PREPARATION + CASES if not case.code_said_by("parse")}

    return asyncio.run(send_all())


async def send(points: PointsClient, case: Case) -> Answer:
    """Send what the case asks for."""
    operation = parse_message(case.key, case.value, ParseRules())
    assert not isinstance(operation, Refusal), operation
    if isinstance(operation, Delete):
        return await points.delete(operation.collection, [operation.id])
    return await points.upsert(operation.collection, [encode_upsert(operation)])


def named(case: Case) -> str:
    """Return how pytest shows a case."""
    return case.id


@pytest.mark.parametrize("case", PREPARATION + GOOD, ids=named)
def test_a_good_case_is_taken(answers: Mapping[str, Answer], case: Case) -> None:
    """Qdrant takes whatever the table says that it takes."""
    assert judge(answers[case.id]).action is Action.DONE, answers[case.id]


@pytest.mark.parametrize("case", [case for case in GOOD if case.left and case.left.payload], ids=named)
def test_a_payload_comes_back_to_the_digit(answers: Mapping[str, Answer], server: Server, case: Case) -> None:
    """Every value of a payload has its type and digits: 1, 1.0 and true are not the same here."""
    assert judge(answers[case.id]).action is Action.DONE
    assert case.point is not None
    assert case.left is not None
    (record,) = server.client.retrieve(case.point[0], [case.point[1]])
    # Qdrant does not keep the order of names.
    assert json.dumps(record.payload, sort_keys=True) == json.dumps(case.left.payload, sort_keys=True)


@pytest.mark.parametrize("case", [case for case in REFUSED if not case.code_said_by("parse")], ids=named)
def test_what_the_collection_refuses_the_server_refuses(answers: Mapping[str, Answer], case: Case) -> None:
    """No code of the collection is given to what the server would have taken."""
    expected = Action.ABSENT if case.code == "collection-unknown" else Action.REFUSED
    assert judge(answers[case.id]).action is expected, answers[case.id]


def test_qdrant_holds_just_what_the_table_says(answers: Mapping[str, Answer], server: Server) -> None:
    """Every good case is read back as it was, every tombstone's point is gone, and nothing refused is there."""
    assert len(answers) > len(GOOD)
    difference = compare(server.client, points_left())
    assert not difference, difference


def dense(*numbers: float) -> grpc.Vector:
    """Return a dense vector as protobuf has it, good or bad."""
    return grpc.Vector(dense=grpc.DenseVector(data=numbers))


def sparse(indices: list[int], values: list[float]) -> grpc.Vector:
    """Return a sparse vector as protobuf has it, good or bad."""
    return grpc.Vector(sparse=grpc.SparseVector(indices=indices, values=values))


def multi(*rows: list[float]) -> grpc.Vector:
    """Return a multi-vector as protobuf has it, good or bad."""
    return grpc.Vector(multi_dense=grpc.MultiDenseVector(vectors=[grpc.DenseVector(data=row) for row in rows]))


def request(
    name: str, vector: grpc.Vector, payload: Mapping[str, grpc.Value] | None = None, number: int = UNUSED
) -> bytes:
    """Return a point as the job sends it, with a vector that the job would not send."""
    vectors = grpc.Vectors(vectors=grpc.NamedVectors(vectors={name: vector}))
    point = grpc.PointStruct(id=grpc.PointId(num=number), vectors=vectors, payload=payload or {})
    return grpc.UpsertPoints(points=[point]).SerializeToString()


def code_of(**fields: Any) -> str:
    """Return the code that a message with these fields is refused for."""
    text = json.dumps({"collection_name": NAMED, "id": UNUSED, **fields}).encode()
    read = parse_message(None, text, ParseRules())
    assert isinstance(read, Refusal)
    return read.code


@pytest.mark.parametrize(
    ("message", "vector", "code", "words"),
    [
        pytest.param([], dense(), "vector-empty", "expected dim: 2, got 0", id="dense empty"),
        pytest.param([[]], multi([]), "vector-empty", "all vectors must be non-empty", id="one row, empty"),
        pytest.param([[1, 2], []], multi([1, 2], []), "vector-empty", "must be non-empty", id="second row empty"),
        pytest.param([[1, 2], [1]], multi([1, 2], [1]), "multi-ragged", "must have the same dimension", id="ragged"),
        pytest.param(
            {"indices": [1, 1], "values": [1, 2]}, sparse([1, 1], [1, 2]), "sparse-repeated", "unique", id="repeated"
        ),
        pytest.param(
            {"indices": [1], "values": []}, sparse([1], []), "sparse-length", "same length as indices", id="no value"
        ),
        pytest.param(
            {"indices": [1], "values": [1, 2]}, sparse([1], [1, 2]), "sparse-length", "same length", id="no index"
        ),
    ],
)
def test_a_vector_that_is_refused_here_is_refused_there(
    server: Server, *, message: Any, vector: grpc.Vector, code: str, words: str
) -> None:
    """The server would fail the whole request for what protobuf can carry and parsing refuses."""
    name = str(vector.WhichOneof("vector")).removesuffix("_dense")
    assert code_of(vector={name: message}) == code
    answer = server.ask(NAMED, request(name, vector))
    assert answer.code is StatusCode.INVALID_ARGUMENT
    assert words in answer.details
    assert server.client.retrieve(NAMED, [UNUSED]) == []


def test_text_that_is_not_utf8_fails_a_whole_request(server: Server) -> None:
    """The server cannot read a request with such a text at all, and calls that a fault of its own."""
    assert code_of(payload={"a": "\ud834"}) == "json-encoding"
    good = request("dense", dense(1, 2), {"a": grpc.Value(string_value="half")})
    answer = server.ask(NAMED, good.replace(b"half", b"\xed\xa0\xb4!"))
    assert answer.code is StatusCode.INTERNAL
    assert "data is not UTF-8 encoded" in answer.details
    assert server.client.retrieve(NAMED, [UNUSED]) == []


def test_json_has_no_number_beyond_a_double_there_either(server: Server) -> None:
    """As a double it would be infinity, which the server cannot keep in a payload."""
    assert code_of(payload={"a": 10**400}) == "json-number"
    answer = server.ask(NAMED, request("dense", dense(1, 2), {"a": grpc.Value(double_value=math.inf)}))
    assert answer.code is StatusCode.INVALID_ARGUMENT
    assert answer.details == "cannot convert to json number"


def test_an_infinite_vector_would_be_taken_and_spoil_searches(server: Server) -> None:
    """This is refused here alone: the server would store infinity, whose score is no number, and show it first."""
    assert code_of(vector={"dense": [1e39, -1e39]}) == "vector-overflow"
    name = "cases-infinite"
    server.client.create_collection(name, models.VectorParams(size=2, distance=models.Distance.DOT))
    answers = [
        server.ask(name, request("", dense(1, 0))),
        server.ask(name, request("", dense(1e39, -1e39), number=2)),
    ]
    assert [judge(answer).action for answer in answers] == [Action.DONE] * 2
    found = server.client.query_points(name, query=[1.0, 0.5]).points
    server.client.delete_collection(name)
    assert [point.id for point in found] == [2, 1]
    assert math.isnan(found[0].score)


@pytest.mark.parametrize(
    ("code", "fields", "put"),
    [
        pytest.param("id-negative", {"id": -1}, lambda: grpc.PointId(num=-1), id="id negative"),
        pytest.param("id-too-large", {"id": 2**64}, lambda: grpc.PointId(num=2**64), id="id 2^64"),
        pytest.param(
            "sparse-index", {"vector": {"sparse": {"indices": [-1], "values": [1]}}}, lambda: sparse([-1], [1]), id="-1"
        ),
        pytest.param(
            "sparse-index",
            {"vector": {"sparse": {"indices": [2**32], "values": [1]}}},
            lambda: sparse([2**32], [1]),
            id="index 2^32",
        ),
        pytest.param(
            "payload-integer", {"payload": {"a": 2**63}}, lambda: grpc.Value(integer_value=2**63), id="payload 2^63"
        ),
    ],
)
def test_protobuf_has_no_room_for_what_is_refused(code: str, fields: dict[str, Any], put: Callable[[], object]) -> None:
    """Such a number cannot be sent as it is, so nobody could take it."""
    assert code_of(**fields) == code
    with pytest.raises(ValueError, match="out of range"):
        put()
