"""Signed actor tokens: who is calling, checked by every service itself, offline, at every call.

A token is `lethe-actor.<payload>.<signature>`, both base64url without padding; the payload is JSON with the
issuer's name in it, the signature Ed25519 (RFC 8032). A private key stays in the process that mints;
everybody has the public ones. Who may mint what is held up here, by the verifier, so that a service that is
broken into can't make itself an owner. This module must not know any permission: it says who somebody is,
never what they may do.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared import clock
from shared.door import CustomerDoor, Door, DoorKind, UserDoor
from shared.errors import Unauthenticated
from shared.file_version import Version, file_version
from shared.ids import Id
from shared.personal import NotPersonal
from shared.root_keys import write_secret

Kind = Literal["user", "customer", "service", "operator", "staff"]
Role = Literal["owner", "admin", "agent", "customer", "service", "operator", "staff"]
Scope = Literal["read", "write", "manage"]

SCOPES: Final[tuple[Scope, ...]] = ("read", "write", "manage")
"""From the narrowest; each holds those before it. "manage" is everything that the role may."""

StaffPurpose = Literal["support-request", "incident", "defect-analysis", "migration", "legal", "success-story"]
"""What the vendor's staff may look into an account for (mission I7). A fixed list: it stands in tokens and envelopes."""

OPERATOR_ISSUER: Final = "operator"
USER_ISSUER: Final = "identity"
OF_AN_ACCOUNT: Final[frozenset[Kind]] = frozenset({"user", "customer", "staff"})
"""Who belongs to one account, or looks into one, and is nobody in all others."""

MAX_TTL: Final[dict[Kind, timedelta]] = {
    "user": timedelta(hours=12),
    "customer": timedelta(seconds=60),
    "service": timedelta(hours=1),
    "operator": timedelta(hours=8),
    "staff": timedelta(seconds=60),
}
"""How long a token may be good at most: a session's absolute end; a working day; for staff so short that the grant is looked
at again each minute (security.md)."""

_DOORS: Final[dict[Kind, tuple[DoorKind, ...]]] = {
    "user": get_args(UserDoor), "customer": get_args(CustomerDoor), "service": (), "operator": ("operator",),
    "staff": ("staff grant",),
}  # fmt: skip

_PREFIX = "lethe-actor"
_SIGNED_AS = b"lethe actor token 1\n"
_ISSUER_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_MAX_TOKEN_LENGTH = 2048
_CLOCK_TOLERANCE = timedelta(seconds=60)

ActorName = Annotated[
    str, msgspec.Meta(min_length=1, max_length=64), NotPersonal("an opaque id, or a service's name")
]


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts. `id` is a user's, an operator's or a staff member's opaque id, a service's name, or, of a customer, the id
    of their person. Users and customers belong to an account; staff look into one, under a grant and for its purpose.
    `scope` narrows what the role may; services and operators always have all of it, staff only read.

    `door` is what they showed; a service shows nothing. `issued_at` and `expires_at` are set by minting; before that they are
    None.
    """

    kind: Kind
    id: ActorName
    account_id: Id | None = None
    role: Role
    scope: Scope = "manage"
    door: Door | None = None
    grant_id: Id | None = None
    purpose: StaffPurpose | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None


class _Payload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    issuer: Annotated[str, NotPersonal("the name of a service")]
    kind: Kind
    id: ActorName
    account_id: Id | None
    role: Role
    scope: Scope  # a token from before there were scopes is refused, as anything that does not say what it allows
    door: Door | None = None
    grant_id: Id | None = None
    purpose: StaffPurpose | None = None
    issued_at: datetime
    expires_at: datetime


_payload_decoder = msgspec.json.Decoder(_Payload)
_payload_encoder = msgspec.json.Encoder(order="deterministic")


def service_actor(service: str) -> Actor:
    """The actor as which a service calls another."""
    return Actor(kind="service", id=service, role="service")


def may_mint(issuer: str, actor: Actor) -> bool:
    """Whether an issuer may vouch for this actor: identity for users and customers, and for staff under a grant, the
    operator's key for operators, each service for itself, and nobody for anybody else."""
    is_staff = actor.kind == "staff"
    if (actor.grant_id is not None, actor.purpose is not None) != (is_staff, is_staff):
        return False
    if actor.door is not None and actor.door.kind not in _DOORS[actor.kind]:
        return False
    match actor.kind:
        case "user":
            return (
                issuer == USER_ISSUER
                and actor.account_id is not None
                and actor.role in ("owner", "admin", "agent")
            )
        case "customer":
            return issuer == USER_ISSUER and actor.account_id is not None and actor.role == "customer"
        case "operator":
            operates = issuer == OPERATOR_ISSUER and actor.role == "operator"
            return operates and actor.account_id is None and actor.scope == "manage"
        case "service":
            own = actor.id == issuer != OPERATOR_ISSUER
            return own and actor.account_id is None and actor.role == "service" and actor.scope == "manage"
        case "staff":
            reads = actor.role == "staff" and actor.scope == "read"
            return issuer == USER_ISSUER and actor.account_id is not None and reads


