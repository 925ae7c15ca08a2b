"""Deployment: the local stack (`deploy/stack`), the generated demo mail and the set-up of a machine (`bootstrap.sh`)."""
