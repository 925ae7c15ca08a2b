"""What each command's `--json` prints, as a type: the published contract of the command line with other programs."""

from __future__ import annotations

import importlib
from typing import Any

from audit.exported import ExportManifest
from audit.findings import Verdict as AuditVerdict
from audit.proof_check import ProofCheck
from audit.replay import ReplayResult
from audit.ticket_state import TicketState
from audit.trail import TrailPage
from cli.account_commands import CreatedAccount
from cli.audit_prove_commands import EventProofView, ExtensionProofView
from cli.canonical import CanonicalExport
from cli.certificate_commands import Verdict
from cli.clock_commands import ClockView
from cli.dead_letter_commands import DeadLetterList
from cli.erase_commands import Erased
from cli.import_report import ImportReport
from cli.keys_commands import KeysStatus, RotationView
from cli.mail_commands import MailList, MailWithText
from cli.person_export import PersonExport
from cli.reads_commands import ReadList
from cli.recover_commands import Recovery
from cli.rpc_commands import MethodList
from cli.staff_commands import LookedUpList
from services.audit.commands import AlertPage, AlertView, ComparedCheckpoint, SeenCheckpoint
from services.contacts.commands import PersonPage, PersonView
from services.erasure.commands import ErasureList, ErasureView, HoldList, HoldView, PreviewedErasure
from services.identity.commands import UserList, UserView
from services.identity.staff_commands import StaffGrantPage, StaffGrantView
from services.lifecycle.account import Step
from services.lifecycle.commands import AccountEndView, AccountPage, AccountView
from services.tickets.commands import PutAsideList, PutAsideView, SearchHits, TicketPage, TicketWithMessages
from shared.certificate import SignedCertificate

_OWN: dict[str, Any] = {
    "account create": CreatedAccount,
    "account list": AccountPage,
    "account show": AccountView,
    "account upgrade": AccountView,
    "account billing": AccountView,
    "account forecast": list[Step],
    "account suspend": AccountView,
    "account resume": AccountView,
    "account end": AccountEndView,
    "user add": UserView,
    "user list": UserList,
    "import-mail": ImportReport,
    "import-mail run": ImportReport,
    "import-mail put-aside list": PutAsideList,
    "import-mail put-aside show": PutAsideView,
    "import-mail put-aside retry": ImportReport,
    "person list": PersonPage,
    "person show": PersonView,
    "person export": PersonExport,
    "ticket list": TicketPage,
    "ticket show": TicketWithMessages,
    "recover": Recovery,
    "search": SearchHits,
    "reads": ReadList,
    "dead-letters list": DeadLetterList,
    "mail list": MailList,
    "mail show": MailWithText,
    "keys rotate": RotationView,
    "keys status": KeysStatus,
    "erase": Erased,
    "erase --dry-run": PreviewedErasure,
    "erasure list": ErasureList,
    "erasure show": ErasureView,
    "erasure retry": Erased,
    "hold place": HoldView,
    "hold list": HoldList,
    "hold show": HoldView,
    "hold release": HoldView,
    "certificate show": SignedCertificate,
    "certificate verify": Verdict,
    "export": CanonicalExport,
    "rpc list": MethodList,
    **dict.fromkeys(
        [f"staff {name}" for name in ("request", "break-glass", "confirm", "end", "approve", "deny", "revoke")], StaffGrantView
    ),
    "staff list": StaffGrantPage,
    "staff lookups": LookedUpList,
    "audit verify": list[AuditVerdict],
    "audit replay": list[ReplayResult],
    "audit alerts": AlertPage,
    "audit clear": AlertView,
    "audit compare": list[ComparedCheckpoint],
    "audit seen": list[SeenCheckpoint],
    "audit prove event": EventProofView,
    "audit prove extends": list[ExtensionProofView],
    "audit prove check": list[ProofCheck],
    "audit ticket": TicketState,
    "audit trail": TrailPage,
    "audit export": ExportManifest,
    "clock show": ClockView,
    "clock advance": ClockView,
}


def outputs() -> dict[str, Any]:
    """Command → the type of what its `--json` prints. Other groups of commands publish theirs as `OUTPUTS`."""
    found = dict(_OWN)
    try:
        found |= getattr(importlib.import_module("cli.stack_commands"), "OUTPUTS", {})
    except ModuleNotFoundError as missing:
        if missing.name != "cli.stack_commands":
            raise
    return found
