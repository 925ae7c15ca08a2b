"""The audit service: watches every service's log. RPC methods and the watch's thread, nothing else; the work is in `watch.py`
and `handlers.py`.

What it knows is the cell's, not an account's: operators alone may ask, by the operator's token, and nobody of an account.
"""

from __future__ import annotations

from services.audit import handlers, queries
from services.audit.commands import (
    AlertPage,
    AlertView,
    ClearAlert,
    CompareCheckpoint,
    ComparedCheckpoint,
    ListAlerts,
    ListSeenCheckpoints,
    SeenCheckpointPage,
)
from services.audit.events import TYPES
from services.audit.projections import project
from services.audit.watch import Watch
from shared.ids import is_id
from shared.rpc import Call, rpc_method
from shared.service import OPERATORS, CellService, Resources, Runtime
from shared.work import SYSTEM_ACTOR


class AuditResources:
    """The service's resources, and its watch."""

    def __init__(self, resources: Resources) -> None:
        self.store = resources.store
        self.client = resources.client
        self.watch = Watch(resources.store, resources.settings)


class WatchingRuntime(Runtime):
    """Lets the watch run for as long as the process serves.

    A thread of its own and not nameko's timer, which counts by the time of day: a clock put back an hour would stop it for one.
    """

    def start(self) -> None:
        super().start()
        self.container.spawn_managed_thread(self.resources.watch.run)

    def stop(self) -> None:
        self.resources.watch.stop()
        super().stop()


class AuditService(CellService):
    """The checkpoints that were seen, and the alerts."""

    name = "audit"
    runtime = WatchingRuntime(TYPES, project, AuditResources)

    @rpc_method(argument=ListAlerts, result=AlertPage, roles=OPERATORS, scope="read")
    def list_alerts(self, call: Call) -> AlertPage:
        """A page of the alerts about the cell's logs, the newest first."""
        return queries.list_alerts(self.store, call.argument)

    @rpc_method(argument=ClearAlert, result=AlertView, roles=OPERATORS, scope="manage")
    def clear_alert(self, call: Call) -> AlertView:
        """Say that an alert was looked into. Where its cause is still there, it is raised anew."""
        actor = call.actor.id if is_id(call.actor.id) else SYSTEM_ACTOR
        return handlers.clear_alert(self.store, actor, call.argument)

    @rpc_method(argument=ListSeenCheckpoints, result=SeenCheckpointPage, roles=OPERATORS, scope="read")
    def list_seen_checkpoints(self, call: Call) -> SeenCheckpointPage:
        """A page of the signed checkpoints that are kept of one log."""
        return queries.list_seen_checkpoints(self.store, call.argument)

    @rpc_method(argument=CompareCheckpoint, result=ComparedCheckpoint, roles=OPERATORS, scope="manage")
    def compare_checkpoint(self, call: Call) -> ComparedCheckpoint:
        """Hand in a checkpoint that somebody outside has seen; an alert is raised where it contradicts what was seen here."""
        return handlers.compare_checkpoint(self.store, call.argument)