class TokenIssuer:
    """Mints tokens with the private key of one issuer, a file of 32 bytes
    (`root-keys/<issuer>/token.key`).
    """

    def __init__(self, issuer_name: str, key_path: Path) -> None:
        self.issuer_name = issuer_name
        self._key = Ed25519PrivateKey.from_private_bytes(key_path.read_bytes())

    def mint(self, actor: Actor, ttl: timedelta, not_after: datetime | None = None) -> str:
        """A token for `actor` that is good for `ttl` from now, and no longer than `not_after`. `ValueError` if this
        issuer may not, or not for so long, or if it would be over already.
        """
        if not may_mint(self.issuer_name, actor):
            raise ValueError(f"{self.issuer_name} may not mint a token for this {actor.kind}")
        if not timedelta(0) < ttl <= MAX_TTL[actor.kind]:
            raise ValueError(f"a {actor.kind}'s token is good for {MAX_TTL[actor.kind]} at most")
        now = clock.now()
        expires_at = now + ttl if not_after is None else min(now + ttl, not_after)
        if expires_at <= now:
            raise ValueError("a token that would be over already")
        payload = _payload_encoder.encode(
            _Payload(
                issuer=self.issuer_name, kind=actor.kind, id=actor.id, account_id=actor.account_id,
                role=actor.role, scope=actor.scope, door=actor.door, grant_id=actor.grant_id,
                purpose=actor.purpose, issued_at=now, expires_at=expires_at,
            )
        )  # fmt: skip
        return f"{_PREFIX}.{_encode(payload)}.{_encode(self._key.sign(_SIGNED_AS + payload))}"


class TokenVerifier:
    """Checks tokens against the public keys in a folder, `<issuer>.token.pub` each. A replaced key file
    counts at once.
    """

    def __init__(self, verifiers_dir: Path) -> None:
        self._folder = verifiers_dir
        self._keys: dict[str, tuple[Version | None, Ed25519PublicKey]] = {}

    def verify(self, token: str, now: datetime) -> Actor:
        """The actor of a token. Raises `Unauthenticated`, without saying why, on anything that is wrong with
        it.
        """
        try:
            return self._verified(token, now)
        except (ValueError, OSError, InvalidSignature, msgspec.MsgspecError):
            raise Unauthenticated() from None

    def _verified(self, token: str, now: datetime) -> Actor:
        if len(token) > _MAX_TOKEN_LENGTH or not token.isascii():
            raise ValueError("not a token")
        prefix, encoded_payload, encoded_signature = token.split(".")
        payload = _decode(encoded_payload)
        claims = _payload_decoder.decode(payload)
        if prefix != _PREFIX or not _ISSUER_NAME.fullmatch(claims.issuer):
            raise ValueError("not a token")
        self._public_key(claims.issuer).verify(_decode(encoded_signature), _SIGNED_AS + payload)
        actor = Actor(
            kind=claims.kind,
            id=claims.id,
            account_id=claims.account_id,
            role=claims.role,
            scope=claims.scope,
            door=claims.door,
            grant_id=claims.grant_id,
            purpose=claims.purpose,
            issued_at=claims.issued_at,
            expires_at=claims.expires_at,
        )
        lifetime = claims.expires_at - claims.issued_at
        if not may_mint(claims.issuer, actor) or not timedelta(0) < lifetime <= MAX_TTL[actor.kind]:
            raise ValueError("an issuer went beyond what it may mint")
        if not claims.issued_at - _CLOCK_TOLERANCE <= now < claims.expires_at:
            raise ValueError("a token out of its time")
        return actor

    def _public_key(self, issuer: str) -> Ed25519PublicKey:
        path = self._folder / f"{issuer}.token.pub"
        version = file_version(path)
        held = self._keys.get(issuer)
        if version is None or held is None or held[0] != version:
            held = (
                version,
                Ed25519PublicKey.from_public_bytes(base64.b64decode(path.read_text().strip(), validate=True)),
            )
            self._keys[issuer] = held
        return held[1]


class TokenSource:
    """Gives a good token of one actor at every call: minted when needed, kept for half of its life."""

    def __init__(self, issuer: TokenIssuer, actor: Actor, ttl: timedelta = timedelta(minutes=10)) -> None:
        self._mint: Callable[[], str] = lambda: issuer.mint(actor, ttl)
        self._half_life = ttl / 2
        self._held: tuple[datetime, str] | None = None

    def __call__(self) -> str:
        held, now = self._held, clock.now()
        if held is None or now - held[0] >= self._half_life:
            held = (now, self._mint())
            self._held = held
        return held[1]


def create_token_key(root_keys_dir: Path, verifiers_dir: Path, issuer: str) -> None:
    """Makes an issuer's key pair where it has none: the private key readable by its owner only, the public
    one for all.

    What exists stays; a public key that is missing (a crash in between) is made again from the private one.
    """
    if not _ISSUER_NAME.fullmatch(issuer):
        raise ValueError("an issuer's name is lower-case letters, digits and hyphens")
    private_path = root_keys_dir / issuer / "token.key"
    if not private_path.exists():
        write_secret(private_path, Ed25519PrivateKey.generate().private_bytes_raw())
    public_key = Ed25519PrivateKey.from_private_bytes(private_path.read_bytes()).public_key()
    verifiers_dir.mkdir(parents=True, exist_ok=True)
    public_path = verifiers_dir / f"{issuer}.token.pub"
    text = base64.b64encode(public_key.public_bytes_raw()).decode() + "\n"
    if not public_path.exists() or public_path.read_text() != text:
        beside = public_path.with_suffix(".new")
        beside.write_text(text)
        beside.replace(public_path)


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        octets = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("not base64url") from None
    if _encode(octets) != text:  # one token has one spelling only
        raise ValueError("not base64url")
    return octets
