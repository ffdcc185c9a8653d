"""The comparison of tcpconn's backends with each other and with what they are built on.

`compare` is the command, `subjects` what is compared, `workloads` what each subject has to do, `messages` what is sent.
Nothing here is needed in order to send a message; the library imports it only for `tcpconn compare`.
"""
