"""One local stack: brought up, looked at, taken down. The tests' faults (kill, stop, start with a failpoint) as well.

What runs belongs to the supervisor, a process of its own (`supervisor.py`); a `Stack` object is only a handle on a home, so
any number of them, in any process, may look after the same stack.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from deploy.stack import certificate, control, databases, edges, ports, processes, rabbitmq, readiness
from deploy.stack.errors import StackError
from deploy.stack.postgres import Postgres
from deploy.stack.processes import CHECKOUT, SERVER, Program, base_environment
from deploy.stack.rabbitmq import RabbitMQ
from shared import clock, root_keys
from shared.checkpoint_push import pushes_of
from shared.settings import EDGES, LOCAL_CELL, ROLES, SERVICES, SMTP_FROM
from shared.tokens import OPERATOR_ISSUER, create_token_key

SERVERS = ("postgres", "epmd", "rabbitmq", "mailbox")
MAIL_SENDERS = ("identity",)
"""The services that send mail: with one of them comes the mailbox, unless LETHE_SMTP_URL names a mail server."""
FOLDERS = ("logs", "run", "blobs", "tiles", "verifiers")
OWN_ENTRIES = (
    *FOLDERS, "postgres", "rabbitmq", "gateway", "root-keys", "key-dumps", "stack.json", "ports.json",
    "clock",
)  # fmt: skip
START_SECONDS = 60.0
STOP_SECONDS = 60.0


class Stack:
    """`home` holds everything. `replicas` says how many processes each service and the gateway have (default: one each of all);
    a service that is not in it has neither process nor relay, one with 0 its relay only. `note` is told what is being done.

    A process is named as in `status`: "postgres", "rabbitmq", "relay-tickets", "tickets-0"; "tickets" means all replicas.
    """

    def __init__(
        self, home: Path, replicas: dict[str, int] | None = None, note: Callable[[str], None] = lambda _: None
    ) -> None:
        self.home = home.absolute()
        self.replicas = dict.fromkeys((*SERVICES, *EDGES), 1) if replicas is None else dict(replicas)
        self._note = note
        self._supervisor: subprocess.Popen[bytes] | None = None

    # -------------------------------------------------------------------------------------------------------- up and down

    def up(self, wait: bool = True) -> None:
        """Brings up what does not run. Returns when every service takes calls, every relay leads and every gateway answers,
        unless `wait` is False. Raises `StackError` if that does not come about.
        """
        began = clock.now()
        self._make_home()
        with self._lock():
            if control.ask(self.home, {"do": "status"}) is None and (left := processes.stop_orphans(self.home)):
                self._note(f"stopped what a supervisor had left behind: {', '.join(left)}")
            self._ensure_supervisor()
            amqp_url = self._start_servers()
            self._start_relays()
            self._start_edges()
            if wait:
                self._await_workers(amqp_url, began)
        self._note("the stack is up" if wait else "everything is started")

    def down(self) -> None:
        """Stops everything of this home's. Servers named by LETHE_DATABASE_URL and LETHE_AMQP_URL go on."""
        if not (self.home / "run").is_dir():
            return
        with self._lock():
            pid = processes.find(self.home, "supervisor")
            if pid is not None:
                self._note("stopping")
                processes.send(pid, signal.SIGTERM)
                if processes.await_end([pid], STOP_SECONDS):
                    processes.send(pid, signal.SIGKILL)
                    processes.await_end([pid], 5)
            if self._supervisor is not None:
                self._supervisor.wait()
                self._supervisor = None
            processes.stop_orphans(self.home)
            (self.home / "run" / "supervisor.pid").unlink(missing_ok=True)
        self._note("the stack is down")

    def reset(self) -> None:
        """Takes the stack down and destroys all it holds, the root keys as well. Nothing of it can be read afterwards."""
        if self.home.exists() and (there := {path.name for path in self.home.iterdir()}) and not there & {"run", "stack.json"}:
            raise StackError(f"{self.home} is not the home of a stack")
        self.down()
        if admin_url := os.environ.get("LETHE_DATABASE_URL"):
            databases.drop(admin_url, SERVICES)
        for name in OWN_ENTRIES:
            path = self.home / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        self._note("everything of this stack is destroyed")

    # ------------------------------------------------------------------------------------------------------ one process

    def start(self, name: str, env: dict[str, str] | None = None) -> None:
        """Starts a process that was stopped, with `env` added. A `LETHE_FAILPOINT` counts for this run only: what the
        supervisor starts again is without it. Waits for nothing but the start.
        """
        for program in self._programs_of(name):
            extra = dict(env or {})
            once = {key: extra.pop(key) for key in ("LETHE_FAILPOINT",) if key in extra}
            changed = Program(**{**program.to_json(), "environment": program.environment | extra, "once": once})
            self._start(changed)

    def stop(self, name: str) -> None:
        """Stops a process gracefully and keeps it stopped; returns when it has ended."""
        names = self._running_names(name)
        for each in names:
            self._ask({"do": "stop", "name": each})
        self._await(lambda: all(self._states()[each]["state"] == "stopped" for each in names), STOP_SECONDS, f"stop of {name}")

    def kill(self, name: str) -> None:
        """`kill -9` of a process, which the supervisor then starts again; returns when it is dead."""
        pids = [pid for each in self._running_names(name) if (pid := self._states()[each]["pid"]) is not None]
        for pid in pids:
            processes.send(pid, signal.SIGKILL)
        processes.await_end(pids, 10)

    def pid(self, name: str) -> int | None:
        """The pid of a process (of a service, its first replica that runs); None while it does not run."""
        pids = (self._states().get(each, {}).get("pid") for each in self._expanded(name))
        return next((int(pid) for pid in pids if pid is not None), None)

    def await_ready(self, seconds: float = 30.0) -> None:
        """Waits until every service that is not stopped takes calls and every relay leads; `StackError` otherwise."""
        amqp_url = self._written()["amqp_url"]
        self._await(lambda: not self._missing(amqp_url), seconds, "the services' readiness", lambda: self._missing(amqp_url))

    def status(self) -> dict[str, Any]:
        """What `lethe status --json` shows: every process, the URLs, the paths. Without a stack: no processes."""
        written = self._written() if (self.home / "stack.json").exists() else {"databases": {}, "amqp_url": None}
        states = self._states()
        missing = self._missing(written["amqp_url"]) if states and written["amqp_url"] else []
        return {
            "home": str(self.home),
            "up": bool(states) and not missing and all(one["state"] == "running" for one in states.values()),
            "supervisor": processes.find(self.home, "supervisor"),
            "processes": [self._describe(name, state, missing) for name, state in sorted(states.items())],
            "databases": written["databases"],
            "admin_url": written.get("admin_url"),
            "amqp_url": written["amqp_url"],
            "smtp_url": written.get("smtp_url"),
            "gateway": edges.view(self.home, _edges_in(states), ports.load(self.home)),
            "tiles": {service: str(self.home / "tiles" / service) for service in SERVICES},
            "pushes": pushes_of(self.home / "run", SERVICES),
            "verifiers": {path.stem: str(path) for path in sorted((self.home / "verifiers").glob("*.vkey"))},
        }

    # --------------------------------------------------------------------------------------------------------- the home

    def _make_home(self) -> None:
        # root's PostgreSQL runs as another user, who has to pass through but may not look
        self.home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        for name in FOLDERS:
            (self.home / name).mkdir(mode=0o755 if name == "verifiers" else 0o700, exist_ok=True)
        root_keys.create(self.home, SERVICES)
        for issuer in (*SERVICES, *EDGES, OPERATOR_ISSUER):
            create_token_key(self.home / "root-keys", self.home / "verifiers", issuer)
        certificate.create(self.home)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """One `up` or `down` at a time."""
        descriptor = os.open(self.home / "run" / "stack.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _written(self) -> dict[str, Any]:
        try:
            written: dict[str, Any] = json.loads((self.home / "stack.json").read_text())
        except FileNotFoundError:
            raise StackError(f"there is no stack in {self.home}: `lethe up` makes one") from None
        return written

    def _write(self, settings: dict[str, Any]) -> None:
        path = self.home / "stack.json"
        beside = self.home / "stack.json-new"
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(settings, file, indent=1)
        beside.replace(path)

    # ------------------------------------------------------------------------------------------------------ the servers

    def _ensure_supervisor(self) -> None:
        if control.ask(self.home, {"do": "status"}) is not None:
            return
        log_path = self.home / "logs" / "supervisor.log"
        processes.rotate(log_path)
        environment = base_environment(self.home) | {"PYTHONPATH": str(CHECKOUT)}
        with log_path.open("ab") as log:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-m", "deploy.stack.supervisor"], cwd=CHECKOUT, env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._await(lambda: control.ask(self.home, {"do": "status"}) is not None, 10, f"supervisor's start; see {log_path}")

    def _start_servers(self) -> str:
        """Servers, databases, topology. Returns the broker's URL."""
        own_database, own_broker = "LETHE_DATABASE_URL" not in os.environ, "LETHE_AMQP_URL" not in os.environ
        running, settled = self._running(), self._settle(edges.port_names(edges.FIRST))
        postgres, broker = Postgres(self.home, settled["postgres"]), RabbitMQ(self.home, settled)
        if own_broker:
            self._start_broker(broker, running)
        amqp_url = broker.url() if own_broker else os.environ["LETHE_AMQP_URL"]
        smtp_url = os.environ.get("LETHE_SMTP_URL") or self._start_mailbox(settled["mailbox"])
        topology = self._begin_topology()
        try:
            if own_database:
                self._start_postgres(postgres, running)
            addresses = {"smtp_url": smtp_url, "public_url": edges.url_of(settled[edges.FIRST])}
            self._make_databases(postgres, own_database, amqp_url, addresses)
            self._start_services()  # they import while RabbitMQ starts, and wait for it
            rabbitmq.await_broker(amqp_url, START_SECONDS, f"see {self.home / 'logs' / 'rabbitmq.log'}")
            self._end_topology(topology, amqp_url)
        finally:
            if topology.poll() is None:
                topology.kill()
            topology.wait()
        return amqp_url

    def _start_broker(self, broker: RabbitMQ, running: frozenset[str]) -> None:
        if "rabbitmq" not in running:
            self._note("starting RabbitMQ")
            broker.prepare()
        mapper, node = broker.programs()
        self._start(mapper)
        broker.await_mapper(5)
        self._start(node)

    def _start_mailbox(self, port: int) -> str:
        """The private mailbox, where a service that sends mail runs; gives its URL in any case, so that one may be started."""
        if any(self.replicas.get(service) for service in MAIL_SENDERS):
            self._start(self._mailbox(port))
        return f"smtp://127.0.0.1:{port}"

    def _start_postgres(self, postgres: Postgres, running: frozenset[str]) -> None:
        if "postgres" not in running:
            self._note("starting PostgreSQL")
            postgres.prepare()
        self._start(postgres.program())
        postgres.await_ready(START_SECONDS)

    def _make_databases(self, postgres: Postgres, own: bool, amqp_url: str, addresses: dict[str, str]) -> None:
        from shared import migrations  # late, since Alembic takes long to import and `status` does without

        admin_url = postgres.admin_url() if own else os.environ["LETHE_DATABASE_URL"]
        known = self._written()["databases"] if (self.home / "stack.json").exists() else {}
        passwords = databases.create(admin_url, SERVICES, known)

        def url(service: str, role: str) -> str:
            database = databases.database_name(service)
            who = (database, f"{database}_{role}", passwords[service][role])
            return postgres.url(*who) if own else databases.url_for(admin_url, *who)

        urls = {service: {role: url(service, role) for role in ROLES} for service in SERVICES}
        sender = {"smtp_from": os.environ.get("LETHE_SMTP_FROM") or SMTP_FROM}
        servers = {"amqp_url": amqp_url, "databases": urls, "admin_url": admin_url}
        self._write({"cell": LOCAL_CELL, **servers, **addresses, **sender})
        self._note("bringing the databases to their newest schema")
        for service in SERVICES:
            migrations.upgrade(urls[service]["owner"], service)

    def _begin_topology(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.stack.topology", *SERVICES], cwd=CHECKOUT, text=True,
            env=base_environment(self.home), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def _end_topology(self, topology: subprocess.Popen[str], amqp_url: str) -> None:
        try:
            _, errors = topology.communicate(amqp_url + "\n", timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            raise StackError("declaring the exchanges and queues took too long") from None
        if topology.returncode != 0:
            raise StackError(f"the exchanges and queues could not be declared: {errors.strip()[-1500:]}")

    # ------------------------------------------------------------------------------------------------------- processes

    def _start_services(self) -> None:
        for service in (name for name in self.replicas if name in SERVICES):
            for replica in range(self.replicas[service]):
                self._start(self._replica(service, replica))

    def _start_relays(self) -> None:
        """Only after the queues are declared: an event published before would reach nobody."""
        self._note("starting relays")
        for service in (name for name in self.replicas if name in SERVICES):
            self._start(self._relay(service))

    def _start_edges(self) -> None:
        for edge in (name for name in self.replicas if name in EDGES):
            self._note(f"starting the {edge}")
            for replica in range(self.replicas[edge]):
                self._start(self._edge(f"{edge}-{replica}"))

    def _await_workers(self, amqp_url: str, began: datetime) -> None:
        """Waits for all but those that refuse to start: for these no time helps, only what they say."""
        what = f"the services' start; see {self.home / 'logs'}"
        refused: set[str] = set()

        def missing() -> list[str]:
            nonlocal refused
            refused = self._refused()
            return [one for one in self._missing(amqp_url) if one.removeprefix("relay-") not in refused]

        self._await(lambda: not missing(), START_SECONDS, what, lambda: self._missing(amqp_url))
        if refused:
            raise StackError(f"these refuse to start: {', '.join(sorted(refused))}{self._said(sorted(refused), began)}")

    def _refused(self) -> set[str]:
        """The services of which a process refuses to start."""
        return {name.rpartition("-")[0] for name, state in self._states().items() if state["state"] == "refused"}

    def _said(self, names: Sequence[str], since: datetime) -> str:
        """What these processes wrote of errors since then, a line each."""
        return "".join(f"\n{name}: {error}" for name in names for error in readiness.errors_since(self.home, name, since))

    def _missing(self, amqp_url: str) -> list[str]:
        states = {name: state for name, state in self._states().items() if state["state"] != "stopped"}
        services = sorted({name.rpartition("-")[0] for name in states if name.rpartition("-")[0] in SERVICES})
        relays = {name.removeprefix("relay-"): state["pid"] for name, state in states.items() if name.startswith("relay-")}
        settled = ports.load(self.home)
        outside = [name for name in states if edges.is_edge(name) and not edges.answers(self.home, settled[name])]
        return readiness.not_ready(self.home, amqp_url, services, relays) + outside

    def _programs_of(self, name: str) -> list[Program]:
        if name in SERVERS:
            settled = ports.load(self.home)
            own = [
                Postgres(self.home, settled["postgres"]).program(), *RabbitMQ(self.home, settled).programs(),
                self._mailbox(settled["mailbox"]),
            ]  # fmt: skip
            return [program for program in own if program.name == name]
        if name.startswith("relay-"):
            return [self._relay(name.removeprefix("relay-"))]
        if name in EDGES or edges.is_edge(name):
            return [self._edge(each) for each in self._expanded(name)]
        pairs = (each.rpartition("-") for each in self._expanded(name))
        return [self._replica(service, int(replica)) for service, _, replica in pairs]

    def _replica(self, service: str, replica: int) -> Program:
        return self._worker(f"{service}-{replica}", ["shared.service_runner", service, str(replica)])

    def _relay(self, service: str) -> Program:
        return self._worker(f"relay-{service}", ["shared.relay", service])

    def _mailbox(self, port: int) -> Program:
        """It stops after the services, whose last mails it takes."""
        arguments = [sys.executable, "-m", "deploy.stack.mailbox", str(port)]
        return Program("mailbox", arguments, base_environment(self.home), str(CHECKOUT), layer=SERVER)
    def _edge(self, name: str) -> Program:
        return edges.program(self.home, name, self._settle(edges.port_names(name)))

    def _settle(self, also: Sequence[str] = ()) -> dict[str, int]:
        """The ports of the servers and of what is named beside them. What runs keeps its own."""
        running = self._running()
        held = {"distribution"} if "rabbitmq" in running else set()
        held |= {port for name in running if edges.is_edge(name) for port in edges.port_names(name)}
        return ports.settle(self.home, running | held, also)

    def _running(self) -> frozenset[str]:
        return frozenset(name for name, state in self._states().items() if state["state"] == "running")

    def _worker(self, name: str, module: list[str]) -> Program:
        if not any(service in module for service in SERVICES):
            raise StackError(f"there is no process {name}")
        return Program(name, [sys.executable, "-m", *module], base_environment(self.home), str(CHECKOUT))

    def _expanded(self, name: str) -> list[str]:
        if name not in (*SERVICES, *EDGES):
            return [name]
        running = [each for each in self._states() if each.rpartition("-")[0] == name]
        return sorted(running) or [f"{name}-{replica}" for replica in range(max(1, self.replicas.get(name, 1)))]

    def _running_names(self, name: str) -> list[str]:
        states = self._states()
        names = [each for each in self._expanded(name) if each in states]
        if not names:
            raise StackError(f"there is no process {name} in the stack of {self.home}")
        return names

    def _start(self, program: Program) -> None:
        self._ask({"do": "start", "program": program.to_json()})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = control.ask(self.home, request)
        if answer is None:
            raise StackError(f"the stack of {self.home} is not up")
        return answer

    def _states(self) -> dict[str, dict[str, Any]]:
        answer = control.ask(self.home, {"do": "status"})
        return answer["processes"] if answer else {}

    def _describe(self, name: str, state: dict[str, Any], missing: list[str]) -> dict[str, Any]:
        service, _, replica = name.rpartition("-")
        service = name.removeprefix("relay-") if name.startswith("relay-") else service
        kind = "server" if name in SERVERS else "relay" if name.startswith("relay-") else "service"
        kind = "edge" if edges.is_edge(name) else kind
        waits = state["state"] == "running" and (name in missing or (kind == "service" and service in missing))
        return {
            "name": name,
            "kind": kind,
            "service": None if kind in ("server", "edge") else service,
            "replica": int(replica) if kind in ("service", "edge") else None,
            "pid": state["pid"],
            "state": "starting" if waits else state["state"],
            "restarts": state["restarts"],
            "log": str(self.home / "logs" / f"{name}.log"),
        }

    def _await(
        self, condition: Callable[[], bool], seconds: float, what: str, missing: Callable[[], list[str]] = list
    ) -> None:
        began, deadline = clock.now(), time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                names = missing()
                lacks = f" (not up: {', '.join(names)})" if names else ""
                raise StackError(f"not within {seconds:g} s: {what}{lacks}{self._said(names, began)}")
            time.sleep(0.05)


def _edges_in(states: dict[str, dict[str, Any]]) -> list[str]:
    """The edges that are not stopped."""
    return [name for name, state in states.items() if edges.is_edge(name) and state["state"] != "stopped"]
