"""Ports of servers that come and go."""

import socket


def kept_port(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A socket that keeps a port for a server for as long as it is open, and does not listen itself.

    While the server is away connections are refused, and no other process gets the port. The server listens by
    `listen_at`.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    kept.bind((host, port))
    return kept


def listen_at(kept: socket.socket) -> socket.socket:
    """A socket that listens at a port which is kept."""
    return socket.create_server(kept.getsockname(), backlog=200, reuse_port=True)
