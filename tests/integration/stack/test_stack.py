"""The local stack: it comes up, keeps itself up, shares nothing with another, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import psycopg2.extensions
import pytest

from deploy.stack import Stack, StackError, ports, processes
from deploy.stack.doctor import examine
from shared.settings import ROLES, SERVICES
from tests.support.stacks import running_stack

RECOVERY_SECONDS = 30.0


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Stack]:
    """A stack for these tests, which kill its processes: PostgreSQL, RabbitMQ, one service, and one more relay."""
    with running_stack({"contacts": 1, "identity": 0}) as made:
        yield made


def wait_until(condition: Callable[[], bool], what: str, seconds: float = RECOVERY_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


def test_everything_that_was_asked_for_runs(own_stack: Stack) -> None:
    """`status` names each process with its pid and log, and says that the stack is up."""
    status = own_stack.status()
    assert status["up"]
    expected = {"postgres", "epmd", "rabbitmq", "contacts-0", "relay-contacts", "relay-identity"}
    assert expected == {process["name"] for process in status["processes"]}
    assert all(os.path.exists(process["log"]) for process in status["processes"])
    assert set(SERVICES) == set(status["databases"])


def test_every_role_reaches_its_own_database_and_no_other(own_stack: Stack) -> None:
    """The URLs of `stack.json` work, and a role of one service is refused by another's database."""
    databases = json.loads((own_stack.home / "stack.json").read_text())["databases"]
    for service in SERVICES:
        assert set(ROLES) == set(databases[service])
        for url in databases[service].values():
            psycopg2.connect(url).close()
    foreign = databases["tickets"]["service"]
    name = psycopg2.extensions.parse_dsn(databases["contacts"]["owner"])["dbname"]
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        psycopg2.connect(foreign, dbname=name)


def test_secrets_are_closed_to_others(own_stack: Stack) -> None:
    """Passwords and keys are readable by their owner alone."""
    home = own_stack.home
    for path in (home / "stack.json", home / "rabbitmq/password", home / "rabbitmq/rabbitmq.conf", home / "postgres/password"):
        assert 0o600 == path.stat().st_mode & 0o777, path
    assert 0o700 == (home / "root-keys").stat().st_mode & 0o777


@pytest.mark.parametrize("name", ["contacts-0", "relay-contacts", "postgres", "rabbitmq", "epmd"])
def test_what_is_killed_comes_back(own_stack: Stack, name: str) -> None:
    """After `kill -9` of any process all is up again within 30 s, without anybody's help."""
    killed = own_stack.pid(name)
    own_stack.kill(name)
    wait_until(lambda: own_stack.pid(name) not in (None, killed), f"a new process of {name}")
    wait_until(lambda: bool(own_stack.status()["up"]), f"the stack's recovery from the end of {name}")


def test_what_is_stopped_stays_stopped_until_it_is_started(own_stack: Stack) -> None:
    """A stop is graceful and lasts; the service that is named without a replica is all of its replicas."""
    own_stack.stop("contacts")
    assert own_stack.pid("contacts") is None
    assert own_stack.status()["up"] is False
    own_stack.start("contacts")
    own_stack.await_ready()
    assert own_stack.pid("contacts-0") is not None


def test_a_failpoint_counts_for_one_run(own_stack: Stack) -> None:
    """A process that is started with a failpoint is started again without it."""
    own_stack.stop("relay-contacts")
    own_stack.start("relay-contacts", {"LETHE_FAILPOINT": "relay.indexed", "LETHE_EXTRA": "kept"})
    first = own_stack.pid("relay-contacts")
    assert "LETHE_FAILPOINT=relay.indexed" in environment_of(first)
    own_stack.kill("relay-contacts")
    wait_until(lambda: own_stack.pid("relay-contacts") not in (None, first), "a new relay")
    second = environment_of(own_stack.pid("relay-contacts"))
    assert "LETHE_EXTRA=kept" in second, second
    assert not any(entry.startswith("LETHE_FAILPOINT=") for entry in second)
    own_stack.await_ready()


