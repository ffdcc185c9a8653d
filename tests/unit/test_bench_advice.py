"""What is said of which backend to choose, of results that are made up."""

from __future__ import annotations

from typing import Any

import pytest

from made_up import result, steady, subject, wavering
from tcpconn_bench.advice import Advice, advise, whereabouts

Figures = dict[str, dict[str, list[float]]]


def figures(p50: list[float], rate: list[float], **further: list[float]) -> Figures:
    return {"round_trip": {"p50": p50, **further}, "stream": {"messages_per_second": rate}}


def only(subjects: dict[str, Any], **about: Any) -> Advice:
    (advice,) = advise(result(subjects, **about))
    return advice


def test_a_backend_that_is_better_in_everything_is_chosen_with_the_figures_and_their_intervals() -> None:
    tcp = subject(figures(steady(20e-6), steady(1e6)))
    zmq = subject(figures(steady(80e-6), steady(5e5)))
    advice = only({"zmq": zmq, "tcp": tcp})
    assert (advice.headline, advice.chosen) == ("Choose tcp.", "tcp")
    assert advice.summary == "It is shown to be better than zmq in 2 of 2 comparisons, and worse in none."
    assert advice.reasons == (
        "Round trip (median): zmq takes 4.00 times as long as tcp (95 % interval 4.00; tcp 20.0 µs, zmq 80.0 µs).",
        "One-way stream (messages/s): tcp carries 2.00 times as many messages as zmq (95 % interval 2.00; tcp 1.00 M, "
        "zmq 500 k).",
    )


def test_the_choice_follows_the_figures_and_not_the_names() -> None:
    tcp = subject(figures(steady(80e-6), steady(5e5)))
    zmq = subject(figures(steady(20e-6), steady(1e6)))
    assert only({"tcp": tcp, "zmq": zmq}).headline == "Choose zmq."


def test_where_the_interval_includes_1_no_difference_is_shown() -> None:
    tcp = subject(figures(wavering(20e-6), steady(1e6)))
    zmq = subject(figures(steady(20e-6), steady(1e6)))
    advice = only({"tcp": tcp, "zmq": zmq})
    assert (advice.headline, advice.chosen) == ("No difference shown between tcp and zmq.", None)
    assert any("no difference shown between tcp and zmq (the ratio is within" in sentence for sentence in advice.reasons)


def test_one_that_is_better_in_one_thing_and_not_shown_to_be_worse_in_the_other_is_chosen() -> None:
    tcp = subject(figures(steady(20e-6), wavering(1e6)))
    zmq = subject(figures(steady(80e-6), steady(1e6)))
    advice = only({"tcp": tcp, "zmq": zmq})
    assert advice.headline == "Choose tcp."
    assert "in 1 of 2 comparisons" in advice.summary


def test_a_difference_that_is_certain_and_slight_decides_nothing() -> None:
    tcp = subject(figures(steady(20e-6), steady(1e6)))
    zmq = subject(figures(steady(20.4e-6), steady(1e6 * 0.97)))
    advice = only({"tcp": tcp, "zmq": zmq})
    assert advice.headline == "No difference that decides between tcp and zmq."
    assert advice.summary.startswith("What is shown is less than 5%.")
    assert all(sentence.endswith("; so little decides nothing.") for sentence in advice.reasons)


def test_backends_that_are_each_better_in_something_are_told_apart_by_workload() -> None:
    tcp = subject(figures(steady(20e-6), steady(5e5)))
    zmq = subject(figures(steady(80e-6), steady(1e6)))
    advice = only({"tcp": tcp, "zmq": zmq})
    assert (advice.headline, advice.chosen) == ("It depends on the workload.", None)
    assert advice.summary == "Choose tcp for round trip; zmq for one-way stream."


def test_backends_that_are_each_better_at_some_size_are_told_apart_by_size() -> None:
    small, large = figures(steady(20e-6), steady(1e6)), figures(steady(200e-6), steady(1e3))
    tcp = subject({100: small, 1048576: figures(steady(400e-6), steady(5e2))})
    zmq = subject({100: figures(steady(40e-6), steady(5e5)), 1048576: large})
    advice = only({"tcp": tcp, "zmq": zmq})
    assert advice.headline == "It depends on the workload."
    assert advice.summary == (
        "Choose tcp for round trip (100 B) and one-way stream (100 B); zmq for round trip (1 MiB) and one-way stream (1 MiB)."
    )


