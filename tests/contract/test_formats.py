"""What parsing and encoding promise, held against a real Qdrant: formats, ids, payloads, and the limits we mirror."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
from qdrant_client import grpc as qdrant
from qdrant_client import models

from scripts.stack.qdrant import Qdrant
from udfs.core.messages import ParseRules, parse_message
from udfs.core.operations import Upsert
from udfs.core.refusals import Refusal
from udfs.qdrant.encode import encode_upsert, join_upserts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qdrant_client import QdrantClient

UUID = "550e8400-e29b-41d4-a716-446655440000"
SIMPLE = UUID.replace("-", "")


class Server:
    """A real Qdrant with a collection for every format."""

    def __init__(self, client: QdrantClient, channel: grpc.Channel, rest_url: str) -> None:
        self.client = client
        # Bytes in, as the job sends them.
        self._upsert: Any = channel.unary_unary(
            "/qdrant.Points/Upsert", response_deserializer=qdrant.PointsOperationResponse.FromString
        )
        self._rest_url = rest_url

    def create_collections(self) -> None:
        """Create one collection per kind of vectors, all compared by dot product, which leaves vectors as they are."""
        dense = models.VectorParams(size=2, distance=models.Distance.DOT)
        max_sim = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
        multi = dense.model_copy(update={"multivector_config": max_sim})
        sparse = {"some-sparse": models.SparseVectorParams()}
        named = {"some-dense": dense, "some-other-dense": dense, "some-multi": multi}
        self.client.create_collection("dense", dense)
        self.client.create_collection("multi", multi)
        self.client.create_collection("named", named, sparse_vectors_config=sparse)
        self.client.create_collection("dense and sparse", dense, sparse_vectors_config=sparse)

    def write(self, upsert: Upsert) -> None:
        """Write a point as the job does, and wait until it is there."""
        answer = self._upsert(join_upserts(upsert.collection, [encode_upsert(upsert)]), timeout=30)
        assert answer.result.status == qdrant.UpdateStatus.Completed

    def read(self, collection: str, point_id: int | str) -> models.Record:
        """Return the one point with this id."""
        (record,) = self.client.retrieve(collection, [point_id], with_vectors=True)
        return record

    def takes(self, upsert: Upsert) -> bool:
        """Tell whether the server takes this point over gRPC."""
        try:
            self.write(upsert)
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL):
                raise  # the server is not well, which says nothing about the point
            return False
        return True

    def takes_json(self, collection: str, message: dict[str, Any]) -> bool:
        """Tell whether the server takes a message as a point over REST."""
        url = f"{self._rest_url}/collections/{collection}/points?wait=true"
        answer = httpx.put(url, json={"points": [message]}, trust_env=False)
        assert answer.status_code in (200, 400, 422), answer.text
        return answer.is_success


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server for all tests of this module."""
    with Qdrant() as running, grpc.insecure_channel(running.grpc_url.removeprefix("http://")) as channel:
        client = running.client()
        server = Server(client, channel, running.rest_url)
        server.create_collections()
        yield server
        client.close()


def parsed(collection: str, **fields: Any) -> Upsert | Refusal:
    """Parse a message with these fields."""
    text = json.dumps({"collection_name": collection, **fields}).encode()
    read = parse_message(None, text, ParseRules())
    assert isinstance(read, (Upsert, Refusal))
    return read


def point(collection: str, **fields: Any) -> Upsert:
    """Parse a message that must be good."""
    read = parsed(collection, **fields)
    assert isinstance(read, Upsert), read
    return read


