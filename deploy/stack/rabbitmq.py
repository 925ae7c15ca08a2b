"""A private RabbitMQ node: its settings, its port mapper (epmd), and how to run them. Nothing of the machine's is touched.

The node and its port mapper listen on 127.0.0.1 alone; it has its own cookie, user, password and vhost.
"""

from __future__ import annotations

import re
import secrets
import shutil
import socket
import time
from contextlib import closing
from pathlib import Path

import amqp

from deploy.stack.errors import StackError
from deploy.stack.processes import MAPPER, SERVER, Program, base_environment
from shared.broker_url import connection_parameters

USER = VHOST = "lethe"
SETTINGS = """\
default_user = {user}
default_pass = {password}
default_vhost = {vhost}
default_user_tags.administrator = true
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
log.console = true
log.console.level = warning
log.file = false
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
"""


def server_program() -> Path:
    """The script that runs a node in the foreground: not Debian's wrapper, which would change the user."""
    found = [Path("/usr/lib/rabbitmq/bin/rabbitmq-server"), *Path("/opt").glob("rabbitmq*/sbin/rabbitmq-server")]
    if on_path := shutil.which("rabbitmq-server"):
        found.append(Path(on_path).resolve())
    for path in found:
        if path.exists() and "script-wrapper" not in path.resolve().name:
            return path
    raise StackError("there is no RabbitMQ on this machine: install the package `rabbitmq-server`, or set LETHE_AMQP_URL")


def mapper_program() -> str:
    """Erlang's port mapper."""
    found = shutil.which("epmd") or next(map(str, Path("/usr/lib/erlang").glob("erts-*/bin/epmd")), None)
    if found is None:
        raise StackError("Erlang's epmd is missing: install the package `erlang-base`")
    return found


_NEEDS = re.compile(r"\{\s*(?:optional_|included_)?applications\s*,\s*\[([^\]]*)\]")


def needed(plugins: Path, application: str = "rabbit") -> list[Path]:
    """The folders of an Erlang application and of all that it needs, as far as they lie side by side in this one. Empty where
    the application is packed in another way."""
    names = ((path.name.rpartition("-")[0], path) for path in plugins.glob("*-*"))
    folders = {name: path for name, path in names if (path / "ebin" / f"{name}.app").is_file()}
    found: dict[str, Path] = {}
    waiting = [application]
    while waiting:
        name = waiting.pop()
        if name in folders and name not in found:
            found[name] = folders[name]
            described = (folders[name] / "ebin" / f"{name}.app").read_text()
            waiting += [each for match in _NEEDS.finditer(described) for each in re.findall(r"\w+", match[1])]
    return sorted(found.values()) if application in found else []


class RabbitMQ:
    """The node of one home."""

    def __init__(self, home: Path, ports: dict[str, int]) -> None:
        self.folder = home / "rabbitmq"
        self._home = home
        self._ports = ports

    def url(self) -> str:
        """The AMQP URL of its one user."""
        password = (self.folder / "password").read_text().strip()
        return f"amqp://{USER}:{password}@127.0.0.1:{self._ports['rabbitmq']}/{VHOST}"

    def prepare(self) -> None:
        """Makes its folder, password and settings."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("mnesia", "log"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        password = self.folder / "password"
        if not password.exists():
            beside = self.folder / "password-new"
            beside.touch(mode=0o600)
            beside.write_text(secrets.token_hex(24) + "\n")
            beside.replace(password)
        settings = self.folder / "rabbitmq.conf"
        settings.touch(mode=0o600)
        settings.write_text(SETTINGS.format(user=USER, vhost=VHOST, password=password.read_text().strip()))
        (self.folder / "plugins").write_text("[].\n")
        self._link_applications()

    def _link_applications(self) -> None:
        """Shows the node only what it runs. Erlang looks for each of its modules in all folders in turn, most of which have
        plugins that are off: with all of them a start takes a third longer."""
        shown = self.folder / "applications"
        shutil.rmtree(shown, ignore_errors=True)
        if wanted := needed(server_program().resolve().parent.parent / "plugins"):
            shown.mkdir()
            for each in wanted:
                (shown / each.name).symlink_to(each)

    def programs(self) -> tuple[Program, Program]:
        """How the supervisor runs them: the port mapper first."""
        environment = self._environment()
        mapper = [mapper_program(), "-address", "127.0.0.1", "-port", str(self._ports["epmd"])]
        return (
            Program("epmd", mapper, environment, str(self.folder), layer=MAPPER, stop_seconds=2.0),
            Program("rabbitmq", [str(server_program())], environment, str(self.folder), layer=SERVER, stop_seconds=20.0),
        )

    def _environment(self) -> dict[str, str]:
        folder, ports = str(self.folder), self._ports
        inherited = {name: value for name, value in base_environment(self._home).items() if not name.startswith("LETHE_")}
        shown = self.folder / "applications"
        return inherited | ({"RABBITMQ_PLUGINS_DIR": str(shown)} if shown.is_dir() else {}) | {
            "HOME": folder,
            "RABBITMQ_NODENAME": self._name(),
            "RABBITMQ_NODE_PORT": str(ports["rabbitmq"]),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(ports["distribution"]),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/rabbitmq-env.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "ERL_EPMD_PORT": str(ports["epmd"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP": "/dev/null",  # a dump of its memory would have message bodies in it
            # no shell in between: the process that we start is the node itself, and gets our signals
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
            ),
        }

    def _name(self) -> str:
        """The node's name. It is in its database, so it stays when the ports change."""
        path = self.folder / "node-name"
        if not path.exists():
            path.write_text(f"lethe-{secrets.token_hex(4)}@localhost\n")
        return path.read_text().strip()

    def await_mapper(self, seconds: float) -> None:
        """Returns when the port mapper listens: a node that starts before it would start one that nobody owns."""
        deadline = time.monotonic() + seconds
        while True:
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", self._ports["epmd"])) == 0:
                    return
            if time.monotonic() > deadline:
                raise StackError(f"Erlang's port mapper did not come up; see {self._home / 'logs' / 'epmd.log'}")
            time.sleep(0.02)


def await_broker(amqp_url: str, seconds: float, hint: str) -> None:
    """Returns when a broker takes a connection of its user; `StackError` with `hint` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with amqp.Connection(**connection_parameters(amqp_url)):
                return
        except (OSError, amqp.AMQPError):
            if time.monotonic() > deadline:
                raise StackError(f"RabbitMQ did not take our connection within {seconds:g} s; {hint}") from None
            time.sleep(0.1)


def consumers(amqp_url: str, queues: list[str]) -> dict[str, int]:
    """How many consume each queue; a queue that is not there has 0. Raises `OSError` or `amqp.AMQPError` if it is away."""
    found: dict[str, int] = {}
    with amqp.Connection(**connection_parameters(amqp_url)) as connection:
        for queue in queues:
            try:
                found[queue] = int(connection.channel().queue_declare(queue, passive=True).consumer_count)
            except amqp.NotFound:
                found[queue] = 0
    return found
