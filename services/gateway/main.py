"""The process of one gateway: `python -m services.gateway.main [replica]`.

Listens until SIGTERM or SIGINT; then it takes nothing new, finishes what it has begun, and leaves. It never runs without TLS.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Final

from services.gateway.app import build
from services.gateway.serving import Listener, https_listener, redirecting_listener
from services.gateway.settings import GatewaySettings
from shared import core_dumps, logs
from shared.rpc_client import RpcClient
from shared.tokens import TokenIssuer, TokenSource, service_actor

NAME: Final = "gateway"
log = logs.get_logger("lethe.gateway")


def listeners(settings: GatewaySettings) -> tuple[list[Listener], RpcClient]:
    """What this process listens with, and its client."""
    key_path = settings.home / "root-keys" / NAME / "token.key"
    client = RpcClient(settings.amqp_url, TokenSource(TokenIssuer(NAME, key_path), service_actor(NAME)))
    app = build(settings, client, key_path.read_bytes())
    made = [https_listener(app, settings)]
    plain = redirecting_listener(settings)
    return [*made, *([plain] if plain is not None else [])], client


async def serve(made: list[Listener]) -> None:
    """Listens until told to stop; if one listener ends, all do. Raises what made one end."""

    def stop() -> None:
        for one in made:
            one.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    running = [asyncio.create_task(one.serve()) for one in made]
    for task in running:
        task.add_done_callback(lambda _: stop())
    log.info("ready", pid=os.getpid(), port=made[0].config.port)
    await asyncio.gather(*running)


def main(arguments: list[str]) -> int:
    """The command line. Returns the exit status."""
    if len(arguments) > 1:
        sys.stderr.write("usage: python -m services.gateway.main [replica]\n")
        return 2
    core_dumps.switch_off()
    logs.configure(NAME, arguments[0] if arguments else "0")
    try:
        made, client = listeners(GatewaySettings.load())
        try:
            asyncio.run(serve(made))
        finally:
            client.close()
    except Exception as error:
        log.critical("gateway died", error=error)
        return 1
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
