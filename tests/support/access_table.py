"""Who may call which RPC method: written by hand from the pages that promise it, never read from the code that decides it.

A row names those who get the answer; all others must be refused. The columns:

owner, admin, agent   users of the account, with all that their role may
read, write           the owner again, with a token of that scope
operator, service     the vendor's operator, and another service
suspended             the owner, while the account is suspended
"""

from __future__ import annotations

USERS = "owner admin agent"

ALLOWED: dict[str, dict[str, str]] = {
    "contacts": {
        "add_mailbox": "owner admin operator",
        "add_organisation": f"{USERS} write",
        "add_user_person": "service",
        "find_subjects": "service",
        "list_persons": f"{USERS} read write",
        "preview_subject": "service",
        "probe_subject": "service",
        "render_spellings": "service",
        "show_person": f"{USERS} read write service",
        "take_in": "service",
    },
    "tickets": {
        "import_mails": f"{USERS} write",
        "known_sources": f"{USERS} read write",
        "list_put_aside": f"{USERS} read write",
        "list_tickets": f"{USERS} read write",
        "messages_of": f"{USERS} read write",
        "preview_subject": "service",
        "probe_subject": "service",
        "search_tickets": f"{USERS} read write",
        "show_attachment": f"{USERS} read write",
        "show_put_aside": f"{USERS} read write",
        "show_ticket": f"{USERS} read write",
    },
    "identity": {
        "add_user": "owner admin",  # the operator adds the first owner of an account only
        "list_users": f"{USERS} read write operator service",
        "mint_token": "operator",
        "preview_subject": "service",
        "probe_subject": "service",
        "remove_user": "owner admin",
        "show_user": f"{USERS} read write operator service",
        "users_of_persons": "service",
    },
    "erasure": {
        "check_suppressed": "service",
        "list_erasures": f"{USERS} read write",
        "preview_erasure": f"{USERS} read write",
        "preview_subject": "service",
        "probe_subject": "service",
        "request_erasure": f"{USERS} write",
        "retry_erasure": f"{USERS} write",
        "show_certificate": f"{USERS} read write",
        "show_erasure": f"{USERS} read write",
        "suppress": "service",
    },
    "lifecycle": {
        "find_account": "operator service",
        "list_accounts": "operator",
        "open_account": "operator",
        "preview_subject": "service",
        "probe_subject": "service",
        "resume_account": "operator",
        "show_account": f"{USERS} read write operator service suspended",
        "suspend_account": "operator",
    },
}  # fmt: skip
