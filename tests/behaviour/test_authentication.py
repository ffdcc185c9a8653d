"""Shared keys, and sessions that only their owners resume: on every backend, in both flavours."""

from __future__ import annotations

import logging
import socket
from threading import Thread

import pytest

import tcpconn
from behaving import DEADLINE, Connect, Echo, Lines, Listen
from eventually import eventually
from stranger import Stranger, hello
from tcpconn import frames
from tcpconn.authentication import METHOD, Transcript
from tcpconn.frames import HEADER_SIZE, Code, Frame, FrameType, Hello, decode_reason

KEY = "a key that both ends have"
OTHER = "a key that one end has"


def keyed(**fields: object) -> Hello:
    """Return what a client with a key says first."""
    return Hello(**{"session": bytes(16), "authentication": {"nonce": bytes(32), "method": METHOD}, **fields})  # type: ignore[arg-type]


def begin(stranger: Stranger, ours: Hello) -> Transcript:
    """Say HELLO, hear the listener's, and return what both of them are."""
    stranger.say(ours.encode().encode())
    (theirs,) = stranger.hear(1)
    assert theirs.type == FrameType.HELLO
    return Transcript(ours.encode().body, theirs.body)


def reason_of(frame: Frame) -> str:
    assert frame.type == FrameType.GOAWAY
    code, text = decode_reason(frame.body)
    assert code == Code.AUTHENTICATION_FAILED
    return text


# -- keys


def test_ends_with_the_same_key_exchange_messages_also_after_a_cut(line: Lines, echo: Echo, connect: Connect) -> None:
    # Asked for first, as it stands between the two.
    listener = echo(auth_key=KEY)
    between = line(listener)
    client = connect(between.address, auth_key=KEY.encode())
    for number in range(5):
        client.send(b"%d" % number)
        assert client.receive(DEADLINE) == b"%d" % number
        between.cut()
    assert eventually(lambda: client.state is tcpconn.State.CONNECTED)
    assert client.stats().reconnects


@pytest.mark.parametrize(
    ("at_server", "at_client", "text"),
    [
        (KEY, OTHER, "did not prove that it knows the shared key: set the same auth_key at both ends"),
        (KEY, None, "this listener asks for the shared key: set the same auth_key at the client"),
        (None, KEY, "this listener has none: set the same auth_key at both ends"),
    ],
)
def test_ends_with_different_keys_do_not_come_together_and_say_what_to_do(
    listen: Listen,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    at_server: str | None,
    at_client: str | None,
    text: str,
) -> None:
    listener = listen(auth_key=at_server)
    with pytest.raises(tcpconn.AuthenticationError, match=text):
        connect(listener.address, auth_key=at_client, connect_timeout=None)
    assert eventually(lambda: any("refused" in record.message for record in caplog.records))
    assert listener.sessions == 0
    assert not any(key in caplog.text for key in (KEY, OTHER))


def test_a_recorded_handshake_is_worth_nothing_the_second_time(backend: str, listen: Listen) -> None:
    listener = listen(auth_key=KEY)
    with Stranger(backend, listener.address) as client:
        transcript = begin(client, keyed())
        (theirs,) = client.hear(1)
        assert transcript.proves(theirs.body, KEY.encode(), client=False)
        proof = frames.proof(transcript.proof(KEY.encode(), client=True)).encode()
        client.say(proof + frames.ping(1).encode())
        assert client.hear(1) == [frames.pong(1)]
    # One that does not know the session, as after a restart.
    other = listen(auth_key=KEY)
    with Stranger(backend, other.address) as replaying:
        replaying.say(keyed().encode().encode() + proof)
        assert "did not prove that it knows the shared key" in reason_of(replaying.hear_out()[-1])
    assert other.sessions == 0


def test_the_listeners_own_proof_thrown_back_at_it_is_none(backend: str, listen: Listen) -> None:
    listener = listen(auth_key=KEY)
    with Stranger(backend, listener.address) as stranger:
        begin(stranger, keyed())
        stranger.say(stranger.hear(1)[0].encode())
        assert "did not prove that it knows the shared key" in reason_of(stranger.hear_out()[-1])
    assert listener.sessions == 0


@pytest.mark.parametrize("words", [b"", frames.proof(bytes(32)).encode()[:30]], ids=["none", "half"])
def test_whoever_does_not_prove_in_time_is_shown_out_and_leaves_nothing(
    backend: str, echo: Echo, connect: Connect, words: bytes
) -> None:
    listener = echo(auth_key=KEY, handshake_timeout=0.3)
    good = connect(listener.address, auth_key=KEY)
    with Stranger(backend, listener.address) as stranger:
        stranger.say(keyed().encode().encode() + words)
        answer = stranger.hear_out()
    assert [frame.type for frame in answer] == [FrameType.HELLO, FrameType.PROOF]
    assert listener.sessions == 1
    good.send(b"still here")
    assert good.receive(DEADLINE) == b"still here"