def test_sizes_at_which_the_same_is_shown_share_a_sentence() -> None:
    tcp = subject({size: figures(steady(20e-6), steady(1e6)) for size in (100, 1024)})
    zmq = subject({100: figures(steady(40e-6), steady(5e5)), 1024: figures(steady(60e-6), steady(2e5))})
    assert only({"tcp": tcp, "zmq": zmq}).reasons == (
        "Round trip of 100 B, 1 KiB (median): zmq takes 2.00 to 3.00 times as long as tcp (95 % intervals within 2.00 to "
        "3.00).",
        "One-way stream of 100 B, 1 KiB (messages/s): tcp carries 2.00 to 5.00 times as many messages as zmq (95 % intervals "
        "within 2.00 to 5.00).",
    )


def test_too_few_rounds_choose_nothing_and_say_where_they_point() -> None:
    tcp = subject(figures(steady(20e-6, 3), steady(1e6, 3)))
    zmq = subject(figures([80e-6, 10e-6, 80e-6], steady(5e5, 3)))
    advice = only({"tcp": tcp, "zmq": zmq})
    assert (advice.headline, advice.chosen) == ("Too few rounds to choose.", None)
    assert advice.summary == "3 rounds are too few to show a difference, 6 are enough. The medians so far point to tcp."
    assert "not certain: in 2 of 3 rounds" in advice.reasons[0]
    assert "not certain: in 3 of 3 rounds" in advice.reasons[1]


def test_an_interrupted_run_is_told_of_with_what_its_rounds_show() -> None:
    tcp = subject(figures(steady(20e-6), steady(1e6)))
    zmq = subject(figures(steady(80e-6, 6), steady(5e5, 5)))
    advice = only({"tcp": tcp, "zmq": zmq}, interrupted=True)
    assert advice.headline == "Choose tcp."
    assert "in 1 of 2 comparisons" in advice.summary
    assert advice.cautions == (
        "The comparison was interrupted, before all 7 rounds were done; what is said is of the rounds that were.",
    )


def test_a_backend_alone_is_no_choice_and_stands_beside_its_floor() -> None:
    tcp = subject(figures(steady(20e-6), steady(5e5)), floor="plain-socket")
    floor = subject(figures(steady(40e-6), steady(1e6)), "floor")
    advice = only({"tcp": tcp, "plain-socket": floor})
    assert advice.headline == "Only tcp was measured."
    assert "There is no other to compare tcp with" in advice.summary
    (section,) = advice.sections
    assert section.title == "tcp beside what it is built on"
    assert section.sentences[0].startswith("Round trip (median): plain-socket takes 2.00 times as long as tcp")
    assert section.sentences[1].startswith(
        "One-way stream (messages/s): plain-socket carries 2.00 times as many messages as tcp"
    )


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"failures": 2}, "tcp is not considered: 2 of 1,000 messages did not arrive as they were sent."),
        ({"error": "it ended\nwith more"}, "tcp is not considered: it was given up (it ended)."),
    ],
)
def test_a_backend_with_a_fault_is_not_chosen_however_fast_it_was(fault: dict[str, Any], reason: str) -> None:
    tcp = subject(figures(steady(1e-6), steady(1e9)), **fault)
    zmq = subject(figures(steady(80e-6), steady(5e5)))
    advice = only({"tcp": tcp, "zmq": zmq})
    assert advice.headline == "Only zmq was measured without a fault."
    assert advice.cautions == (reason,)
    advice = only({"tcp": tcp})
    assert (advice.headline, advice.chosen) == ("No backend can be recommended.", None)


def test_without_a_backend_there_is_nothing_to_choose() -> None:
    advice = only({"plain-socket": subject(figures(steady(1e-6), steady(1e6)), "floor")}, skipped={"zmq": "no pyzmq"})
    assert advice.headline == "No backend was measured."
    assert advice.cautions == ("zmq was not measured: no pyzmq",)


def test_each_api_has_its_own_choice() -> None:
    subjects = {
        "tcp": subject(figures(steady(20e-6), steady(1e6))),
        "zmq": subject(figures(steady(80e-6), steady(5e5))),
        "tcp-asyncio": subject(figures(steady(80e-6), steady(5e5))),
        "zmq-asyncio": subject(figures(steady(40e-6), steady(1e6))),
    }
    told = {one.api: one.headline for one in advise(result(subjects))}
    assert told == {"blocking": "Choose tcp.", "asyncio": "Choose zmq-asyncio."}