def float32(value: Any) -> Any:
    """Return vectors as Qdrant keeps them: each number rounded to float32 once, sparse indices in order."""
    if isinstance(value, dict) and value.keys() == {"indices", "values"}:
        pairs = sorted(zip(value["indices"], value["values"], strict=True))
        return {"indices": [index for index, _ in pairs], "values": [float32(number) for _, number in pairs]}
    if isinstance(value, dict):
        return {name: float32(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [float32(item) for item in value]
    return struct.unpack("<f", struct.pack("<f", value))[0]


def plain(vector: Any) -> Any:
    """Return the client's vectors as they stand in a message."""
    if isinstance(vector, dict):
        return {name: plain(vector[name]) for name in sorted(vector)}
    return vector.model_dump() if isinstance(vector, models.SparseVector) else vector


def ordered(payload: Any) -> Any:
    """Return a payload with its names in order, which Qdrant does not keep."""
    if isinstance(payload, dict):
        return {name: ordered(payload[name]) for name in sorted(payload)}
    return [ordered(item) for item in payload] if isinstance(payload, list) else payload


SPARSE = {"indices": [4294967295, 0, 7], "values": [0.1, -0.2, 1e-45]}
EMPTY_SPARSE: dict[str, list[float]] = {"indices": [], "values": []}


@pytest.mark.parametrize(
    ("collection", "vector"),
    [
        pytest.param("dense", [0.1, -3.4e38], id="1 unnamed dense"),
        pytest.param("named", {"some-dense": [0.1, 1e-50], "some-other-dense": [7, -0.0]}, id="2 named dense"),
        pytest.param("named", {"some-sparse": SPARSE}, id="3 sparse"),
        pytest.param("named", {"some-multi": [[0.1, 0.2], [1.0, 2]]}, id="4 multi"),
        pytest.param("multi", [[0.1, 0.2], [3, 4], [5, 6]], id="4 unnamed multi"),
        pytest.param(
            "named",
            {"some-other-dense": [0.1, 0.2], "some-sparse": SPARSE, "some-multi": [[0.3, 0.4]]},
            id="5 mix",
        ),
        pytest.param("dense and sparse", {"": [0.1, 0.2], "some-sparse": SPARSE}, id="5 unnamed dense beside sparse"),
        pytest.param("named", {"some-sparse": EMPTY_SPARSE}, id="empty sparse"),
    ],
)
def test_vectors_come_back_as_float32(server: Server, collection: str, vector: Any) -> None:
    """Every format is stored with each number rounded once, and nothing else changed."""
    server.write(point(collection, id=UUID, vector=vector))
    stored = plain(server.read(collection, UUID).vector)
    assert repr(stored) == repr(float32(vector))  # by its text, 0.0 is not -0.0


def test_the_empty_name_is_the_unnamed_vector(server: Server) -> None:
    """A vector named "" is the unnamed one, in Qdrant as here."""
    server.write(point("dense", id=1, vector={"": [1, 2]}))
    assert server.read("dense", 1).vector == [1.0, 2.0]


@pytest.mark.parametrize("collection", ["dense", "multi", "named", "dense and sparse"])
@pytest.mark.parametrize("fields", [{}, {"vector": None}, {"vector": {}}], ids=["missing", "null", "empty"])
def test_a_point_may_have_no_vectors(server: Server, collection: str, fields: dict[str, Any]) -> None:
    """A point without vectors is stored without any, and with its payload."""
    server.write(point(collection, id=2, payload={"a": 1}, **fields))
    record = server.read(collection, 2)
    assert (record.vector, record.payload) == ({}, {"a": 1})


def test_a_point_is_replaced_whole(server: Server) -> None:
    """Writing an id again leaves nothing of the point that was there."""
    server.write(point("named", id=3, vector={"some-dense": [1, 2]}, payload={"old": 1}))
    server.write(point("named", id=3, vector={"some-other-dense": [3, 4]}))
    record = server.read("named", 3)
    assert (record.vector, record.payload) == ({"some-other-dense": [3.0, 4.0]}, {})


def nested(levels: int, *, in_lists: bool = False, leaf: Any = 1) -> Any:
    """Return a value inside so many objects or lists."""
    for _ in range(levels):
        leaf = [leaf] if in_lists else {"k": leaf}
    return leaf


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param({}, id="empty"),
        pytest.param({"int": 7, "float": 7.0, "minus zero": -0.0, "tiny": 5e-324, "large": 1e300}, id="numbers"),
        pytest.param({"low": -(2**63), "high": 2**63 - 1, "beyond double": 2**53 + 1}, id="integers"),
        pytest.param({"": "", "ü": "𝄞\n", "n\0": "a\0b"}, id="strings"),
        pytest.param({"t": True, "f": False, "n": None, "o": {}, "l": [], "m": [[], {}, None, ""]}, id="empty things"),
        pytest.param({"a": {"b": [{"c": [1, 1.0, "1", True]}]}}, id="nested"),
        pytest.param({"k": nested(32)}, id="32 objects"),
        pytest.param({"k": nested(31, leaf=[])}, id="an empty list in 31 objects"),
        pytest.param({"k": nested(48, in_lists=True)}, id="48 lists"),
        pytest.param({"k": nested(47, in_lists=True, leaf=[])}, id="48 lists, the last one empty"),
    ],
)
def test_a_payload_comes_back_as_it_was(server: Server, payload: dict[str, Any]) -> None:
    """Every value has the same type and digits, up to the deepest payload that is allowed."""
    server.write(point("dense", id=4, payload=payload))
    assert repr(ordered(server.read("dense", 4).payload)) == repr(ordered(payload))


