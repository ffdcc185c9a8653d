"""An echo server: every message goes back over the connection that it came from."""

import tcpconn


def echo(conn: tcpconn.Connection) -> None:
    for message in conn:
        conn.send(message)


with tcpconn.listen("127.0.0.1:9000") as listener:
    print(f"{listener.config.backend}: listening at {listener.address}, Ctrl-C ends it", flush=True)
    tcpconn.serve(echo, listener)
