"""What an operator can say to a gateway, and what ends the start."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path

import pytest

from services.gateway.settings import GatewaySettings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any database, as a gateway on a machine of its own has."""
    (tmp_path / "stack.json").write_text(json.dumps({"amqp_url": "amqp://there", "databases": {}}))
    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    return tmp_path


def test_by_default_nobody_is_trusted_and_nobody_signs_up(home: Path) -> None:
    """Proxies, foreign pages and sign-up have to be asked for."""
    found = GatewaySettings.load({})
    assert ((), (), False, None) == (found.trusted_proxies, found.cors_origins, found.sign_up_open, found.http_port)
    assert home / "gateway" / "tls.crt" == found.tls_certificate
    assert (False, frozenset()) == (found.logs_public, found.log_tokens)


def test_what_is_said_counts() -> None:
    """Proxies as networks, origins one by one."""
    said = {
        "LETHE_GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::/32", "LETHE_GATEWAY_CORS_ORIGINS": "https://desk.example",
        "LETHE_GATEWAY_SIGN_UP": "open", "LETHE_GATEWAY_HTTP_PORT": "8080", "PATH": "/bin",
    }  # fmt: skip
    found = GatewaySettings.load(said)
    assert (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")) == found.trusted_proxies
    assert (("https://desk.example",), True, 8080) == (found.cors_origins, found.sign_up_open, found.http_port)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRUSTED_PROXIES", "10.0.0.1/8"), ("TRUSTED_PROXIES", "the proxy"), ("TRUSTED_PROXY", "10.0.0.0/8"),
        ("CORS_ORIGINS", "*"), ("CORS_ORIGINS", "http://desk.example"), ("CORS_ORIGINS", "https://desk.example/x"),
        ("SIGN_UP", "yes"), ("HTTPS_PORT", "0"), ("HTTPS_PORT", "x"), ("SOURCE_RATE", "-1"), ("SOURCE_RATE", "inf"),
        ("BODY_SECONDS", "nan"), ("LOGS", "open"), ("LOGS", ""), ("LOG_TOKENS", "a token"), ("LOG_TOKENS", "AB" * 32),
        ("BODY_BYTES", "1000"),
    ],
)  # fmt: skip
def test_what_can_not_be_understood_ends_the_start(name: str, value: str) -> None:
    """A slip of the pen must not open anything; nor must a setting that there is not."""
    with pytest.raises(ValueError):
        GatewaySettings.load({f"LETHE_GATEWAY_{name}": value})