def test_a_payload_one_level_deeper_is_too_much_for_the_server(server: Server) -> None:
    """The server calls it a fault of its own, which would be retried for ever: such a message is refused before."""
    payload = {"k": nested(49, in_lists=True)}
    assert not server.takes(Upsert("dense", 5, {}, payload))
    assert isinstance(parsed("dense", id=5, payload=payload), Refusal)


@pytest.mark.parametrize("number", [0, 1, 2**53 + 1, 2**63, 2**64 - 1, 7.0])
def test_an_integer_id_comes_back_exactly(server: Server, number: float) -> None:
    """Every integer of 64 bits without a sign is an id of its own."""
    server.write(point("dense", id=number))
    assert server.read("dense", int(number)).id == int(number)


SPELLINGS = [
    UUID,
    UUID.upper(),
    SIMPLE,
    SIMPLE.upper(),
    f"{{{UUID}}}",
    f"urn:uuid:{UUID}",
    f"urn:uuid:{UUID.upper()}",
    f"{{{SIMPLE}}}",
    f"urn:uuid:{SIMPLE}",
    f"URN:UUID:{UUID}",
    f"urn:uuid:{{{UUID}}}",
    f" {UUID}",
    f"{UUID}\n",
    f"{SIMPLE[:8]}-{SIMPLE[8:]}",
    UUID[:-1],
    "",
    "5",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_uuid_is_one_here_if_it_is_one_there(server: Server, spelling: str) -> None:
    """The server reads just the spellings that we read, as the same id."""
    read = parsed("named", id=spelling, payload={"spelling": spelling})
    assert server.takes(Upsert("named", spelling, {}, {})) == isinstance(read, Upsert)
    if isinstance(read, Upsert):
        server.write(read)
        assert read.id == server.read("named", spelling).id == UUID
        assert server.read("named", UUID).payload == {"spelling": spelling}


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        pytest.param("", "INVALID_ARGUMENT", id="empty"),
        pytest.param("a/b", "INVALID_ARGUMENT", id="slash"),
        pytest.param("a\0b", "INVALID_ARGUMENT", id="NUL"),
        pytest.param("a" * 256, "INVALID_ARGUMENT", id="256 characters"),
        pytest.param("𝄞" * 255, "NOT_FOUND", id="255 characters of 4 bytes"),
        pytest.param(' .\\:*?"<>|\x1f', "NOT_FOUND", id="odd characters"),
    ],
)
def test_a_name_is_refused_here_if_no_collection_can_have_it(server: Server, name: str, verdict: str) -> None:
    """What the server calls invalid is refused here; a collection that is only missing may be created yet."""
    with pytest.raises(grpc.RpcError) as error:
        server.write(Upsert(name, 1, {}, {}))
    assert error.value.code().name == verdict
    assert isinstance(parsed(name, id=1), Refusal) == (verdict == "INVALID_ARGUMENT")


