-- The routes of credentials and logins to their accounts. Run once by the owner of the tables, with {service} replaced by the name
-- of the role.
-- Nobody reads these tables but by asking for a digest or a token that is known already, and nobody changes the rows of an
-- account but in its own transaction. As the owner of the tables, who is no login of a service.

CREATE FUNCTION lethe.route_credential(p_digest bytea) RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog AS
$$ SELECT account_id FROM lethe.credential_route WHERE digest = p_digest $$;

CREATE FUNCTION lethe.add_credential_route(p_digest bytea) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog AS
$$ INSERT INTO lethe.credential_route (digest, account_id) VALUES (p_digest, lethe.current_account()) $$;

CREATE FUNCTION lethe.remove_credential_routes(p_digests bytea[]) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog AS
$$ DELETE FROM lethe.credential_route WHERE digest = ANY (p_digests) AND account_id = lethe.current_account() $$;

-- those whose mailbox was confirmed first, each in the order in which they came
CREATE FUNCTION lethe.route_login(p_token bigint) RETURNS TABLE (account_id uuid, user_id uuid, is_confirmed boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS
$$ SELECT account_id, user_id, confirmed_at IS NOT NULL FROM lethe.login_route WHERE token = p_token
   ORDER BY confirmed_at NULLS LAST, added_at, account_id, user_id $$;

CREATE FUNCTION lethe.add_login_route(p_token bigint, p_user uuid, p_at timestamptz, p_is_confirmed boolean)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS
$$ INSERT INTO lethe.login_route (token, account_id, user_id, added_at, confirmed_at)
   VALUES (p_token, lethe.current_account(), p_user, p_at, CASE WHEN p_is_confirmed THEN p_at END)
   ON CONFLICT DO NOTHING $$;

CREATE FUNCTION lethe.confirm_login_route(p_user uuid, p_at timestamptz) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog AS
$$ UPDATE lethe.login_route SET confirmed_at = p_at
   WHERE account_id = lethe.current_account() AND user_id = p_user AND confirmed_at IS NULL $$;

-- the delays of a login go with its last route: they are the only other trace of it
CREATE FUNCTION lethe.remove_login_routes(p_users uuid[]) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog AS $$
    WITH gone AS (
        DELETE FROM lethe.login_route WHERE account_id = lethe.current_account() AND user_id = ANY (p_users) RETURNING token)
    DELETE FROM lethe.login_delay WHERE login IN (SELECT token FROM gone) AND NOT EXISTS (
        SELECT 1 FROM lethe.login_route other WHERE other.token = login_delay.login
            AND NOT (other.account_id = lethe.current_account() AND other.user_id = ANY (p_users)))
$$;

-- all that leads to the account, when it has ended
CREATE FUNCTION lethe.remove_routes_of_account() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    DELETE FROM lethe.credential_route WHERE account_id = lethe.current_account();
    WITH gone AS (DELETE FROM lethe.login_route WHERE account_id = lethe.current_account() RETURNING token)
    DELETE FROM lethe.login_delay WHERE login IN (SELECT token FROM gone) AND NOT EXISTS (
        SELECT 1 FROM lethe.login_route other WHERE other.token = login_delay.login
            AND other.account_id <> lethe.current_account())
$$;

CREATE FUNCTION lethe.login_routes_of(p_users uuid[]) RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog AS
$$ SELECT count(*) FROM lethe.login_route WHERE account_id = lethe.current_account() AND user_id = ANY (p_users) $$;

CREATE FUNCTION lethe.login_failures(p_login bigint, p_source bigint)
RETURNS TABLE (failures integer, failed_at timestamptz) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS
$$ SELECT failures, failed_at FROM lethe.login_delay WHERE login = p_login AND source = p_source $$;

-- counts one more, from one again after a day; what is older than a day says nothing any more, and goes
CREATE FUNCTION lethe.note_login_failure(p_login bigint, p_source bigint, p_at timestamptz) RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog AS $$
    DELETE FROM lethe.login_delay WHERE failed_at < p_at - interval '1 day';
    INSERT INTO lethe.login_delay AS known (login, source, failures, failed_at) VALUES (p_login, p_source, 1, p_at)
    ON CONFLICT (login, source) DO UPDATE SET failures = known.failures + 1, failed_at = p_at
$$;

CREATE FUNCTION lethe.forget_login_failures(p_login bigint, p_source bigint) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog AS
$$ DELETE FROM lethe.login_delay WHERE login = p_login AND source = p_source $$;

-- mailed links that are over, in all accounts, with what leads to them; so many at once, and none that somebody uses at this moment
CREATE POLICY sweeping ON lethe.link TO {owner} USING (true);
CREATE POLICY sweeping ON lethe.sign_in_link TO {owner} USING (true);
CREATE FUNCTION lethe.sweep_links(p_now timestamptz, p_most integer) RETURNS bigint LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog AS $$
    WITH gone AS (
        DELETE FROM lethe.link WHERE (account_id, digest) IN (
            SELECT account_id, digest FROM lethe.link WHERE expires_at <= p_now LIMIT p_most FOR UPDATE SKIP LOCKED)
        RETURNING account_id, digest),
    routes AS (DELETE FROM lethe.credential_route WHERE (account_id, digest) IN (SELECT account_id, digest FROM gone)),
    asks AS (
        DELETE FROM lethe.sign_in_link WHERE (account_id, digest) IN (
            SELECT account_id, digest FROM lethe.sign_in_link WHERE expires_at <= p_now LIMIT p_most FOR UPDATE SKIP LOCKED)
        RETURNING 1)
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM asks)
$$;

REVOKE EXECUTE ON FUNCTION lethe.route_credential, lethe.add_credential_route, lethe.remove_credential_routes,
    lethe.route_login, lethe.add_login_route, lethe.confirm_login_route, lethe.remove_login_routes, lethe.remove_routes_of_account,
    lethe.login_routes_of, lethe.login_failures,
    lethe.note_login_failure, lethe.forget_login_failures, lethe.sweep_links FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lethe.route_credential, lethe.add_credential_route, lethe.remove_credential_routes,
    lethe.route_login, lethe.add_login_route, lethe.confirm_login_route, lethe.remove_login_routes, lethe.remove_routes_of_account,
    lethe.login_routes_of, lethe.login_failures,
    lethe.note_login_failure, lethe.forget_login_failures, lethe.sweep_links TO {service};
