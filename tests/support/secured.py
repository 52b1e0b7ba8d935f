"""Servers that want TLS, passwords, certificates or keys with rights, and what it takes to speak to them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
from typing import TYPE_CHECKING, Any

from confluent_kafka.admin import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from qdrant_client import QdrantClient

from scripts.stack.kafka import Kafka
from scripts.stack.processes import LOCALHOST, free_port, is_listening
from scripts.stack.qdrant import Qdrant

if TYPE_CHECKING:
    from pathlib import Path

    from trustme import CA, LeafCert


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

    def trusting_client(self, ca_file: Path) -> QdrantClient:
        """Return a client, over REST, that trusts this authority and has the server's key; the caller closes it."""
        return QdrantClient(
            url=self.rest_url.replace("http", "https"),
            api_key=self.api_key,
            verify=ssl.create_default_context(cafile=ca_file),
            check_compatibility=False,
        )

    def _is_ready(self) -> bool:
        return all(is_listening(int(url.rpartition(":")[2])) for url in (self.rest_url, self.grpc_url))


PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
SHADED = "org.apache.flink.kafka.shaded."  # what precedes them in Flink's connector
_LISTENERS = ("SASL_PLAINTEXT", "SASL_SSL", "SSL")


class SecuredKafka(Kafka):
    """A broker that listens in other ways, too, where user `me` has the password `right`.

    Args:
        certificate: What it shows on the listeners SASL_SSL and SSL.
        authority: Whose certificates it accepts from clients on the listener SSL, which must show one.

    Attributes:
        at: The address of each of these listeners.
    """

    def __init__(self, certificate: LeafCert, authority: CA) -> None:
        super().__init__()
        self.at = {name: f"{LOCALHOST}:{free_port()}" for name in _LISTENERS}
        self._key_store = write_key_store(self.home / "broker.pem", certificate)
        self._trusted = self.home / "trusted.pem"
        authority.cert_pem.write_to_path(self._trusted)

    @property
    def sasl(self) -> str:
        """The address of the listener that wants a password, without TLS."""
        return self.at["SASL_PLAINTEXT"]

    def change_password(self, password: str) -> None:
        """Let the user `me` have another one for SCRAM-SHA-512, which is asked for from the next login on."""
        kind = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, iterations=8192)
        change = UserScramCredentialUpsertion("me", kind, password.encode())
        admin = self.admin()
        admin.alter_user_scram_credentials([change])["me"].result(timeout=30)

    def _format(self, *more: str) -> None:
        super()._format(*more, "--add-scram", "SCRAM-SHA-512=[name=me,password=right]")
        listeners = ",".join(f"{name}://{address}" for name, address in self.at.items())
        text = self._properties.read_text().replace("\nlisteners=", f"\nlisteners={listeners},", 1)
        protocols = ",".join(f"{name}:{name}" for name in (*self.at, "PLAINTEXT"))
        login = f'{PLAIN} required user_me="right";'
        settings = {
            "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,{protocols}",
            "listener.name.sasl_plaintext.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": login,
            "listener.name.sasl_ssl.plain.sasl.jaas.config": login,
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{SCRAM} required;",
            "listener.name.ssl.ssl.client.auth": "required",
            **showing(self._key_store),
            **trusting(self._trusted),
        }
        self._properties.write_text(text + "\n".join(f"{name}={value}" for name, value in settings.items()))


def login(module: str, phrase: str, user: str = "me") -> str:
    """Return the JAAS entry by which a user shows a password."""
    return f'{module} required username="{user}" password="{phrase}";'


def login_from(folder: Path) -> dict[str, str]:
    """Return what Kafka's client in Flink needs to find its JAAS entry in the folder's file `jaas`."""
    return {
        "sasl.jaas.config": f"${{secrets:{folder}:jaas}}",
        "config.providers": "secrets",
        "config.providers.secrets.class": f"{SHADED}org.apache.kafka.common.config.provider.DirectoryConfigProvider",
    }


def trusting(ca_file: Path | str) -> dict[str, str]:
    """Return what Kafka's client needs to trust the authority whose certificate is in this file."""
    return {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(ca_file)}


def showing(key_store: Path) -> dict[str, str]:
    """Return what Kafka's client needs to show the certificate in this file."""
    return {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(key_store)}


def write_key_store(file: Path, certificate: LeafCert) -> Path:
    """Write private key and certificates as Kafka reads them, and return the file."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(pem + b"".join(part.bytes() for part in certificate.cert_chain_pems))
    return file


def token(key: str, **claims: Any) -> str:
    """Return a JWT with these claims, signed with the server's key as Qdrant wants it."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    signature = hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
