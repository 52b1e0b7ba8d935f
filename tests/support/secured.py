"""What it takes to speak to a Qdrant that wants TLS or a key with rights."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
from typing import TYPE_CHECKING, Any

from scripts.stack.processes import is_listening
from scripts.stack.qdrant import Qdrant

if TYPE_CHECKING:
    from pathlib import Path


class TlsQdrant(Qdrant):
    """A server with a certificate that nobody trusts, on both its ports.

    Args:
        folder: Where the certificate is made, by openssl.
    """

    def __init__(self, folder: Path) -> None:
        options = "-x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
        subprocess.run(["openssl", "req", *options.split()], check=True, capture_output=True, cwd=folder)
        files = {"QDRANT__TLS__CERT": f"{folder}/cert.pem", "QDRANT__TLS__KEY": f"{folder}/key.pem"}
        super().__init__(env={"QDRANT__SERVICE__ENABLE_TLS": "true", **files})

    def _is_ready(self) -> bool:
        return all(is_listening(int(url.rpartition(":")[2])) for url in (self.rest_url, self.grpc_url))


def token(key: str, **claims: Any) -> str:
    """Return a JWT with these claims, signed with the server's key as Qdrant wants it."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    signature = hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
