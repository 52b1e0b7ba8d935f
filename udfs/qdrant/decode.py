"""Reads Qdrant's own protobuf messages. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from qdrant_client import grpc

from udfs.core.schemas import VectorConfig
from udfs.core.vectors import Dense, Multi, Sparse

if TYPE_CHECKING:
    from udfs.core.parcels import Operation
    from udfs.core.schemas import Schema


def schema_of(params: grpc.CollectionParams) -> Schema:
    """Return the vectors that a collection has."""
    config = params.vectors_config
    dense = {"": config.params} if config.HasField("params") else config.params_map.map
    kinds = {name: Multi if vector.HasField("multivector_config") else Dense for name, vector in dense.items()}
    sized = {name: VectorConfig(kinds[name], vector.size) for name, vector in dense.items()}
    return {**sized, **dict.fromkeys(params.sparse_vectors_config.map, VectorConfig(Sparse))}


def message_of(collection: str, operation: Operation) -> tuple[bytes, bytes | None]:
    """Return a key and a value that mean this operation: the message, rendered again.

    Vectors have the numbers that Qdrant would have stored, in float32; parsing the message gives the same operation.
    """
    names = {"collection_name": collection, "id": operation.id}
    if operation.point is None:
        return orjson.dumps(names), None
    point = grpc.UpsertPoints.FromString(operation.point).points[0]
    payload = {name: _value(item) for name, item in point.payload.items()}
    return orjson.dumps(names), orjson.dumps({**names, "vector": _vectors(point.vectors), "payload": payload})


def _vectors(vectors: grpc.Vectors) -> Any:
    if vectors.HasField("vector"):
        return _vector(vectors.vector)
    return {name: _vector(vector) for name, vector in vectors.vectors.vectors.items()}


def _vector(vector: grpc.Vector) -> Any:
    if vector.HasField("sparse"):
        return {"indices": list(vector.sparse.indices), "values": list(vector.sparse.values)}
    if vector.HasField("multi_dense"):
        return [list(row.data) for row in vector.multi_dense.vectors]
    return list(vector.dense.data)


def _value(value: grpc.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {name: _value(item) for name, item in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_value(item) for item in value.list_value.values]
    return None if kind is None or kind == "null_value" else getattr(value, kind)
