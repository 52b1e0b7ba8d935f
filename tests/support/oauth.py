"""An identity provider, a broker that takes its tokens, and what flink-conf/confluent/README.md says of both."""

from __future__ import annotations

import base64
import json
import re
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from scripts.stack.processes import LOCALHOST
from tests.support.pages import CONFLUENT, replaced, section
from tests.support.secured import SecuredKafka

if TYPE_CHECKING:
    from pathlib import Path

    from trustme import CA, LeafCert
    from typing_extensions import Self

AUDIENCE, SCOPE = "kafka", "read-and-write"
ALLOWED = "org.apache.kafka.sasl.oauthbearer.allowed.urls"
_OAUTH = "org.apache.kafka.common.security.oauthbearer"
_TOKEN_PATH, _KEYS_PATH = "/oauth2/token", "/keys"
_KEY_ID = "the-only-key"
_SECONDS = 3600


class IdentityProvider:
    """Issues signed tokens, over HTTP on 127.0.0.1, to whoever shows that they are the client `me` by a secret.

    Args:
        secret: What the client must show.

    Attributes:
        audience: For whom its tokens are.
        answers: How many requests it answered, by path and status.
    """

    def __init__(self, secret: str) -> None:
        self.audience = AUDIENCE
        self.answers: Counter[tuple[str, int]] = Counter()
        self._credentials = f"Basic {base64.b64encode(f'me:{secret}'.encode()).decode()}"
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._server = _HttpServer(self)

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its name in its tokens."""
        return f"http://{LOCALHOST}:{self._server.server_address[1]}"

    @property
    def token_url(self) -> str:
        """Where it issues tokens."""
        return self.url + _TOKEN_PATH

    @property
    def keys_url(self) -> str:
        """Where it shows the keys that they are signed with."""
        return self.url + _KEYS_PATH

    @property
    def issued(self) -> int:
        """How many tokens it has issued."""
        return self.answers[_TOKEN_PATH, 200]

    def keys(self) -> dict[str, Any]:
        """Return its public keys, as a JWKS."""
        key = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**key, "kid": _KEY_ID, "alg": "RS256", "use": "sig"}]}

    def grant(self, credentials: str | None, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        """Return status and body of the answer to a client that asks for a token, as in RFC 6749, section 4.4."""
        if credentials != self._credentials:
            return 401, {"error": "invalid_client", "error_description": "The client secret is wrong"}
        if form != {"grant_type": ["client_credentials"], "scope": [SCOPE]}:
            return 400, {"error": "invalid_request"}
        return 200, {"access_token": self._token(), "token_type": "Bearer", "expires_in": _SECONDS, "scope": SCOPE}

    def _token(self) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": self.audience, "sub": "me", "scope": SCOPE, "iat": now, "exp": now + _SECONDS}
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": _KEY_ID})


class _HttpServer(ThreadingHTTPServer):
    def __init__(self, provider: IdentityProvider) -> None:
        self.provider = provider
        super().__init__((LOCALHOST, 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer

    def do_GET(self) -> None:
        found = self.path == _KEYS_PATH
        self._answer(*((200, self.server.provider.keys()) if found else (404, {})))

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        found = self.path == _TOKEN_PATH
        self._answer(*(self.server.provider.grant(self.headers["Authorization"], form) if found else (404, {})))

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.server.provider.answers[self.path, status] += 1
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


class OAuthKafka(SecuredKafka):
    """A broker that takes tokens only, and a provider's only, on its listener SASL_SSL.

    Args:
        certificate: What it shows there.
        authority: Who signed it.
        provider: Whose tokens it takes.
    """

    def __init__(self, certificate: LeafCert, authority: CA, provider: IdentityProvider) -> None:
        super().__init__(certificate, authority)
        self._provider = provider
        self._java_options = (f"-D{ALLOWED}={provider.keys_url}",)

    def _format(self, *more: str) -> None:
        super()._format(*more)
        listener, handler = "listener.name.sasl_ssl", f"{_OAUTH}.OAuthBearerValidatorCallbackHandler"
        settings = {
            f"{listener}.sasl.enabled.mechanisms": "OAUTHBEARER",
            f"{listener}.oauthbearer.sasl.jaas.config": f"{_OAUTH}.OAuthBearerLoginModule required;",
            f"{listener}.oauthbearer.sasl.server.callback.handler.class": handler,
            # Kafka 4.1.0's default looks neither at the signature nor at who the token is for.
            "sasl.oauthbearer.jwt.validator.class": f"{_OAUTH}.BrokerJwtValidator",
            "sasl.oauthbearer.jwks.endpoint.url": self._provider.keys_url,
            "sasl.oauthbearer.expected.issuer": self._provider.url,
            "sasl.oauthbearer.expected.audience": AUDIENCE,
        }
        with self._properties.open("a") as file:
            file.writelines(f"\n{name}={value}" for name, value in settings.items())  # of two, the later one counts


class Page:
    """What the page says of Kafka with tokens, with the addresses and secrets of this run in place of its examples.

    Args:
        provider: Where tokens come from.
        folder: Where the file with the secret is put.
    """

    def __init__(self, provider: IdentityProvider, folder: Path) -> None:
        self._table = {
            "https://PROVIDER/oauth2/token": provider.token_url,
            "/run/secrets/kafka-to-qdrant": str(folder),
            'clientId="ID"': 'clientId="me"',
            'scope="SCOPE"': f'scope="{SCOPE}"',
            '"lkc-…"': '"lkc-1"',
            '"pool-…"': '"pool-1"',
        }
        text = section(CONFLUENT, "Reading Confluent Cloud")
        self._before, _, self._after = text.partition("**With an identity provider**")

    def properties(self) -> dict[str, str]:
        """Return the properties of Kafka's client, but for its address."""
        name = r"properties\.((?!bootstrap)\S+)"
        return {**self._pairs(name, self._before), **self._pairs(name, self._after)}

    def java_options(self) -> dict[str, str]:
        """Return the options of Flink's processes, by the names of Flink's options."""
        return self._pairs(r"(env\.java\.opts\.\w+)", self._after)

    def login(self, secret: str) -> str:
        """Return the line of the file with the client's secret."""
        [line] = re.findall(r"^    (org\.apache\..* required .*;)$", self._after, re.MULTILINE)
        return replaced(line, self._table).replace('"SECRET"', f'"{secret}"')

    def _pairs(self, name: str, text: str) -> dict[str, str]:
        lines = re.findall(rf"^    {name}: (.*)$", text, re.MULTILINE)
        return {key: replaced(value, self._table) for key, value in lines}