def environment_of(pid: int | None) -> list[str]:
    """What a process was started with; while it is on its way from one program to the next there is nothing to read."""
    found: list[str] = []

    def read() -> bool:
        found[:] = Path(f"/proc/{pid}/environ").read_text().split("\0")
        return found != [""]

    wait_until(read, "an environment")
    return found


def test_unknown_names_are_refused(own_stack: Stack) -> None:
    """A name that is no process is an error, not a process."""
    with pytest.raises(StackError):
        own_stack.stop("nobody")
    with pytest.raises(StackError):
        own_stack.start("nobody-0")


def test_a_second_up_changes_nothing(own_stack: Stack) -> None:
    """`up` of a stack that is up leaves every process alone."""
    before = {process["name"]: process["pid"] for process in own_stack.status()["processes"]}
    Stack(own_stack.home, own_stack.replicas).up()
    assert before == {process["name"]: process["pid"] for process in own_stack.status()["processes"]}


def test_who_refuses_to_start_is_told_at_once(own_stack: Stack) -> None:
    """`up` waits for the others only, and says what it is; so does the doctor. It is not started over and over, and the next
    `up` finds it mended."""
    own_stack.stop("contacts")
    marker = own_stack.home / "tiles" / "contacts" / "recovering"
    marker.parent.mkdir(exist_ok=True)
    marker.write_text(json.dumps({"size": 0}))
    again = Stack(own_stack.home, own_stack.replicas)
    with pytest.raises(StackError, match=r"refuse to start: contacts\n.*lethe recover"):
        again.up()
    states = {process["name"]: process for process in own_stack.status()["processes"]}
    assert "refused" == states["contacts-0"]["state"]
    assert 1 == states["contacts-0"]["restarts"]
    assert not own_stack.status()["up"]
    (found,) = [check for check in examine(own_stack.home) if check.name == "contacts-0"]
    assert not found.holds and "lethe recover" in found.found
    marker.unlink()
    again.up()
    assert own_stack.status()["up"]


@pytest.mark.timeout(120)
def test_a_killed_supervisor_leaves_nothing_that_is_not_found(new_stack: Callable[..., Stack]) -> None:
    """After `kill -9` of the supervisor, `up` stops what it left and brings all up; after another, `down` ends all."""
    stack = new_stack({"contacts": 0})
    for bring in (stack.up, stack.down):
        supervisor = processes.find(stack.home, "supervisor")
        assert supervisor is not None
        left = [pid for name, (pid, _) in processes.all_noted(stack.home).items() if name != "supervisor"]
        assert 4 == len(left)
        os.kill(supervisor, signal.SIGKILL)
        bring()
        assert [] == [pid for pid in left if processes.started_at(pid) is not None]
    assert {} == processes.all_noted(stack.home)


@pytest.mark.timeout(120)
def test_two_stacks_live_side_by_side(own_stack: Stack, new_stack: Callable[..., Stack]) -> None:
    """Another home has other ports; what happens to one does nothing to the other; what it held is there again after `up`."""
    other = new_stack({})
    kept = [json.loads((stack.home / "ports.json").read_text()) for stack in (own_stack, other)]
    # of what does not run a port is kept as well: another home may have taken it
    servers = [{of_home[name] for name in ports.NAMES} for of_home in kept]
    assert not servers[0] & servers[1]
    admin_url = other.status()["admin_url"]
    with psycopg2.connect(admin_url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    connection.close()
    other.down()
    assert own_stack.status()["up"]
    other.up()
    with psycopg2.connect(admin_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT answer FROM kept")
        assert (42,) == cursor.fetchone()
    connection.close()
    (other.home / "key-dumps" / "a").mkdir(parents=True)  # as a rotation leaves them
    other.reset()
    assert [] == list(other.home.iterdir())
