"""What it takes to speak to a Qdrant that wants TLS or a key with rights."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from scripts.stack.processes import is_listening
from scripts.stack.qdrant import Qdrant

if TYPE_CHECKING:
    from pathlib import Path

    from trustme import LeafCert


class TlsQdrant(Qdrant):
    """A server that speaks TLS only, on both its ports.

    Args:
        folder: Where its certificate is put.
        certificate: What it shows.
        api_key: What clients must show.
    """

    def __init__(self, folder: Path, certificate: LeafCert, api_key: str | None = None) -> None:
        chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
        (folder / "cert.pem").write_bytes(chain)
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        files = {"QDRANT__TLS__CERT": f"{folder}/cert.pem", "QDRANT__TLS__KEY": f"{folder}/key.pem"}
        super().__init__(api_key=api_key, env={"QDRANT__SERVICE__ENABLE_TLS": "true", **files})

    @property
    def https_url(self) -> str:
        """The address of the gRPC interface, in the form that the setting `qdrant.grpc.url` takes."""
        return self.grpc_url.replace("http", "https")

    def _is_ready(self) -> bool:
        return all(is_listening(int(url.rpartition(":")[2])) for url in (self.rest_url, self.grpc_url))


def token(key: str, **claims: Any) -> str:
    """Return a JWT with these claims, signed with the server's key as Qdrant wants it."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    signature = hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
