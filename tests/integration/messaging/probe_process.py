"""Runs the probe service as `shared.service_runner` runs a real one: `python -m
tests.integration.messaging.probe_process 0`.
"""

from __future__ import annotations

import sys

from shared import service_runner  # first: it makes the standard library cooperative

if __name__ == "__main__":
    from tests.integration.messaging.probe_service import ProbeService

    sys.exit(service_runner.serve("probe", sys.argv[1], lambda: ProbeService))
