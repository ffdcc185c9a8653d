"""Whose connection is served next."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as some

from tcpconn.sharing import Shares, Verdict


def greedy(shares: Shares[str, int], peer: str, count: int) -> Counter[Verdict]:
    return Counter(shares.come(peer, number) for number in range(count))


def test_a_lone_peer_has_a_quarter_of_the_places_and_the_only_one_if_there_is_one() -> None:
    assert greedy(Shares(100, 100), "a", 50)[Verdict.BEGIN] == 25
    assert greedy(Shares(1, 100), "a", 50)[Verdict.BEGIN] == 1


def test_greedy_peers_leave_a_place_and_room_to_wait_for_each_of_as_many_peers_as_half_of_all() -> None:
    shares = Shares[str, int](1000, 10_000)
    begun = [greedy(shares, f"{peer}", 1000)[Verdict.BEGIN] for peer in range(499)]

    assert begun[:3] == [250, 125, 63]
    assert begun[-1] == 1
    assert shares.come("good", 0) is Verdict.BEGIN
    assert shares.come("good", 1) is Verdict.WAIT


def test_who_has_none_gets_a_place_as_long_as_there_is_any() -> None:
    shares = Shares[str, int](20, 100)

    assert [shares.come(f"{peer}", 0) for peer in range(21)] == [Verdict.BEGIN] * 20 + [Verdict.WAIT]


def test_the_peer_with_the_fewest_has_the_next_turn_and_its_connections_keep_their_order() -> None:
    shares = Shares[str, int](9, 100)
    assert greedy(shares, "a", 6)[Verdict.BEGIN] == 3
    for peer in "bcdefg":
        shares.come(peer, 0)
    assert [shares.come("h", number) for number in range(2)] == [Verdict.WAIT] * 2
    assert shares.next() is None

    shares.leave("a")
    assert shares.next() == ("h", 0)
    assert shares.next() is None
    shares.leave("h")
    assert shares.next() == ("h", 1)
    for peer in "hbcdefg":
        shares.leave(peer)
    assert shares.next() == ("a", 3)


def test_what_waits_is_shared_by_the_same_rule() -> None:
    shares = Shares[str, int](2, 12)

    assert greedy(shares, "a", 50) == {Verdict.BEGIN: 1, Verdict.WAIT: 3, Verdict.REFUSE: 46}
    assert shares.come("b", 0) is Verdict.BEGIN
    assert shares.come("c", 0) is Verdict.WAIT
    shares.clear()
    assert shares.waiting == 0
    shares.leave("b")
    assert shares.next() is None


@given(some.integers(1, 9), some.integers(1, 9), some.lists(some.tuples(some.integers(0, 4), some.booleans()), max_size=80))
def test_nobody_waits_who_might_begin_and_no_connection_is_lost(places: int, room: int, steps: list[tuple[int, bool]]) -> None:
    shares = Shares[int, int](places, room)
    running = Counter[int]()
    queues: dict[int, list[int]] = {peer: [] for peer in range(5)}
    for number, (peer, comes) in enumerate(steps):
        if comes:
            verdict = shares.come(peer, number)
            if verdict is Verdict.BEGIN:
                assert not queues[peer]
                running[peer] += 1
            elif verdict is Verdict.WAIT:
                queues[peer].append(number)
        elif running[peer]:
            running[peer] -= 1
            shares.leave(peer)
            following = shares.next()
            if following is not None:
                whose, connection = following
                assert queues[whose].pop(0) == connection
                running[whose] += 1
        assert shares.running == running.total() <= places
        assert shares.waiting == sum(map(len, queues.values())) <= room
        left = places - running.total()
        for waits, queue in queues.items():
            if queue:
                assert running[waits] >= left - places // 2
                assert running[waits] or not left
