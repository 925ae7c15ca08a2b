"""Who may call which RPC method: written by hand from the pages that promise it, never read from the code that decides it.

A row names those who get the answer; all others must be refused. The columns:

owner, admin, agent   users of the account, with all that their role may
read, write           the owner again, with a token of that scope
operator              the vendor's operator, who is a staff member here
service, gateway      another service, and the gateway for those who are not known yet
staff                 the staff member again, with a token under a grant of the account
customer              a customer of the account, in the portal
app_read, app_write   the customer again, by an app with that scope
suspended             the owner, while the account is suspended
"""

from __future__ import annotations

USERS = "owner admin agent"
CUSTOMERS = "customer app_read app_write"
SERVICES = "service gateway"

ALLOWED: dict[str, dict[str, str]] = {
    "contacts": {
        "show_health": f"operator {SERVICES}",
        "keep_account_state": "",  # lifecycle alone
        "list_reads": "owner admin read write",
        "reads_of_person": SERVICES,
        "add_mailbox": "owner admin operator",
        "add_organisation": f"{USERS} write",
        "add_user_person": SERVICES,
        "find_subjects": SERVICES,
        "list_staff_lookups": "owner admin read write",
        "list_persons": f"{USERS} read write staff",
        "preview_subject": SERVICES,
        "probe_subject": SERVICES,
        "person_of_address": SERVICES,
        "render_spellings": SERVICES,
        "show_own_profile": CUSTOMERS,
        "show_person": f"{USERS} read write {SERVICES} staff",
        "take_in": SERVICES,
    },
    "tickets": {
        "show_health": f"operator {SERVICES}",
        "keep_account_state": "",  # lifecycle alone
        "list_reads": "owner admin read write",
        "reads_of_person": SERVICES,
        "import_mails": f"{USERS} write",
        "known_sources": f"{USERS} read write",
        "list_own_tickets": CUSTOMERS,
        "show_own_attachment": CUSTOMERS,
        "show_own_ticket": CUSTOMERS,
        "list_put_aside": f"{USERS} read write staff",
        "list_staff_lookups": "owner admin read write",
        "list_tickets": f"{USERS} read write staff",
        "messages_of": f"{USERS} read write staff",
        "preview_subject": SERVICES,
        "probe_subject": SERVICES,
        "search_tickets": f"{USERS} read write staff",
        "show_attachment": f"{USERS} read write staff",
        "show_put_aside": f"{USERS} read write staff",
        "show_ticket": f"{USERS} read write staff",
    },
    "identity": {
        "show_health": f"operator {SERVICES}",
        "keep_account_state": "",  # lifecycle alone
        "list_reads": "owner admin read write",
        "reads_of_person": SERVICES,
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
        "ask_sign_in_link": SERVICES,
        "sign_in_by_link": SERVICES,
        "sign_in_by_password": SERVICES,
        "list_own_sessions": CUSTOMERS,
        "end_own_session": "customer",
        "end_own_sessions": "customer",
        "list_saved_searches": CUSTOMERS,
        "add_saved_search": "customer app_write",
        "remove_saved_search": "customer app_write",
        "show_customer": f"{USERS} read write",
        "list_own_reads": CUSTOMERS,
        "list_told_reads": f"{USERS} read write",
        "list_apps": "owner admin read write",
        "register_app": "owner admin",
        "show_app_request": CUSTOMERS,
        "answer_app": "customer",
        "list_own_app_grants": CUSTOMERS,
        "end_own_app_grant": "customer",
        "issue_app_tokens": SERVICES,
        "revoke_app_token": SERVICES,
        "remove_app": "owner admin",
        "set_portal_password": "customer",
        "authenticate": SERVICES,
        "log_in": SERVICES,
        "complete_login": SERVICES,
        "change_password": USERS,
        "set_first_password": "operator",
        "list_sessions": f"{USERS} read write",
        "end_session": USERS,
        "end_sessions": USERS,
        "list_api_tokens": f"{USERS} read write",
        "create_api_token": USERS,
        "revoke_api_token": USERS,
        "show_second_factor": f"{USERS} read write",
        "begin_second_factor": f"{USERS} {SERVICES}",  # for a login that waits for it, the gateway
        "confirm_second_factor": f"{USERS} {SERVICES}",
        "disable_second_factor": USERS,
        "renew_recovery_codes": USERS,
        "reset_second_factor": "owner admin",
        "require_second_factor": "owner",
        "list_invitations": "owner admin read write",
        "invite_user": "owner admin",  # the operator and the gateway: the first owner of an account only
        "withdraw_invitation": "owner admin",
        "accept_invitation": SERVICES,
        "request_password_reset": SERVICES,
        "reset_password": SERVICES,
        "confirm_login": SERVICES,
        "request_range_recovery": SERVICES,
        "show_ip_ranges": "owner admin read write",
        "set_ip_ranges": "owner",
        "add_first_owner": f"operator {SERVICES}",
        "change_role": "owner admin",
        "change_profile": USERS,  # their own; owners and admins also that of others
        "deactivate_user": "owner admin",
        "reactivate_user": "owner admin",
        "delete_user": "owner admin",
        "add_user": "owner admin",  # the operator adds the first owner of an account only
        "list_users": f"{USERS} read write operator {SERVICES} staff",
        "mint_token": "operator",
        "preview_subject": SERVICES,
        "probe_subject": SERVICES,
        "remove_user": "owner admin",
        "show_user": f"{USERS} read write operator {SERVICES} staff",
        "users_of_persons": SERVICES,
    },
    "erasure": {
        "show_health": f"operator {SERVICES}",
        "keep_account_state": "",  # lifecycle alone
        "check_suppressed": SERVICES,
        "claim_erasure": SERVICES,
        "list_own_erasures": CUSTOMERS,
        "request_own_erasure": "customer",
        "what_keeps_account": SERVICES,
        "place_hold": "owner admin",
        "release_hold": "owner admin",
        "show_hold": "owner admin read write",
        "list_holds": "owner admin read write",
        "list_erasures": f"{USERS} read write",
        "preview_erasure": f"{USERS} read write",
        "preview_subject": SERVICES,
        "probe_subject": SERVICES,
        "request_erasure": f"{USERS} write",
        "retry_erasure": f"{USERS} write",
        "show_certificate": f"{USERS} read write",
        "show_erasure": f"{USERS} read write",
        "suppress": SERVICES,
    },
    "audit": {
        "show_health": f"operator {SERVICES}",
        "clear_alert": "operator",
        "compare_checkpoint": "operator",
        "list_alerts": "operator",
        "list_seen_checkpoints": "operator",
    },
    "lifecycle": {
        "show_health": f"operator {SERVICES}",
        "keep_account_state": "",  # lifecycle alone
        "find_account": f"operator {SERVICES}",
        "list_accounts": "operator",
        "open_account": f"operator {SERVICES}",  # the gateway, for who signs up
        "preview_subject": SERVICES,
        "probe_subject": SERVICES,
        "note_billing": "operator",
        "resume_account": "operator",
        "show_account": f"{USERS} read write operator {SERVICES} suspended",
        "suspend_account": "operator",
        "upgrade_account": "operator",
        "end_account": "operator",
        "show_account_end": "operator",
    },
}  # fmt: skip
