"""A log of as many events as are wanted, made by the server itself: it is to be read, and how it was written does not matter.

Events, digests, leaves, tiles and checkpoint are such that the log verifies; what is sealed is random and opens to nothing.
"""

from __future__ import annotations

from tests.integration.audit.audit_stage import AuditStage

_EVENTS = """
INSERT INTO lethe.event (account_id, stream, version, event_id, type, schema_version, occurred_at, envelope, salt, sealed)
SELECT account, stream, version, event, 'contacts.PersonAdded', 1, at, convert_to(format(
    '{"account":"%%s","actor":"%%s","causation":null,"data":{"origin":"correspondent","person_id":"%%s"},"event":"%%s","schema":1,"sealed":[{"digest":"'
    '%%s","field":"name","item":"%%s","key":"%%s"}],"service":"contacts","stream":"%%s","time":"%%s","type":'
    '"contacts.PersonAdded","version":%%s}',
    account, account, person, event, encode(sha256(part), 'hex'), person, substr(md5(person::text), 1, 16), stream,
    to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), version), 'UTF8'),
    substr(sha256(event::text::bytea), 1, 16), ARRAY[part]
FROM (
    SELECT %(account)s::uuid AS account, person, 'person/' || person AS stream, 1 + number %% %(versions)s AS version,
        gen_random_uuid() AS event, timestamptz '2026-01-01 00:00:00.000001Z' + number * interval '1 second' AS at,
        decode(repeat(md5(number::text), %(part_bytes)s / 16), 'hex') AS part
    FROM (
        SELECT number, md5(%(account)s || (number / %(versions)s)::text)::uuid AS person
        FROM generate_series(0::bigint, %(count)s - 1) AS number
    ) AS numbered
    ORDER BY number
) AS made
"""
_LOG = """
INSERT INTO lethe.log (index, sequence, leaf, term)
SELECT row_number() OVER (ORDER BY sequence) - 1, sequence, sha256(salt || envelope), 1 FROM lethe.event
"""


def fill(stage: AuditStage, count: int, *, versions: int, part_bytes: int) -> None:
    """Gives the empty log of contacts `count` events, `versions` a stream, each with a sealed part of that many bytes."""
    stage.add_persons(1)
    stage.index()  # makes the keys
    stage.as_attacker("TRUNCATE lethe.log, lethe.event")
    values = {"account": stage.account, "count": count, "versions": versions, "part_bytes": part_bytes}
    stage.as_attacker(_EVENTS, values)
    stage.as_attacker(_LOG)
    stage.as_attacker("ANALYZE lethe.event, lethe.log")
    stage.sign_anew()
