"""A client of the echo server."""

import tcpconn

with tcpconn.connect("127.0.0.1:9000", id="orders") as conn:
    for number in range(3):
        conn.send(f"order {number}".encode())
        print(conn.receive(timeout=5).decode())
    print(conn.stats())
