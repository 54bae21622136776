"""The table of attacks: what a file, a workflow, a server, a user or a model may send, and what has to come of it.

Each row of a table here is one attack and the outcome that is required. Attacks that belong to one module alone stand
beside that module's tests, such as hostile JSON in tests/graph/test_reading.py.
"""
