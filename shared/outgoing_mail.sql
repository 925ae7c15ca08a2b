-- Mail that a service sends: a queue of sealed mails in its own database. Run once by the owner, as schema.sql is, with the names
-- of the roles replaced. What can be read here is whose mail it is and how its delivery stands; address, subject and text are
-- sealed under an item key of the person, and go with it.

CREATE TABLE lethe.outgoing_mail (
    account_id    uuid        NOT NULL,
    mail_id       uuid        NOT NULL,
    item_id       uuid        NOT NULL,                 -- whose key seals it
    person_id     uuid        NOT NULL,
    sealed        bytea,                                -- NULL once given up: nobody needs the text any more
    state         text        NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sending', 'given up')),
    attempts      integer     NOT NULL DEFAULT 0,       -- claims so far, and the fence: a sender that lost its claim notes no failure
    next_try_at   timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    claimed_until timestamptz,
    PRIMARY KEY (account_id, mail_id),
    CHECK ((sealed IS NULL) = (state = 'given up')),
    CHECK ((claimed_until IS NOT NULL) = (state = 'sending'))
);
CREATE INDEX mail_by_next_try ON lethe.outgoing_mail (next_try_at) WHERE state <> 'given up';
CREATE INDEX mail_of_person ON lethe.outgoing_mail (account_id, person_id);

ALTER TABLE lethe.outgoing_mail ENABLE ROW LEVEL SECURITY;
ALTER TABLE lethe.outgoing_mail FORCE ROW LEVEL SECURITY;
CREATE POLICY own_account ON lethe.outgoing_mail TO {service} USING (account_id = lethe.current_account());
-- claiming goes over all accounts, as the owner, and tells ids only
CREATE POLICY claiming_looks ON lethe.outgoing_mail FOR SELECT TO {owner} USING (true);
CREATE POLICY claiming_leases ON lethe.outgoing_mail FOR UPDATE TO {owner} USING (true);

-- Gives the mail that has been due the longest to one sender, for 60 seconds of the server's own clock: a sender that dies leaves
-- it to the next. `p_now` is the time by which mails are due, of the clock that may be ahead.
CREATE FUNCTION lethe.claim_mail(p_now timestamptz) RETURNS TABLE (account_id uuid, mail_id uuid)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH due AS (
        SELECT m.account_id, m.mail_id FROM lethe.outgoing_mail m
        WHERE m.state <> 'given up' AND m.next_try_at <= p_now
            AND (m.state = 'queued' OR m.claimed_until <= clock_timestamp())
        ORDER BY m.next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    UPDATE lethe.outgoing_mail m
        SET state = 'sending', attempts = attempts + 1, claimed_until = clock_timestamp() + interval '60 seconds'
        FROM due WHERE m.account_id = due.account_id AND m.mail_id = due.mail_id
        RETURNING m.account_id, m.mail_id
$$;

REVOKE EXECUTE ON FUNCTION lethe.claim_mail FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lethe.claim_mail TO {service};
GRANT SELECT, INSERT, DELETE, UPDATE (sealed, state, attempts, next_try_at, claimed_until) ON lethe.outgoing_mail TO {service};
