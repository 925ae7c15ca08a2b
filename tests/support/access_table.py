"""Who may call which RPC method: written by hand from the pages that promise it, never read from the code that decides it.

A row names those who get the answer; all others must be refused. The columns:

owner, admin, agent   users of the account, with all that their role may
read, write           the owner again, with a token of that scope
operator, service     the vendor's operator, who is a staff member here, and another service
staff                 the staff member again, with a token under a grant of the account
customer              a customer of the account, in the portal
app_read, app_write   the customer again, by an app with that scope
suspended             the owner, while the account is suspended
"""

from __future__ import annotations

USERS = "owner admin agent"
CUSTOMERS = "customer app_read app_write"

ALLOWED: dict[str, dict[str, str]] = {
    "contacts": {
        "keep_account_state": "",  # lifecycle alone
        "list_reads": "owner admin read write",
        "add_mailbox": "owner admin operator",
        "add_organisation": f"{USERS} write",
        "add_user_person": "service",
        "find_subjects": "service",
        "list_staff_lookups": "owner admin read write",
        "list_persons": f"{USERS} read write staff",
        "preview_subject": "service",
        "probe_subject": "service",
        "person_of_address": "service",
        "render_spellings": "service",
        "show_own_profile": CUSTOMERS,
        "show_person": f"{USERS} read write service staff",
        "take_in": "service",
    },
    "tickets": {
        "keep_account_state": "",  # lifecycle alone
        "list_reads": "owner admin read write",
        "import_mails": f"{USERS} write",
        "known_sources": f"{USERS} read write",
        "list_own_tickets": CUSTOMERS,
        "show_own_attachment": CUSTOMERS,
        "show_own_ticket": CUSTOMERS,
        "list_put_aside": f"{USERS} read write staff",
        "list_staff_lookups": "owner admin read write",
        "list_tickets": f"{USERS} read write staff",
        "messages_of": f"{USERS} read write staff",
        "preview_subject": "service",
        "probe_subject": "service",
        "search_tickets": f"{USERS} read write staff",
        "show_attachment": f"{USERS} read write staff",
        "show_put_aside": f"{USERS} read write staff",
        "show_ticket": f"{USERS} read write staff",
    },
    "identity": {
        "keep_account_state": "",  # lifecycle alone
        "list_reads": "owner admin read write",
        "approve_staff_access": "owner",
        "break_glass": "operator",
        "confirm_break_glass": "operator",
        "deny_staff_access": "owner",
        "end_staff_access": "operator",
        "list_staff_grants": "owner admin read write operator",
        "list_staff_lookups": "owner admin read write",
        "open_staff_session": "operator",
        "request_staff_access": "operator",
        "revoke_staff_access": "owner",
        "show_staff_grant": "owner admin read write operator",
        "ask_sign_in_link": "service",
        "sign_in_by_link": "service",
        "sign_in_by_password": "service",
        "list_own_sessions": CUSTOMERS,
        "end_own_session": "customer",
        "end_own_sessions": "customer",
        "list_saved_searches": CUSTOMERS,
        "add_saved_search": "customer app_write",
        "remove_saved_search": "customer app_write",
        "show_customer": f"{USERS} read write",
        "list_apps": "owner admin read write",
        "register_app": "owner admin",
        "show_app_request": CUSTOMERS,
        "answer_app": "customer",
        "list_own_app_grants": CUSTOMERS,
        "end_own_app_grant": "customer",
        "issue_app_tokens": "service",
        "revoke_app_token": "service",
        "remove_app": "owner admin",
        "set_portal_password": "customer",
        "add_user": "owner admin",  # the operator adds the first owner of an account only
        "list_users": f"{USERS} read write operator service staff",
        "mint_token": "operator",
        "preview_subject": "service",
        "probe_subject": "service",
        "remove_user": "owner admin",
        "show_user": f"{USERS} read write operator service staff",
        "users_of_persons": "service",
    },
    "erasure": {
        "keep_account_state": "",  # lifecycle alone
        "check_suppressed": "service",
        "claim_erasure": "service",
        "list_own_erasures": CUSTOMERS,
        "request_own_erasure": "customer",
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
        "keep_account_state": "",  # lifecycle alone
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