def sparse(indices: Any, values: Any) -> dict[str, Any]:
    """Return a message's vector with one sparse vector."""
    return {"some-sparse": {"indices": indices, "values": values}}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"id": 1}, id="good"),
        pytest.param({"id": 2**64 - 1}, id="largest id"),
        pytest.param({"id": 2**64}, id="id too large"),
        pytest.param({"id": -1}, id="negative id"),
        pytest.param({"id": 1.5}, id="fraction id"),
        pytest.param({"id": True}, id="boolean id"),
        pytest.param({"id": None}, id="null id"),
        pytest.param({"id": "5"}, id="string id"),
        pytest.param({"vector": "x"}, id="vector a string"),
        pytest.param({"vector": 1}, id="vector a number"),
        pytest.param({"vector": []}, id="vector empty"),
        pytest.param({"vector": {"some-dense": []}}, id="named vector empty"),
        pytest.param({"vector": {"some-dense": None}}, id="named vector null"),
        pytest.param({"vector": {"some-dense": [1, None]}}, id="element null"),
        pytest.param({"vector": {"some-dense": [1, True]}}, id="element boolean"),
        pytest.param({"vector": {"some-dense": [1, "2"]}}, id="element a string"),
        pytest.param({"vector": {"some-dense": [1, 1e-60]}}, id="element too small"),
        pytest.param({"vector": {"some-multi": []}}, id="multi empty"),
        pytest.param({"vector": {"some-multi": [[]]}}, id="multi of an empty row"),
        pytest.param({"vector": {"some-multi": [[1, 2], [3]]}}, id="multi ragged"),
        pytest.param({"vector": {"some-multi": [[1, 2], 3]}}, id="multi of a row and a number"),
        pytest.param({"vector": {"some-multi": [[0.5, 2], [3, 4]]}}, id="multi good"),
        pytest.param({"vector": sparse([], [])}, id="sparse empty"),
        pytest.param({"vector": sparse([9, 1], [1, 2])}, id="sparse out of order"),
        pytest.param({"vector": sparse([1], [])}, id="sparse of unlike lengths"),
        pytest.param({"vector": sparse([1, 1], [1, 2])}, id="sparse index repeated"),
        pytest.param({"vector": sparse([-1], [1])}, id="sparse index negative"),
        pytest.param({"vector": sparse([1.5], [1])}, id="sparse index a fraction"),
        pytest.param({"vector": sparse([True], [1])}, id="sparse index boolean"),
        pytest.param({"vector": sparse([2**32 - 1], [1])}, id="sparse index largest"),
        pytest.param({"vector": sparse([2**32], [1])}, id="sparse index too large"),
        pytest.param({"vector": {"some-sparse": {"indices": [1]}}}, id="sparse without values"),
        pytest.param({"vector": {"some-sparse": {}}}, id="sparse without anything"),
        pytest.param({"payload": None}, id="payload null"),
        pytest.param({"payload": []}, id="payload a list"),
        pytest.param({"payload": "x"}, id="payload a string"),
        pytest.param({"payload": {"n": 2**63 - 1}}, id="payload with a large integer"),
    ],
)
def test_a_message_is_good_here_if_it_is_good_there(server: Server, fields: dict[str, Any]) -> None:
    """Given to the server as it stands, over REST, a message has the verdict that we gave it."""
    message = {"id": 1, "vector": {}, **fields}
    assert server.takes_json("named", message) == isinstance(parsed("named", **message), Upsert)


@pytest.mark.parametrize(
    ("fields", "is_good_here"),
    [
        pytest.param({"id": 7.0}, True, id="id a whole float"),
        pytest.param({"vector": sparse([7.0], [1])}, True, id="sparse index a whole float"),
        pytest.param({"vector": None}, True, id="vector null"),
        pytest.param(
            {"vector": {"some-multi": [[1, 2], [3, 4]]}}, True, id="multi that REST mistakes for indices and values"
        ),
        pytest.param({"vector": {"some-dense": [1, 1e39]}}, False, id="element infinite as float32"),
        pytest.param({"payload": {"n": 2**63}}, False, id="payload integer of 2^63"),
        pytest.param({"payload": {"n": 2**64}}, False, id="payload integer of 2^64, which REST rounds"),
    ],
)
def test_where_we_decide_otherwise_than_the_server(
    server: Server, fields: dict[str, Any], *, is_good_here: bool
) -> None:
    """Numbers are read by their value, and never changed without a word: these verdicts are not REST's."""
    message = {"id": 1, "vector": {}, **fields}
    assert isinstance(parsed("named", **message), Upsert) == is_good_here
    assert server.takes_json("named", message) != is_good_here
