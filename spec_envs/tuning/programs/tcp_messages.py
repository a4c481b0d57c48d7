"""A program (see ``process.py``) that sends TCP messages over the loopback device of a private network namespace.

The argument is the core to run on. The first line says how the namespace was made. An order has the buffers' limits
``tcp_rmem_max`` and ``tcp_wmem_max``, ``message_bytes``, ``settle_s`` and ``window_s``. The answer has the
``latencies_ns`` of the messages (from sending to the acknowledgement), the ``cpu_share`` of the core, and under
``read`` the limits as they read back. The namespace ends with the program.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

from spec_envs.tuning.programs.wire import Orders, cpu_ns, end_with_parent, run, say, serve, window_ns

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_LIMITS = {"tcp_rmem_max": Path("/proc/sys/net/ipv4/tcp_rmem"), "tcp_wmem_max": Path("/proc/sys/net/ipv4/tcp_wmem")}
#: The kernel's defaults: the least size and the first size of a buffer.
_LEAST, _FIRST = 4096, {"tcp_rmem_max": 131072, "tcp_wmem_max": 16384}


def enter_namespace() -> str:
    """Move this process to an empty network, of which it is root; the name of the kind of namespace."""
    user, group = os.getuid(), os.getgid()
    try:
        _unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    except PermissionError:
        _unshare(_CLONE_NEWNET)  # root needs no user namespace, which may be switched off
        made = "net"
    else:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        made = "user+net"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
    return made


def _unshare(flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "unshare(2)")


def set_limit(name: str, limit: int) -> int:
    """Set the greatest size of a buffer, and return the size that reads back."""
    path = _LIMITS[name]
    path.write_text(f"{_LEAST} {min(_FIRST[name], limit)} {limit}")
    return int(path.read_text().split()[2])


def acknowledge(listener: socket.socket, size: int) -> None:
    """Receive messages of ``size`` bytes and answer each with one byte, until the sender closes the connection."""
    connection, _ = listener.accept()
    buffer = bytearray(1 << 20)
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        left = size
        while received := connection.recv_into(buffer, min(left, len(buffer))):
            left -= received
            if left == 0:
                connection.send(b"k")
                left = size


def start_receiver(listener: socket.socket, size: int) -> int:
    """Fork the process that acknowledges messages; it ends with this one."""
    pid = os.fork()
    if pid:
        return pid
    try:
        end_with_parent()
        acknowledge(listener, size)
    finally:
        os._exit(0)


def transfer(orders: Orders, order: dict[str, Any]) -> dict[str, Any]:
    """Set the limits, and send messages over a new connection for a window."""
    read = {name: set_limit(name, order[name]) for name in _LIMITS}
    size = order["message_bytes"]
    message, latencies = bytes(size), []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver = start_receiver(listener, size)
        with socket.create_connection(listener.getsockname()) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            begin = now = time.monotonic_ns()
            count_from, count_until = window_ns(order, begin)
            used = busy_ns(receiver)
            while now < count_until and not orders.wait(0):
                started = now
                connection.sendall(message)
                connection.recv(1)
                now = time.monotonic_ns()
                if started >= count_from:
                    latencies.append(now - started)
            used = busy_ns(receiver) - used
        os.waitpid(receiver, 0)
    return {"latencies_ns": latencies, "cpu_share": used / max(now - begin, 1), "read": read}


def busy_ns(receiver: int) -> int:
    """The CPU time of sender and receiver so far."""
    return time.process_time_ns() + cpu_ns(receiver)


def main() -> None:
    """Enter the namespace and serve."""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    orders = Orders()
    try:
        say({"namespace": enter_namespace()})
    except OSError as error:
        say({"error": str(error)})
        return
    serve(orders, lambda order: transfer(orders, order))


if __name__ == "__main__":
    run(main)
