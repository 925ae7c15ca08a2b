"""What identity does when an account is suspended or dissolved (mission L3, L4): tells its owners, removes its configuration.

Configuration is what an account has set up for itself: from where and how its users get in (IP ranges, the second factor that
is required), what programs may (apps, with what customers granted them; API tokens), and whom it has invited. Each goes by the
event by which it goes by hand, so a replay knows it. Users and customers stay in storage.
"""

from __future__ import annotations

from services.identity.account_mail import tell_of_dissolution, tell_of_suspension
from services.identity.api_token_handlers import revoke_all_api_tokens
from services.identity.app_handlers import remove_all_apps
from services.identity.invitation_handlers import withdraw_all
from services.identity.ip_range_handlers import clear_ip_ranges
from services.identity.second_factor_handlers import end_requirement
from services.lifecycle.events import TYPES, AccountDissolved, AccountSuspended
from shared.account_states import version_of_state
from shared.events import Envelope
from shared.work import Store, Work


def note_suspension(store: Store, envelope: Envelope) -> None:
    """Tells the owners, once; not of a suspension that is over by now, because it was resumed or the account dissolved."""
    suspended = TYPES.decode(envelope)
    assert isinstance(suspended, AccountSuspended)

    def decide(work: Work) -> None:
        known = version_of_state(work)
        if known is not None and known <= envelope.version and work.now < suspended.dissolved_at:
            tell_of_suspension(work, suspended)

    store.react(envelope.account, "note_suspension", envelope.event, decide)


def note_dissolution(store: Store, envelope: Envelope) -> None:
    """Removes the configuration and tells the owners, in one transaction, once."""
    dissolved = TYPES.decode(envelope)
    assert isinstance(dissolved, AccountDissolved)

    def decide(work: Work) -> None:
        clear_ip_ranges(work)
        end_requirement(work)
        remove_all_apps(work)
        revoke_all_api_tokens(work)
        withdraw_all(work)
        tell_of_dissolution(work, dissolved)

    store.react(envelope.account, "note_dissolution", envelope.event, decide)
