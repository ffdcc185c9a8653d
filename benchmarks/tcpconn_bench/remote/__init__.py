"""A comparison between two machines: the server's processes are on the other one, where `tcpconn serve-bench` starts them.

`control` is the connection by which they are told what to do, `client` the side of `tcpconn compare`, `server` that of
`tcpconn serve-bench`. What is measured goes over the subjects' own connections.
"""
