"""The command line `lethe`: one program for operators, auditors, tests and people who try it out.

It talks to the services over RPC as any caller does, and holds no decisions about people's data.
"""