def test_a_backend_that_does_not_reach_every_peer_is_told_of_and_not_chosen() -> None:
    subjects = {
        "tcp": subject(figures(steady(20e-6), steady(1e6))),
        "unix": subject(figures(steady(10e-6), steady(2e6))),
        "zmq": subject(figures(steady(80e-6), steady(5e5))),
    }
    advice = only(subjects)
    assert advice.headline == "Choose tcp."
    section = next(one for one in advice.sections if one.title.startswith("unix"))
    assert section.title == "unix, which reaches peers within one machine only"
    assert "tcp takes 2.00 times as long as unix" in section.sentences[0]
    del subjects["tcp"], subjects["zmq"]
    assert only(subjects).headline == "Only unix was measured."


def test_in_what_the_chosen_one_is_certainly_worse_is_told() -> None:
    tcp = subject(figures(steady(20e-6), steady(1e6), p99=steady(900e-6), p999=wavering(1e-3)))
    zmq = subject(figures(steady(80e-6), steady(5e5), p99=steady(300e-6), p999=steady(1e-3)))
    section = next(one for one in only({"tcp": tcp, "zmq": zmq}).sections if one.title == "Where tcp is behind")
    assert section.sentences == (
        "Round trip (p99): tcp takes 3.00 times as long as zmq (95 % interval 3.00; tcp 900 µs, zmq 300 µs).",
    )


def test_somebody_elses_library_stands_beside_the_chosen_backend() -> None:
    subjects = {
        "tcp": subject(figures(steady(20e-6), steady(1e6))),
        "zmq": subject(figures(steady(80e-6), steady(5e5))),
        "grpc": subject(figures(steady(200e-6), steady(1e4)), "peer"),
    }
    section = next(one for one in only(subjects).sections if one.title == "tcp beside grpc")
    assert "grpc takes 10.0 times as long as tcp" in section.sentences[0]


def test_three_backends_leave_those_that_nobody_is_better_than() -> None:
    subjects = {
        "tcp": subject(figures(steady(20e-6), steady(1e6))),
        "zmq": subject(figures(steady(80e-6), steady(5e5))),
        "quic": subject(figures(steady(20e-6), wavering(1e6))),
    }
    advice = only(subjects)
    assert advice.headline == "No difference shown between tcp and quic."
    assert "zmq is shown to be worse somewhere" in advice.summary


def test_workloads_that_nobody_knows_decide_by_their_median_and_their_rate() -> None:
    tcp = subject({"many_jugglers": {"p50": steady(1e-3), "frames_per_second": steady(10.0), "late": steady(5.0)}})
    zmq = subject({"many_jugglers": {"p50": steady(2e-3), "frames_per_second": steady(5.0), "late": steady(1.0)}})
    advice = only({"tcp": tcp, "zmq": zmq})
    assert advice.headline == "Choose tcp."
    assert [sentence.partition(":")[0] for sentence in advice.reasons] == ["Many jugglers (median)", "Many jugglers (frames/s)"]


def test_of_a_workload_that_is_known_what_it_is_compared_by_decides() -> None:
    # Its rate is no matter of the round trips.
    tcp = subject({"round_trip": {"p50": steady(1e-3), "messages_per_second": steady(1.0)}})
    zmq = subject({"round_trip": {"p50": steady(2e-3), "messages_per_second": steady(9.0)}})
    advice = only({"tcp": tcp, "zmq": zmq})
    assert advice.headline == "Choose tcp."
    assert [sentence.partition(":")[0] for sentence in advice.reasons] == ["Round trip (median)"]


def test_backends_with_no_workload_in_common_are_not_compared() -> None:
    tcp = subject({"round_trip": {"p50": steady(1e-3)}})
    zmq = subject({"stream": {"messages_per_second": steady(5.0)}})
    advice = only({"tcp": tcp, "zmq": zmq})
    assert (advice.headline, advice.chosen) == ("No choice can be made.", None)


def test_where_the_ends_were_is_to_be_borne_in_mind() -> None:
    told = result({"tcp": subject({"w": {"p50": steady(1.0)}})})
    assert "no network between them" in whereabouts(told)
    told["environment"]["options"]["server"] = "10.0.0.1:9100"
    assert "no network" not in whereabouts(told)
    assert "10.0.0.1:9100" in whereabouts(told)


@pytest.mark.parametrize(("control", "said"), [("bbr", True), ("bbr2", True), ("cubic", False), (None, False)])
def test_it_is_told_where_the_backends_are_spared_what_slows_the_floors(control: str | None, said: bool) -> None:
    told = {"environment": {"options": {"server": None}, "tcp_congestion_control": control}}
    assert ("unpaced_loopback=false" in whereabouts(told)) is said
    elsewhere = {"environment": {"options": {"server": "10.0.0.1:9100"}, "tcp_congestion_control": control}}
    assert "BBR" not in whereabouts(elsewhere)
