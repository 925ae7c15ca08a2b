"""The databases and roles of the services on a server, made by its superuser. Knows no table; schemas come by migration."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import parse_dsn

from deploy.stack.scram import verifier
from shared.settings import ROLES

_OURS = re.compile("[0-9a-f]{48}")
"""A password that `create` made. Another one, which somebody put into `stack.json`, may be one that can be guessed: the server
makes its verifier, with as many iterations as it likes."""


def prefix() -> str:
    """What the databases' names begin with."""
    return os.environ.get("LETHE_DATABASE_PREFIX", "lethe")


def database_name(service: str) -> str:
    """The database of a service."""
    return f"{prefix()}_{service}"


def create(admin_url: str, services: Iterable[str], known: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Makes what is missing; returns the passwords: service → role → password. Those in `known` stay as they are."""
    passwords = {service: {role: _password(known, service, role) for role in ROLES} for service in services}
    server = psycopg2.connect(admin_url)
    server.autocommit = True
    try:
        with server.cursor() as cursor:
            for service, of_roles in passwords.items():
                _create_roles(cursor, database_name(service), of_roles)
                create_database(cursor, database_name(service), database_name(service))
    finally:
        server.close()
    return passwords


def _password(known: dict[str, dict[str, str]], service: str, role: str) -> str:
    url = known.get(service, {}).get(role)
    password = parse_dsn(url).get("password") if url else None
    return str(password) if password else secrets.token_hex(24)


def _create_roles(cursor: Any, database: str, passwords: dict[str, str]) -> None:
    for role, password in passwords.items():
        name = sql.Identifier(f"{database}_{role}")
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (f"{database}_{role}",))
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("CREATE ROLE {}").format(name))
        cursor.execute(
            sql.SQL("ALTER ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD {}").format(
                name, sql.Literal(verifier(password) if _OURS.fullmatch(password) else password)
            )
        )


def create_database(cursor: Any, database: str, roles: str, template: str = "template0") -> None:
    """Makes one database, if it is missing, for the roles whose names begin with `roles`."""
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
    if cursor.fetchone() is None:
        owner = sql.Identifier(f"{roles}_owner")
        cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(owner))  # a superuser of a managed server needs it
        cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} ENCODING 'UTF8'").format(
            sql.Identifier(database), owner, sql.Identifier(template)))  # fmt: skip
        cursor.execute(sql.SQL("REVOKE {} FROM CURRENT_USER").format(owner))
    names = [sql.Identifier(f"{roles}_{role}") for role in ROLES]
    where = sql.Identifier(database)
    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(where))
    cursor.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(where, sql.SQL(", ").join(names)))
    # the auditor replays into scratch schemas of its own
    cursor.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(where, sql.Identifier(f"{roles}_auditor")))


def drop(admin_url: str, services: Iterable[str]) -> None:
    """Removes the databases and roles of the services from a server, with all that is in them."""
    server = psycopg2.connect(admin_url)
    server.autocommit = True
    try:
        with server.cursor() as cursor:
            for service in services:
                database = database_name(service)
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))
                for role in ROLES:
                    cursor.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(f"{database}_{role}")))
    finally:
        server.close()


def url_for(admin_url: str, database: str, user: str, password: str) -> str:
    """The URL of another user and database on the superuser's server."""
    parts = urlsplit(admin_url)
    place = parts.netloc.rpartition("@")[2]
    query = f"?{parts.query}" if parts.query else ""
    return f"postgresql://{quote(user)}:{quote(password)}@{place}/{quote(database)}{query}"