def test_a_client_refuses_a_listener_that_does_not_know_the_key(backend: str, connect: Connect) -> None:
    if backend != "tcp":
        pytest.skip("it is about what the engine says")
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def pretend() -> None:
            accepted, _ = server.accept()
            with accepted:
                accepted.settimeout(DEADLINE)
                session = Hello.decode(accepted.recv(65536)[HEADER_SIZE:]).session
                accepted.sendall(keyed(session=session).encode().encode() + frames.proof(bytes(32)).encode())
                while data := accepted.recv(65536):
                    heard.append(data)

        thread = Thread(target=pretend)
        thread.start()
        with pytest.raises(tcpconn.AuthenticationError, match="did not prove that it knows the shared key"):
            connect(f"127.0.0.1:{server.getsockname()[1]}", auth_key=KEY, connect_timeout=None)
        thread.join(DEADLINE)
    (frame,) = frames.decode_frames(b"".join(heard))
    assert "the listener did not prove the shared key" in reason_of(frame)


def test_whoever_goes_on_without_a_proof_is_refused_at_once(backend: str, listen: Listen) -> None:
    listener = listen(auth_key=KEY, handshake_timeout=None)
    with Stranger(backend, listener.address) as stranger:
        stranger.say(keyed().encode().encode() + frames.open_stream(1, "a", None).encode())
        assert "sent no proof behind its HELLO" in reason_of(stranger.hear_out()[-1])
    assert listener.sessions == 0


# -- whose session it is


@pytest.mark.parametrize("key", [None, KEY])
def test_only_who_knows_the_secret_of_a_session_resumes_it_and_its_owner_is_not_disturbed(
    backend: str, echo: Echo, connect: Connect, caplog: pytest.LogCaptureFixture, key: str | None
) -> None:
    caplog.set_level(logging.INFO)
    listener = echo(auth_key=key)
    owner = connect(listener.address, auth_key=key)
    owner.send(b"mine")
    assert owner.receive(DEADLINE) == b"mine"
    session = owner._carrier.session
    assert session is not None
    known = keyed() if key else hello()
    guess = Hello(session.id, resume=True, authentication=known.authentication)
    for secret in (b"", bytes(32), session.id, (key or "").encode()):
        with Stranger(backend, listener.address) as stranger:
            transcript = begin(stranger, guess)
            (proof,) = stranger.hear(1)
            assert transcript.proves(proof.body, session.secret, client=False)
            stranger.say(frames.proof(transcript.proof(secret, client=True)).encode())
            assert "did not prove that it knows the secret of the session" in reason_of(stranger.hear_out()[-1])
    owner.send(b"still mine")
    assert owner.receive(DEADLINE) == b"still mine"
    assert owner.stats().reconnects == 0


def test_a_link_that_delivers_while_another_resumes_its_session_makes_neither_loss_nor_repetition(
    backend: str, listen: Listen
) -> None:
    listener = listen()
    resuming = Hello(bytes(range(16)), resume=True)

    def proof(theirs: Frame) -> bytes:
        return frames.proof(Transcript(resuming.encode().body, theirs.body).proof(secret, client=True)).encode()

    with Stranger(backend, listener.address) as old:
        secret = begin(old, hello()).session_secret(None)
        with Stranger(backend, listener.address) as early:
            early.say(resuming.encode().encode())
            theirs, _ = early.hear(2)
            assert Hello.decode(theirs.body).received == 0
            old.say(frames.open_stream(1, "a", None).encode())
            assert listener.accept(DEADLINE).id == "a"
            early.say(proof(theirs))
            assert early.hear_out() == []
        # It was acknowledged, perhaps, before it was dropped; no goodbye ends the session.
        assert {frame.type for frame in old.hear_out()} <= {FrameType.ACK}
    with Stranger(backend, listener.address) as late:
        late.say(resuming.encode().encode())
        theirs, _ = late.hear(2)
        assert Hello.decode(theirs.body).received == 1
        late.say(proof(theirs) + frames.ping(7).encode())
        assert late.hear(1) == [frames.pong(7)]


def test_a_client_whose_proof_is_under_way_when_the_listener_closes_hears_that_its_session_is_over(
    backend: str, listen: Listen
) -> None:
    # It holds the session for begun, so it would look for it again after any other word.
    listener = listen(auth_key=KEY)
    with Stranger(backend, listener.address) as client:
        begin(client, keyed())
        client.hear(1)
        listener.close()
        (frame,) = client.hear_out()
    assert decode_reason(frame.body)[0] == Code.CLOSED
