"""Proofs: good for one exchange of HELLOs, one end and one secret, and for nothing else."""

from __future__ import annotations

import hashlib
import hmac
import itertools

import pytest

from tcpconn.authentication import PROOF_SIZE, Transcript

CLIENT, SERVER = b"the client's HELLO", b"the server's"
KEY = b"k" * 16


def test_both_ends_agree_on_proofs_and_on_the_secret_of_their_session() -> None:
    for client in (True, False):
        proof = Transcript(CLIENT, SERVER).proof(KEY, client=client)
        assert len(proof) == PROOF_SIZE
        assert Transcript(CLIENT, SERVER).proves(proof, KEY, client=client)
    assert Transcript(CLIENT, SERVER).session_secret(KEY) == Transcript(CLIENT, SERVER).session_secret(KEY)


def test_a_proof_is_the_one_that_the_specification_says() -> None:
    both = hashlib.sha256(CLIENT).digest() + hashlib.sha256(SERVER).digest()
    for client, who in ((True, b"client"), (False, b"server")):
        expected = hmac.new(KEY, b"tcpconn 1 " + who + b"\0" + both, hashlib.sha256).digest()
        assert Transcript(CLIENT, SERVER).proof(KEY, client=client) == expected
    expected = hmac.new(b"", b"tcpconn 1 session\0" + both, hashlib.sha256).digest()
    assert Transcript(CLIENT, SERVER).session_secret(None) == expected


def test_every_byte_of_both_hellos_the_end_and_the_key_make_another_proof() -> None:
    good = Transcript(CLIENT, SERVER).proof(KEY, client=True)
    others = [
        (Transcript(CLIENT + b"x", SERVER), KEY, True),
        (Transcript(CLIENT, SERVER[:-1]), KEY, True),
        (Transcript(SERVER, CLIENT), KEY, True),
        (Transcript(CLIENT + SERVER[:1], SERVER[1:]), KEY, True),
        (Transcript(CLIENT, SERVER), KEY, False),
        (Transcript(CLIENT, SERVER), KEY + b"x", True),
        (Transcript(CLIENT, SERVER), b"", True),
    ]
    for transcript, key, client in others:
        assert not transcript.proves(good, key, client=client)


def test_proofs_and_the_secret_differ_from_one_another() -> None:
    transcript = Transcript(CLIENT, SERVER)
    made = [transcript.proof(KEY, client=True), transcript.proof(KEY, client=False), transcript.session_secret(KEY)]
    assert all(one != other for one, other in itertools.combinations(made, 2))


@pytest.mark.parametrize("wrong", [b"", bytes(PROOF_SIZE), bytes(PROOF_SIZE - 1), bytes(PROOF_SIZE + 1)])
def test_what_is_no_proof_proves_nothing(wrong: bytes) -> None:
    assert not Transcript(CLIENT, SERVER).proves(wrong, KEY, client=True)


def test_a_transcript_shows_nothing_of_itself() -> None:
    assert repr(Transcript(CLIENT, SERVER)) == "<Transcript>"
