"""The page of permissions, made from the table that decides.

`python -m tests.support.permissions_page > docs/permissions.md`"""

from __future__ import annotations

from services.identity.events import Role
from services.identity.permissions import PERMISSIONS

_ROLES: tuple[Role, ...] = ("owner", "admin", "agent")
_WORDS = {
    "themselves": "themselves", "lower": "who ranks below", "not higher": "who does not rank above", "anybody": "everybody",
    "the account": "yes",
}  # fmt: skip
_HEAD = """# Who may do what to whom

owner > admin > agent. What is not here is refused. What somebody holds is what the account says at this moment, not what their
token says: a role that is taken away is gone with the answer, and sessions and actor tokens of before are good for nothing.

The table is `services/identity/permissions.py`; a test holds this page to it.

| | owner | admin | agent |
|---|---|---|---|
"""
_FOOT = """
- **Granting** (add, invite, change a role): nobody grants more than they hold. Whose role is changed may rank no higher either,
  before and after.
- **The last owner** is not removed, deactivated, deleted, or given another role, however many try at once (mission E5).
- **The vendor's operator**, and the gateway for somebody who signs up, add or invite the first owner of an account, and
  nobody after.
- **Deleting** a profile is for good: its key is cut, and what the user did shows "former agent" from then on.
- **IP ranges**: whoever sets them comes from inside of them.
- An API token's scope (read < write < manage) comes on top: all of this but to see needs "manage".

Legal holds on persons (`lethe hold`) are placed, seen and released by owners and admins; that somebody
is held, on which basis and until when, agents and the person see in the request. An admin may hold anybody, an owner too, and
end any hold: it keeps data, and shows none.

Which RPC method a role may call at all: `lethe rpc list`. What the vendor's staff may see under a grant:
[Access for the vendor's staff](staff-access.md).
"""


def page() -> str:
    """The whole page."""
    rows = []
    for action, by_role in PERMISSIONS.items():
        cells = [", ".join(sorted(_WORDS[whom] for whom in by_role.get(role, ()))) or "no" for role in _ROLES]
        rows.append(f"| {action} | {' | '.join(cells)} |")
    return _HEAD + "\n".join(rows) + "\n" + _FOOT


if __name__ == "__main__":
    print(page(), end="")
