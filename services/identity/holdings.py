"""What identity holds of persons, and how it lets go of it: its part in an erasure (`shared/erasing.py` has the protocol).

A user's profile goes with its person. A last owner's is kept, since an account without an owner could never be ended by
anybody (mission E5); the receipt says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.identity import customer_holdings
from services.identity.credentials import count_of_persons, remove_of_persons
from services.identity.mailed_links import links_of_persons, remove_links_of_persons
from services.identity.projections import removal
from services.identity.queries import lock_owners, owners
from services.identity.rights import cut_off
from services.identity.routing import login_route_token, remove_login_routes, routes_of_login
from services.identity.user import stream_of
from shared.erasing import Retained
from shared.outgoing_mail import mails_of_persons, remove_mails_of_persons
from shared.references import normalise_address
from shared.work import Store, Work

_THEIRS = "account_id = %s AND person_id = ANY (%s::uuid[])"

LAST_OWNER = Retained(
    what="owner's profile",
    reason="mission E5: owner data is kept while the account lives (GDPR Art. 6(1)(b))",
    until="the account's deletion",
)


class IdentityHoldings:
    """Profiles of users with their credentials and tokens, the index and the routes of their logins; what customers have in the
    portal; invitations, links and mails on their way."""

    def count(self, work: Work, persons: Sequence[str]) -> dict[str, int]:
        values = (work.account_id, list(persons))
        rows = work.fetch(
            f"SELECT (SELECT count(*) FROM app_user WHERE {_THEIRS}), (SELECT count(*) FROM login_token"
            f" WHERE account_id = %s AND user_id IN (SELECT user_id FROM app_user WHERE {_THEIRS}))",
            (*values, work.account_id, *values),
        )
        counts = dict(zip(("user profiles", "logins"), rows[0], strict=True)) | count_of_persons(work, persons)
        (invitations,) = work.fetch(f"SELECT count(*) FROM invitation WHERE {_THEIRS}", values)[0]
        return counts | customer_holdings.count(work, persons) | {
            "invitations": int(invitations), "mailed links": links_of_persons(work, persons),
            "outgoing mails": mails_of_persons(work, persons),
        }  # fmt: skip

    def before_cut(self, store: Store, account_id: str, request_id: str, persons: Sequence[str]) -> int:
        """Nothing has to be told elsewhere."""
        return 0

    def to_tell(self, work: Work, persons: Sequence[str]) -> int:
        return 0

    def inventory(self, work: Work, persons: Sequence[str]) -> list[str]:
        """The digests by which customers' credentials are found from outside of the account."""
        return customer_holdings.inventory(work, persons)

    def kept(self, work: Work, persons: Sequence[str]) -> list[str]:
        """The owners among them: each of them, since which one is the last is not for us to choose."""
        return sorted(set(owners(work)) & set(persons))

    def retained(self, work: Work, persons: Sequence[str]) -> list[Retained]:
        """Kept if the account would be left without an owner. Asked under the persons' locks, ahead of a cut; the owners'
        lock then lets no removal of the other owner pass at the same time. Who is cut already is no owner any more."""
        if not set(owners(work)) & set(persons):
            return []
        lock_owners(work)
        is_last = bool(set(owners(work)) & set(persons)) and not owners(work, apart_from=persons)
        return [LAST_OWNER] if is_last else []

    def remove(self, work: Work, persons: Sequence[str]) -> int:
        """A person's rows are few, so one batch takes all; of those who are cut only, for a last owner's stay. The index
        rows go first: they are found by the others."""
        cut = sorted(work.cut_persons(persons))
        values = (work.account_id, cut)
        # held, so that another replica with the same event waits, and then finds none to cut off again
        look = f"SELECT user_id FROM app_user WHERE {_THEIRS} ORDER BY user_id FOR UPDATE"
        users = [user for (user,) in work.fetch(look, values)]
        for user_id, version in work.versions_of([stream_of(user) for user in users]).items():
            work.append(user_id, version, [cut_off(work, user_id.partition("/")[2])])
        (invitations,) = work.fetch(f"SELECT count(*) FROM invitation WHERE {_THEIRS}", values)[0]
        links = remove_links_of_persons(work, cut)
        work.later(
            "DELETE FROM invitation_token WHERE account_id = %s AND invitation_id IN"
            f" (SELECT invitation_id FROM invitation WHERE {_THEIRS})",
            (work.account_id, *values),
        )
        mails = mails_of_persons(work, cut)
        remove_mails_of_persons(work, cut)
        credentials = remove_of_persons(work, cut) + customer_holdings.remove(work, cut)
        remove_login_routes(work, users)
        work.later(
            f"DELETE FROM login_token WHERE account_id = %s AND user_id IN (SELECT user_id FROM app_user WHERE {_THEIRS})",
            (work.account_id, *values),
        )
        for statement in removal(work.account_id, cut):
            work.later(statement.sql, statement.values)
        return len(users) + int(invitations) + links + mails + credentials

    def traces(
        self, work: Work, persons: Sequence[str], addresses: Sequence[str], inventory: Sequence[str]
    ) -> dict[str, int]:
        """Looks by id and by blind index. A login that a new user has taken since is theirs: not a trace."""
        traces = {kind: count for kind, count in self.count(work, persons).items() if count}
        index = work.blind_index()
        tokens = index.tokens("login", [normalise_address(address) for address in addresses])
        (found,) = work.fetch(
            "SELECT count(*) FROM login_token t LEFT JOIN app_user u USING (account_id, user_id) WHERE t.account_id = %s"
            " AND t.token = ANY (%s::bigint[]) AND (u.user_id IS NULL OR u.person_id = ANY (%s::uuid[]))",
            (work.account_id, tokens, list(persons)),
        )[0]
        if found:
            traces["logins found by blind index"] = found
        (invited,) = work.fetch(
            "SELECT count(*) FROM invitation_token t LEFT JOIN invitation u USING (account_id, invitation_id)"
            " WHERE t.account_id = %s AND t.token = ANY (%s::bigint[])"
            " AND (u.invitation_id IS NULL OR u.person_id = ANY (%s::uuid[]))",
            (work.account_id, tokens, list(persons)),
        )[0]
        if invited:
            traces["invitations found by blind index"] = invited
        routed = sum(self._leads_to(work, address, persons) for address in addresses)
        if routed:
            traces["routes of logins"] = routed
        left = customer_holdings.routes_left(work, inventory)
        if left:
            traces["routes of credentials"] = left
        return traces

    def _leads_to(self, work: Work, address: str, persons: Sequence[str]) -> int:
        """How many routes lead from a login to these persons, or to nobody."""
        routes = routes_of_login(work, login_route_token(work.store.settings, address))
        users = [route.user_id for route in routes if route.account_id == work.account_id]
        others = work.fetch(
            "SELECT count(*) FROM app_user WHERE account_id = %s AND user_id = ANY (%s::uuid[])"
            " AND NOT person_id = ANY (%s::uuid[])",
            (work.account_id, users, list(persons)),
        )
        return len(users) - int(others[0][0])


HOLDINGS = IdentityHoldings()
