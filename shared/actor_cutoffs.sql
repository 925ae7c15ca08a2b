-- From when on an actor's tokens count: what was minted before is refused (shared/actor_cutoffs.py). Ids and times only.
-- Run once by the owner, with {service} and the others replaced by the names of the roles.

CREATE TABLE lethe.actor_cutoff (
    account_id uuid        NOT NULL,
    actor_id   uuid        NOT NULL,
    not_before timestamptz NOT NULL,
    PRIMARY KEY (account_id, actor_id)
);
ALTER TABLE lethe.actor_cutoff ALTER COLUMN account_id SET STATISTICS 1;  -- every account is taken for the largest, as everywhere
ALTER TABLE lethe.actor_cutoff ALTER COLUMN account_id SET (n_distinct = 1);
ALTER TABLE lethe.actor_cutoff ENABLE ROW LEVEL SECURITY;
ALTER TABLE lethe.actor_cutoff FORCE ROW LEVEL SECURITY;
CREATE TRIGGER never_of_gone BEFORE INSERT ON lethe.actor_cutoff FOR EACH ROW EXECUTE FUNCTION lethe.refuse_of_gone();
CREATE POLICY own_account ON lethe.actor_cutoff TO {service} USING (account_id = lethe.current_account());
GRANT SELECT, INSERT, UPDATE ON lethe.actor_cutoff TO {service};
