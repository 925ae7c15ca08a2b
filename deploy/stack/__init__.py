"""The local stack: a private PostgreSQL, a private RabbitMQ, every service and every relay, wholly under one home.

`Stack` (in `stack.py`) is the only thing that others use. It never imports a service: what has to be known of the services'
code is asked of a process of its own, so that nameko and eventlet stay out of the caller.
"""

from deploy.stack.errors import StackError
from deploy.stack.stack import Stack

__all__ = ["Stack", "StackError"]
