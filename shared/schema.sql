-- What every service's database holds besides the service's own tables: the event log, the relay's tables, the keys, the inbox.
-- Run once by the owner, with {service}, {relay}, {eraser} and {auditor} replaced by the names of the roles.
-- Rows are kept to their account by row-level security (security.md, "tenant isolation"): an unset account sees nothing, and a
-- pooled connection reads '' after its first transaction, hence NULLIF.

CREATE SCHEMA lethe;
CREATE SCHEMA keys;   -- of its own, so that it is dumped apart from the data

CREATE FUNCTION lethe.current_account() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT NULLIF(current_setting('lethe.account', true), '')::uuid $$;

-- ---------------------------------------------------------------------------------------------------------- the event log

CREATE TABLE lethe.event (
    sequence       bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),  -- picking order of the relay; not commit order
    account_id     uuid        NOT NULL,
    stream         text        NOT NULL,
    version        integer     NOT NULL CHECK (version > 0),
    event_id       uuid        NOT NULL,
    type           text        NOT NULL,
    schema_version integer     NOT NULL,
    occurred_at    timestamptz NOT NULL,
    envelope       bytea       NOT NULL,   -- RFC 8785, made once; readers decode only these bytes
    salt           bytea       NOT NULL CHECK (octet_length(salt) = 16),
    sealed         bytea[]     NOT NULL,   -- one element a sealed field; NULL once pruned, its digest stays in the envelope
    PRIMARY KEY (account_id, stream, version),
    UNIQUE (sequence)
);
ALTER TABLE lethe.event ALTER COLUMN sealed SET STORAGE EXTERNAL;  -- ciphertext does not compress
ALTER TABLE lethe.event SET (toast_tuple_target = 4080);  -- most mails are then one row, written and read at one place

CREATE TABLE lethe.log (
    index      bigint PRIMARY KEY CHECK (index >= 0),
    sequence   bigint NOT NULL UNIQUE,           -- of the event; no reference, since it stays when the event goes with its account
    leaf       bytea  NOT NULL CHECK (octet_length(leaf) = 32),   -- the commitment SHA-256(salt || envelope)
    term       bigint NOT NULL,
    indexed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE lethe.relay_lease (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    term       bigint NOT NULL DEFAULT 0,
    holder     text   NOT NULL DEFAULT '',
    expires_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO lethe.relay_lease DEFAULT VALUES;

CREATE TABLE lethe.relay_cursor (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    published bigint  NOT NULL DEFAULT 0      -- every index below it is confirmed by the broker
);
INSERT INTO lethe.relay_cursor DEFAULT VALUES;

CREATE TABLE lethe.account_state (               -- what lifecycle last said; an account unknown here is active
    account_id uuid    PRIMARY KEY,
    state      text    NOT NULL,                 -- 'gone' is the last one: nothing of the account is written any more
    version    integer NOT NULL
);

CREATE FUNCTION lethe.is_gone(p_account uuid) RETURNS boolean LANGUAGE sql STABLE
    AS $$ SELECT EXISTS (SELECT 1 FROM lethe.account_state WHERE account_id = p_account AND state = 'gone') $$;

-- Triggers hold every role to what the log is for, the owner included: no event changes, and none goes but with its account.
CREATE FUNCTION lethe.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event log is append-only' USING ERRCODE = 'LE010';
END $$;

CREATE FUNCTION lethe.allow_only_of_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT lethe.is_gone(OLD.account_id) THEN
        RAISE EXCEPTION 'an event goes with its account only' USING ERRCODE = 'LE010';
    END IF;
    RETURN OLD;
END $$;

CREATE FUNCTION lethe.refuse_of_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF lethe.is_gone(NEW.account_id) THEN
        RAISE EXCEPTION 'this account is gone' USING ERRCODE = 'LE012';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION lethe.allow_only_pruning() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.sequence, NEW.account_id, NEW.stream, NEW.version, NEW.event_id, NEW.type, NEW.schema_version, NEW.occurred_at,
        NEW.envelope, NEW.salt)
       IS DISTINCT FROM
       (OLD.sequence, OLD.account_id, OLD.stream, OLD.version, OLD.event_id, OLD.type, OLD.schema_version, OLD.occurred_at,
        OLD.envelope, OLD.salt)
       OR cardinality(NEW.sealed) <> cardinality(OLD.sealed)
       OR EXISTS (SELECT 1 FROM unnest(OLD.sealed, NEW.sealed) AS part (was, now)
                  WHERE part.now IS NOT NULL AND part.now IS DISTINCT FROM part.was)
    THEN
        RAISE EXCEPTION 'of an event only sealed parts may be set to NULL' USING ERRCODE = 'LE010';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER only_pruning BEFORE UPDATE ON lethe.event FOR EACH ROW EXECUTE FUNCTION lethe.allow_only_pruning();
CREATE TRIGGER goes_with_its_account BEFORE DELETE ON lethe.event FOR EACH ROW EXECUTE FUNCTION lethe.allow_only_of_gone();
CREATE TRIGGER never_truncated BEFORE TRUNCATE ON lethe.event FOR EACH STATEMENT EXECUTE FUNCTION lethe.refuse_change();
CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE ON lethe.log FOR EACH ROW EXECUTE FUNCTION lethe.refuse_change();
CREATE TRIGGER never_truncated BEFORE TRUNCATE ON lethe.log FOR EACH STATEMENT EXECUTE FUNCTION lethe.refuse_change();
CREATE TRIGGER stays_gone BEFORE UPDATE OR DELETE ON lethe.account_state FOR EACH ROW WHEN (OLD.state = 'gone')
    EXECUTE FUNCTION lethe.refuse_change();

-- Appends one event. The xid is forced before the sequence number is drawn: the relay relies on "whoever holds a number below
-- one that I can see was in flight when I looked" to tell a late commit from an abort. It takes no lock beyond its own rows.
-- A version that exists is the primary key's violation; it is not caught here, since a handler would cost a subtransaction.
-- What this runs for each event is kept to one plain expression and one statement: starting a statement costs more than the rest.
CREATE FUNCTION lethe.append_event(
    p_account uuid, p_stream text, p_version integer, p_event uuid, p_type text, p_schema_version integer,
    p_occurred_at timestamptz, p_envelope bytea, p_salt bytea, p_sealed bytea[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE forced xid8 := pg_current_xact_id();
BEGIN
    INSERT INTO lethe.event (account_id, stream, version, event_id, type, schema_version, occurred_at, envelope, salt, sealed)
    SELECT p_account, p_stream, p_version, p_event, p_type, p_schema_version, p_occurred_at, p_envelope, p_salt, p_sealed
    WHERE (p_version = 1 OR EXISTS (
        SELECT 1 FROM lethe.event WHERE account_id = p_account AND stream = p_stream AND version = p_version - 1))
        AND NOT EXISTS (SELECT 1 FROM lethe.account_state WHERE account_id = p_account AND state = 'gone');
    IF NOT FOUND THEN
        IF lethe.is_gone(p_account) THEN
            RAISE EXCEPTION 'this account is gone' USING ERRCODE = 'LE012';
        END IF;
        RAISE EXCEPTION 'version % of the stream is not there', p_version - 1 USING ERRCODE = 'LE001';
    END IF;
END $$;

-- --------------------------------------------------------------------------------------------- reactions, commands, accounts

CREATE TABLE lethe.inbox (                       -- which events a reaction has handled: the row goes in with its effects
    account_id uuid NOT NULL,
    reaction   text NOT NULL,
    event_id   uuid NOT NULL,
    PRIMARY KEY (account_id, reaction, event_id)
);

CREATE FUNCTION lethe.note_handled(p_account uuid, p_reaction text, p_event uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO lethe.inbox (account_id, reaction, event_id) SELECT p_account, p_reaction, p_event
    WHERE NOT EXISTS (SELECT 1 FROM lethe.account_state WHERE account_id = p_account AND state = 'gone');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this account is gone' USING ERRCODE = 'LE012';
    END IF;
END $$;

CREATE TABLE lethe.idempotency (                 -- which commands were done: keyed hashes and the ids of results only
    account_id   uuid  NOT NULL,
    actor_id     uuid  NOT NULL,
    command_key  bytea NOT NULL,
    request_hash bytea NOT NULL,
    result       jsonb NOT NULL,
    done_at      timestamptz NOT NULL,
    PRIMARY KEY (account_id, actor_id, command_key)
);

CREATE TABLE lethe.erasing (                     -- what was held when a request's persons were cut: for the receipt, told once
    account_id uuid  NOT NULL,
    request_id uuid  NOT NULL,
    counts     jsonb NOT NULL,
    retained   jsonb NOT NULL,
    kept       jsonb NOT NULL,
    inventory  jsonb NOT NULL,                   -- ids of what was to be removed, for the probe
    cut_at     timestamptz NOT NULL,
    PRIMARY KEY (account_id, request_id)
);

-- ------------------------------------------------------------------------------------------------------------------- keys

CREATE TABLE keys.account_key (
    account_id uuid    NOT NULL,
    generation integer NOT NULL,
    epoch      integer NOT NULL,                 -- the root key that it is wrapped under
    wrapped    bytea   NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, generation)
);
CREATE TRIGGER never_of_gone BEFORE INSERT ON keys.account_key FOR EACH ROW EXECUTE FUNCTION lethe.refuse_of_gone();

CREATE TABLE keys.item_key (
    account_id uuid    NOT NULL,
    item_id    uuid    NOT NULL,
    key_id     bytea   NOT NULL CHECK (octet_length(key_id) = 8),
    stream     text    NOT NULL,                 -- the one stream whose events it seals: where pruning looks
    generation integer NOT NULL,
    wrapped    bytea   NOT NULL,
    PRIMARY KEY (account_id, item_id),
    UNIQUE (account_id, key_id),
    -- a writer that wraps under an old account key can't strand data: the old row can't go while a wrap refers to it
    FOREIGN KEY (account_id, generation) REFERENCES keys.account_key ON DELETE RESTRICT
);

CREATE TABLE keys.item_person (                  -- whose an item is; an item without a row belongs to the account
    account_id uuid NOT NULL,
    item_id    uuid NOT NULL,
    person_id  uuid NOT NULL,
    PRIMARY KEY (account_id, item_id, person_id),
    FOREIGN KEY (account_id, item_id) REFERENCES keys.item_key ON DELETE CASCADE
);
CREATE INDEX ON keys.item_person (account_id, person_id);

CREATE TABLE keys.person (                       -- the row that writers share and a cut takes alone; a tombstone once cut
    account_id uuid NOT NULL,
    person_id  uuid NOT NULL,
    cut_at     timestamptz,
    request_id uuid,
    PRIMARY KEY (account_id, person_id)
);

CREATE TABLE keys.hold (                         -- legal holds in force: as long as there is a row, nothing of the person is cut
    account_id uuid NOT NULL,
    person_id  uuid NOT NULL,
    hold_id    uuid NOT NULL,
    PRIMARY KEY (account_id, person_id, hold_id)
);

CREATE TABLE keys.due_item (                     -- items that were to be cut while a hold was on their person: cut when it ends
    account_id uuid NOT NULL,
    item_id    uuid NOT NULL,
    PRIMARY KEY (account_id, item_id)
);

CREATE TABLE keys.cut_item (                     -- tombstones of items, and the work-list of pruning
    account_id uuid  NOT NULL,
    item_id    uuid  NOT NULL,
    key_id     bytea NOT NULL,
    stream     text  NOT NULL,
    generation integer NOT NULL,                 -- of the account key that it was wrapped under: rotation asks for that, not for times
    person_id  uuid,
    cut_at     timestamptz NOT NULL,
    pruned     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (account_id, item_id, key_id)
);
CREATE INDEX ON keys.cut_item (account_id, person_id);

-- What is cut stays cut, whoever holds the service's password: a tombstone is never changed, and goes with its account only.
CREATE FUNCTION keys.refuse_uncutting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND lethe.is_gone(OLD.account_id) THEN
        RETURN OLD;
    END IF;
    IF TG_TABLE_NAME = 'cut_item' AND TG_OP = 'UPDATE' THEN
        NEW.pruned := OLD.pruned OR NEW.pruned;
        IF (NEW.account_id, NEW.item_id, NEW.key_id, NEW.stream, NEW.generation, NEW.person_id, NEW.cut_at)
           IS NOT DISTINCT FROM
           (OLD.account_id, OLD.item_id, OLD.key_id, OLD.stream, OLD.generation, OLD.person_id, OLD.cut_at) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'a cut is not undone' USING ERRCODE = 'LE010';
END $$;
CREATE TRIGGER stays_cut BEFORE UPDATE ON keys.person FOR EACH ROW WHEN (OLD.cut_at IS NOT NULL)
    EXECUTE FUNCTION keys.refuse_uncutting();
CREATE TRIGGER goes_with_its_account BEFORE DELETE ON keys.person FOR EACH ROW EXECUTE FUNCTION keys.refuse_uncutting();
CREATE TRIGGER stays_cut BEFORE UPDATE OR DELETE ON keys.cut_item FOR EACH ROW EXECUTE FUNCTION keys.refuse_uncutting();

-- Whoever seals something of a person holds the person's row FOR SHARE and looks at the tombstone after that. So a write is
-- before the cut, and goes with it, or after it, and is refused. Several persons are locked in the order of their ids.
CREATE FUNCTION keys.pin_persons(p_account uuid, p_persons uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE pinned integer; dead integer; ended timestamptz;
BEGIN
    IF cardinality(p_persons) = 1 THEN  -- the usual case, in the cheapest way
        SELECT cut_at INTO ended FROM keys.person WHERE account_id = p_account AND person_id = p_persons[1] FOR SHARE;
        IF FOUND AND ended IS NULL THEN
            RETURN;
        END IF;
    END IF;
    LOOP
        SELECT count(*), count(person.cut_at) INTO pinned, dead FROM (
            SELECT cut_at FROM keys.person WHERE account_id = p_account AND person_id = ANY (p_persons)
            ORDER BY person_id FOR SHARE) AS person;
        IF dead > 0 THEN
            RAISE EXCEPTION 'a person of this write is erased' USING ERRCODE = 'LE002';
        END IF;
        EXIT WHEN pinned = (SELECT count(DISTINCT wanted) FROM unnest(p_persons) AS wanted);
        INSERT INTO keys.person (account_id, person_id)
            SELECT p_account, wanted FROM (SELECT DISTINCT unnest(p_persons) AS wanted ORDER BY 1) AS missing
            ON CONFLICT DO NOTHING;
    END LOOP;
END $$;

-- Whoever seals under a key that exists holds its row; a cut deletes the row, so one of the two waits for the other.
CREATE FUNCTION keys.pin_keys(p_account uuid, p_key_ids bytea[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE pinned integer;
BEGIN
    IF cardinality(p_key_ids) = 1 THEN
        PERFORM 1 FROM keys.item_key WHERE account_id = p_account AND key_id = p_key_ids[1] FOR KEY SHARE;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    SELECT count(*) INTO pinned FROM (
        SELECT 1 FROM keys.item_key WHERE account_id = p_account AND key_id = ANY (p_key_ids)
        ORDER BY item_id FOR KEY SHARE) AS item;
    IF pinned < cardinality(p_key_ids) THEN
        RAISE EXCEPTION 'a key of this write is cut' USING ERRCODE = 'LE003';
    END IF;
END $$;

-- Both, persons first: rows are locked in the order of the FOR clauses. The usual write, of one person under one key, takes one
-- statement; whatever is not as usual, a tombstone too, is found by the other two.
CREATE FUNCTION keys.pin_both(p_account uuid, p_persons uuid[], p_key_ids bytea[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE ended timestamptz;
BEGIN
    IF cardinality(p_persons) = 1 AND cardinality(p_key_ids) = 1 THEN
        SELECT person.cut_at INTO ended FROM keys.person, keys.item_key
        WHERE person.account_id = p_account AND person.person_id = p_persons[1]
            AND item_key.account_id = p_account AND item_key.key_id = p_key_ids[1]
        FOR SHARE OF person FOR KEY SHARE OF item_key;
        IF FOUND AND ended IS NULL THEN
            RETURN;
        END IF;
    END IF;
    PERFORM keys.pin_persons(p_account, p_persons);
    PERFORM keys.pin_keys(p_account, p_key_ids);
END $$;

-- A key that another writer minted first is a unique violation, an account key rotated meanwhile one of the foreign key: the
-- writer loads again and seals again.
CREATE FUNCTION keys.mint(p_account uuid, p_item uuid, p_key_id bytea, p_stream text, p_generation integer, p_wrapped bytea,
                          p_persons uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM keys.cut_item WHERE account_id = p_account AND item_id = p_item;
    IF FOUND THEN
        RAISE EXCEPTION 'this item is cut' USING ERRCODE = 'LE002';
    END IF;
    INSERT INTO keys.item_key (account_id, item_id, key_id, stream, generation, wrapped)
        VALUES (p_account, p_item, p_key_id, p_stream, p_generation, p_wrapped);
    IF cardinality(p_persons) > 0 THEN
        INSERT INTO keys.item_person (account_id, item_id, person_id) SELECT p_account, p_item, unnest(p_persons);
    END IF;
END $$;

-- Takes the rows of several persons alone, in the order of their ids, ahead of cutting them.
CREATE FUNCTION keys.lock_persons(p_account uuid, p_persons uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO keys.person (account_id, person_id)
        SELECT p_account, wanted FROM (SELECT DISTINCT unnest(p_persons) AS wanted ORDER BY 1) AS missing
        ON CONFLICT DO NOTHING;
    PERFORM 1 FROM keys.person WHERE account_id = p_account AND person_id = ANY (p_persons) ORDER BY person_id FOR UPDATE;
END $$;

-- Cuts a person: the tombstone, then every item key that belongs to no other person. An item that others share stays, and is
-- returned with shared = true, since the receipt says so. Calling it again changes nothing. A person under a legal hold is not
-- cut: holds are noted and ended under the person's lock, so each is wholly before a cut or after it.
CREATE FUNCTION keys.cut_person(p_account uuid, p_person uuid, p_request uuid, p_at timestamptz)
RETURNS TABLE (item_id uuid, key_id bytea, stream text, shared boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE done timestamptz;
BEGIN
    INSERT INTO keys.person (account_id, person_id) VALUES (p_account, p_person) ON CONFLICT DO NOTHING;
    SELECT cut_at INTO done FROM keys.person WHERE account_id = p_account AND person_id = p_person FOR UPDATE;
    IF done IS NOT NULL THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT 1 FROM keys.hold WHERE account_id = p_account AND person_id = p_person) THEN
        RAISE EXCEPTION 'a hold keeps this person' USING ERRCODE = 'LE011';
    END IF;
    UPDATE keys.person SET cut_at = p_at, request_id = p_request WHERE account_id = p_account AND person_id = p_person;
    -- locked first and looked at afterwards: somebody may be adding another owner to an item at this moment
    PERFORM 1 FROM keys.item_key k JOIN keys.item_person p USING (account_id, item_id)
        WHERE k.account_id = p_account AND p.person_id = p_person ORDER BY k.item_id FOR UPDATE OF k;
    RETURN QUERY
        SELECT k.item_id, k.key_id, k.stream, true FROM keys.item_key k JOIN keys.item_person p USING (account_id, item_id)
        WHERE k.account_id = p_account AND p.person_id = p_person AND EXISTS (
            SELECT 1 FROM keys.item_person other WHERE other.account_id = p_account AND other.item_id = k.item_id
                AND other.person_id <> p_person);
    RETURN QUERY
        WITH cut AS (
            DELETE FROM keys.item_key k USING keys.item_person p
            WHERE k.account_id = p_account AND p.account_id = p_account AND p.item_id = k.item_id AND p.person_id = p_person
                AND NOT EXISTS (SELECT 1 FROM keys.item_person other WHERE other.account_id = p_account
                    AND other.item_id = k.item_id AND other.person_id <> p_person)
            RETURNING k.item_id, k.key_id, k.stream, k.generation),
        noted AS (
            INSERT INTO keys.cut_item (account_id, item_id, key_id, stream, generation, person_id, cut_at)
            SELECT p_account, item_id, key_id, stream, generation, p_person, p_at FROM cut)
        SELECT item_id, key_id, stream, false FROM cut;
    DELETE FROM keys.item_person WHERE account_id = p_account AND person_id = p_person;
END $$;

-- Cuts one item by its id: a profile that is deleted for good, a request that is completed. The tombstone stays. What belongs to
-- a person under a legal hold is not cut before that ends; the persons' rows are shared first, so that no hold is noted meanwhile.
CREATE FUNCTION keys.cut_item_key(p_account uuid, p_item uuid, p_at timestamptz) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE cut record;
BEGIN
    PERFORM 1 FROM keys.person JOIN keys.item_person AS owned USING (account_id, person_id)
        WHERE owned.account_id = p_account AND owned.item_id = p_item ORDER BY person_id FOR SHARE OF person;
    IF EXISTS (SELECT 1 FROM keys.hold JOIN keys.item_person AS owned USING (account_id, person_id)
               WHERE owned.account_id = p_account AND owned.item_id = p_item) THEN
        INSERT INTO keys.due_item (account_id, item_id) VALUES (p_account, p_item) ON CONFLICT DO NOTHING;
        RETURN NULL;
    END IF;
    DELETE FROM keys.item_key WHERE account_id = p_account AND item_id = p_item RETURNING key_id, stream, generation INTO cut;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO keys.cut_item (account_id, item_id, key_id, stream, generation, cut_at)
        VALUES (p_account, p_item, cut.key_id, cut.stream, cut.generation, p_at);
    RETURN cut.key_id;
END $$;

-- Removes the bytes of sealed parts whose key is cut (the key's id stands in bytes 2 to 9 of each). Run as the eraser.
CREATE FUNCTION lethe.prune_events(p_account uuid, p_streams text[], p_key_ids bytea[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE pruned integer;
BEGIN
    UPDATE lethe.event SET sealed = (
        SELECT array_agg(CASE WHEN substr(part, 2, 8) = ANY (p_key_ids) THEN NULL ELSE part END ORDER BY place)
        FROM unnest(sealed) WITH ORDINALITY AS each (part, place))
    WHERE account_id = p_account AND stream = ANY (p_streams)
        AND EXISTS (SELECT 1 FROM unnest(sealed) AS part WHERE substr(part, 2, 8) = ANY (p_key_ids));
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END $$;

-- --------------------------------------------------------------------------------------------------- who may do what, and see

ALTER TABLE lethe.event         ENABLE ROW LEVEL SECURITY; ALTER TABLE lethe.event         FORCE ROW LEVEL SECURITY;
ALTER TABLE lethe.inbox         ENABLE ROW LEVEL SECURITY; ALTER TABLE lethe.inbox         FORCE ROW LEVEL SECURITY;
ALTER TABLE lethe.idempotency   ENABLE ROW LEVEL SECURITY; ALTER TABLE lethe.idempotency   FORCE ROW LEVEL SECURITY;
ALTER TABLE lethe.erasing       ENABLE ROW LEVEL SECURITY; ALTER TABLE lethe.erasing       FORCE ROW LEVEL SECURITY;
ALTER TABLE lethe.account_state ENABLE ROW LEVEL SECURITY; ALTER TABLE lethe.account_state FORCE ROW LEVEL SECURITY;
ALTER TABLE keys.account_key    ENABLE ROW LEVEL SECURITY; ALTER TABLE keys.account_key    FORCE ROW LEVEL SECURITY;
ALTER TABLE keys.item_key       ENABLE ROW LEVEL SECURITY; ALTER TABLE keys.item_key       FORCE ROW LEVEL SECURITY;
ALTER TABLE keys.item_person    ENABLE ROW LEVEL SECURITY; ALTER TABLE keys.item_person    FORCE ROW LEVEL SECURITY;
ALTER TABLE keys.person         ENABLE ROW LEVEL SECURITY; ALTER TABLE keys.person         FORCE ROW LEVEL SECURITY;
ALTER TABLE keys.hold           ENABLE ROW LEVEL SECURITY; ALTER TABLE keys.hold           FORCE ROW LEVEL SECURITY;
ALTER TABLE keys.due_item       ENABLE ROW LEVEL SECURITY; ALTER TABLE keys.due_item       FORCE ROW LEVEL SECURITY;
ALTER TABLE keys.cut_item       ENABLE ROW LEVEL SECURITY; ALTER TABLE keys.cut_item       FORCE ROW LEVEL SECURITY;

CREATE POLICY own_account ON lethe.event         TO {service}, {eraser} USING (account_id = lethe.current_account());
CREATE POLICY all_events  ON lethe.event         FOR SELECT TO {relay}, {auditor} USING (true);
CREATE POLICY own_account ON lethe.inbox         TO {service} USING (account_id = lethe.current_account());
CREATE POLICY own_account ON lethe.idempotency   TO {service} USING (account_id = lethe.current_account());
CREATE POLICY own_account ON lethe.erasing       TO {service} USING (account_id = lethe.current_account());
CREATE POLICY own_account ON lethe.account_state TO {service}, {eraser} USING (account_id = lethe.current_account());
CREATE POLICY all_states  ON lethe.account_state FOR SELECT TO {owner} USING (true);  -- what is gone is gone for the owner too
CREATE POLICY own_account ON keys.account_key    TO {service} USING (account_id = lethe.current_account());
CREATE POLICY own_account ON keys.item_key       TO {service} USING (account_id = lethe.current_account());
CREATE POLICY own_account ON keys.item_person    TO {service} USING (account_id = lethe.current_account());
CREATE POLICY own_account ON keys.person         TO {service} USING (account_id = lethe.current_account());
CREATE POLICY own_account ON keys.hold           TO {service} USING (account_id = lethe.current_account());
CREATE POLICY own_account ON keys.due_item       TO {service} USING (account_id = lethe.current_account());
CREATE POLICY own_account ON keys.cut_item       TO {service}, {eraser} USING (account_id = lethe.current_account());
-- the epoch's rotation, and a recovery, go over all accounts, as the owner, who sees nothing else
CREATE POLICY rotation ON keys.account_key TO {owner} USING (true);
CREATE POLICY rotation ON keys.item_key    TO {owner} USING (true);
CREATE POLICY rotation ON keys.cut_item    TO {owner} USING (true);
CREATE POLICY rotation ON keys.person      FOR SELECT TO {owner} USING (true);
CREATE POLICY recovery ON keys.item_person FOR SELECT TO {owner} USING (true);

GRANT USAGE ON SCHEMA lethe TO {service}, {relay}, {eraser}, {auditor};
GRANT USAGE ON SCHEMA keys  TO {service}, {eraser};
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA lethe, keys FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lethe.is_gone TO {owner}, {service}, {eraser};
GRANT EXECUTE ON FUNCTION lethe.current_account() TO {owner}, {service}, {relay}, {eraser}, {auditor};
GRANT EXECUTE ON FUNCTION lethe.append_event, lethe.note_handled, keys.pin_both, keys.pin_persons, keys.pin_keys, keys.mint,
    keys.lock_persons, keys.cut_person, keys.cut_item_key TO {service};
GRANT EXECUTE ON FUNCTION lethe.prune_events TO {eraser};
GRANT EXECUTE ON FUNCTION lethe.refuse_change, lethe.allow_only_pruning, lethe.allow_only_of_gone,
    lethe.refuse_of_gone TO {service}, {relay}, {eraser};
GRANT SELECT, INSERT ON lethe.event TO {service};
GRANT SELECT (sequence, account_id, stream, version, event_id, type, schema_version, occurred_at, envelope, salt)
    ON lethe.event TO {relay};
GRANT SELECT (sequence, account_id, stream, version, sealed), UPDATE (sealed), DELETE ON lethe.event TO {eraser};
GRANT SELECT ON lethe.log TO {service}, {eraser}, {auditor};
GRANT SELECT ON lethe.account_state, lethe.relay_cursor TO {eraser};
GRANT SELECT, INSERT ON lethe.log TO {relay};
GRANT SELECT, UPDATE ON lethe.relay_lease, lethe.relay_cursor TO {relay};
GRANT SELECT ON lethe.event, lethe.relay_cursor, lethe.relay_lease TO {auditor};
GRANT SELECT, INSERT ON lethe.inbox, lethe.idempotency, lethe.erasing TO {service};
GRANT SELECT, INSERT, UPDATE ON lethe.account_state TO {service};
GRANT SELECT, INSERT ON keys.account_key TO {service};
GRANT SELECT, INSERT, DELETE, UPDATE (wrapped) ON keys.item_key TO {service};
GRANT SELECT, INSERT, DELETE ON keys.item_person TO {service};
GRANT SELECT, INSERT, UPDATE (cut_at, request_id) ON keys.person TO {service};
GRANT SELECT, INSERT, DELETE ON keys.hold, keys.due_item TO {service};
GRANT SELECT, INSERT ON keys.cut_item TO {service};
GRANT SELECT, UPDATE (pruned) ON keys.cut_item TO {eraser};
-- what the eraser may remove of an account that is gone: `_end_with_accounts` in shared/migrations
