"""The loaders of `tcpconn compare`: which bytes become a message, and what is refused in which words."""

from __future__ import annotations

import hashlib
import json
import os
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tcpconn_bench.messages import CORPUS, MessagesError, MessageSet, describe_all, load, made_of_size

VALUES: list[Any] = [{"id": 1, "tags": ["a", "é"]}, "text", [1.5, None, b"\x00" * 300], 7, msgpack.ExtType(4, b"abc")]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_the_corpus_is_the_default_and_is_the_one_that_its_recorded_hash_speaks_of() -> None:
    found = load()
    recorded = (CORPUS.parent / "SHA256SUMS").read_text().split()
    assert recorded == [hashlib.sha256(CORPUS.read_bytes()).hexdigest(), CORPUS.name]
    assert b"".join(message + b"\n" for message in found.messages) == CORPUS.read_bytes()
    assert found.total_bytes < 1_000_000
    assert str(CORPUS.parent) not in found.source


def test_a_line_of_json_lines_is_kept_byte_for_byte_without_its_newline(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", b'{"a" : 1 }\r\n  [2,\t3]\n\n"\xc3\xa9"\n  \n4')
    assert load(path).messages == [b'{"a" : 1 }\r', b"  [2,\t3]", b'"\xc3\xa9"', b"4"]


def test_a_line_that_is_not_json_is_refused_with_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", b'{"a": 1}\n\n{"b": \n')
    with pytest.raises(MessagesError, match=r"line 3 of .*m\.jsonl is not JSON.*--format lines"):
        load(path)


def test_lines_are_taken_as_they_are_when_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "m.txt", b"not json\n\n\xff\xfe\n")
    assert load(path, format="lines").messages == [b"not json", b"", b"\xff\xfe"]


@pytest.mark.parametrize("name", ["m.msgpack", "m.mpack", "m.mp", "m.MSGPACK", "m.bin"])
def test_msgpack_objects_are_kept_as_they_were_encoded(tmp_path: Path, name: str) -> None:
    encoded = [msgpack.packb(value) for value in VALUES]
    found = load(write(tmp_path / name, b"".join(encoded)))
    assert (found.format, found.messages) == ("msgpack", encoded)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.recursive(st.none() | st.integers(-(2**63), 2**63) | st.text() | st.binary(), st.lists), min_size=1))
def test_any_row_of_msgpack_objects_is_cut_where_each_ends(tmp_path_factory: pytest.TempPathFactory, values: Any) -> None:
    encoded = [msgpack.packb(value) for value in values]
    path = write(tmp_path_factory.getbasetemp() / "generated.msgpack", b"".join(encoded))
    assert load(path).messages == encoded


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x93\x01", "ends within the msgpack object that begins at byte 0"),
        (b"\x01\xc1", "bad object at byte 1"),
        (b"\x91" * 3000, "bad object at byte 0: StackError"),
    ],
)
def test_garbage_in_a_msgpack_file_is_refused_with_its_place(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(MessagesError, match=reason):
        load(write(tmp_path / "m.msgpack", data))


def test_a_file_of_an_unknown_name_is_known_by_its_content(tmp_path: Path) -> None:
    assert load(write(tmp_path / "a", b'\n{"a": 1}\n')).format == "jsonl"
    assert load(write(tmp_path / "b", msgpack.packb({"a": 1}))).format == "msgpack"


@pytest.mark.parametrize("data", [b"plain text, which would be valid msgpack numbers\n", b"\n \n", b"{unquoted: 1}\n"])
def test_a_file_that_is_neither_is_refused_and_the_way_out_is_named(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(MessagesError, match=r"neither JSON Lines nor msgpack.*\.jsonl or \.msgpack.*--format"):
        load(write(tmp_path / "m.txt", data))


def test_each_file_of_a_directory_is_a_message_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("b", "a", "deep/c", ".hidden", ".git/config"):
        write(tmp_path / name, name.encode())
    write(tmp_path / "empty", b"")
    found = load(tmp_path)
    assert (found.format, found.messages) == ("directory", [b"a", b"b", b"deep/c", b""])


@pytest.mark.parametrize("format", ["auto", "directory"])
def test_an_empty_directory_is_refused(tmp_path: Path, format: str) -> None:
    with pytest.raises(MessagesError, match="holds no message"):
        load(tmp_path, format=format)


def test_what_is_not_there_empty_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MessagesError, match=r"cannot read .*absent.*No such file"):
        load(tmp_path / "absent")
    with pytest.raises(MessagesError, match="is empty"):
        load(write(tmp_path / "m.jsonl", b""))
    with pytest.raises(MessagesError, match="holds no message"):
        load(write(tmp_path / "m.jsonl", b"\n\n"))
    with pytest.raises(MessagesError, match="is no directory"):
        load(write(tmp_path / "m.jsonl", b"1\n"), format="directory")
    with pytest.raises(MessagesError, match="cannot read"):
        load(tmp_path, format="jsonl")
    with pytest.raises(MessagesError, match="no message format 'xml'"):
        load(write(tmp_path / "m.jsonl", b"1\n"), format="xml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "m.jsonl", b"1\n").chmod(0)
    with pytest.raises(MessagesError, match="Permission denied"):
        load(tmp_path / "m.jsonl")


def test_a_source_beyond_the_limit_is_cut_at_a_whole_message_and_says_so(tmp_path: Path) -> None:
    lines = write(tmp_path / "m.jsonl", b"111\n222\n333\n")
    assert load(lines, limit=12) == MessageSet(str(lines), "jsonl", [b"111", b"222", b"333"])
    assert load(lines, limit=11) == MessageSet(str(lines), "jsonl", [b"111", b"222"], truncated=True)
    objects = write(tmp_path / "m.msgpack", msgpack.packb("ab") * 3)
    assert load(objects, limit=8) == MessageSet(str(objects), "msgpack", [b"\xa2ab"] * 2, truncated=True)
    for name in "abc":
        write(tmp_path / name, b"xx")
    for path in (lines, objects):
        path.unlink()
    assert load(tmp_path, limit=5) == MessageSet(str(tmp_path), "directory", [b"xx", b"xx"], truncated=True)
    with pytest.raises(MessagesError, match="holds no message that is whole within its first 2 bytes"):
        load(write(tmp_path / "m.jsonl", b"111\n"), limit=2)


def test_other_processes_get_the_same_bytes(tmp_path: Path) -> None:
    messages = [b"", b"\x00\xff", b"x" * 100_000]
    MessageSet("here", "lines", messages).save(tmp_path / "saved")
    assert MessageSet.restore(tmp_path / "saved") == messages


def test_the_description_can_be_written_as_json_and_its_hash_knows_where_messages_end() -> None:
    described = MessageSet("here", "lines", [b"a" * size for size in range(1, 101)]).describe()
    assert json.loads(json.dumps(described)) == described
    assert (described["count"], described["total_bytes"]) == (100, 5050)
    assert (described["sizes"]["p0"], described["sizes"]["p100"], described["sizes"]["mean"]) == (1, 100, 50.5)
    assert MessageSet("", "lines", [b"ab", b"c"]).sha256 != MessageSet("", "lines", [b"a", b"bc"]).sha256


@pytest.mark.parametrize("size", [100, 1024, 65_536, 1 << 20, 16 << 20])
def test_messages_of_a_size_are_all_different_and_cannot_be_compressed(size: int) -> None:
    made = made_of_size(size)
    assert {len(message) for message in made.messages} == {size}
    assert len(set(made.messages)) == len(made.messages) >= 4
    assert len(zlib.compress(made.messages[0])) > size
    assert (made.size, made.describe()["sizes"]["p50"]) == (size, size)


def test_messages_of_a_size_are_the_same_each_time() -> None:
    assert made_of_size(1000).sha256 == made_of_size(1000).sha256 != made_of_size(1001).sha256


def test_several_sets_are_described_together() -> None:
    told = describe_all([made_of_size(100), made_of_size(65_536)])
    assert told["source"] == "random bytes, 100 B, 64 KiB"
    assert told["count"] == 1021 + 64
    assert (told["sizes"]["p0"], told["sizes"]["p100"]) == (100, 65_536)
    one = made_of_size(100)
    assert describe_all([one]) == one.describe()


def test_reading_saved_messages_takes_no_more_memory_than_they_have(tmp_path: Path) -> None:
    messages = made_of_size(1 << 20)
    messages.save(tmp_path / "saved")
    tracemalloc.start()
    try:
        restored = MessageSet.restore(tmp_path / "saved")
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert restored == messages.messages
    # A buffer of the file's may come on top, but no second copy of a message.
    assert kept > messages.total_bytes
    assert peak - kept < 300_000


SECONDS = ["1700000000.5", "1700000002", '"2023-11-14T22:13:21Z"', '"1700000004.25"']
FROM_THE_FIRST = [0.0, 0.5, 1.5, 3.75]


def test_messages_have_the_times_of_a_field_and_are_put_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    lines = [f'{{"n": {number}, "meta": {{"at": {at}}}}}'.encode() for number, at in enumerate(SECONDS)]
    path.write_bytes(b"\n".join(lines))
    found = load(path, timestamps="meta.at")
    assert found.messages == [lines[0], lines[2], lines[1], lines[3]]
    assert found.times == FROM_THE_FIRST
    assert found.describe()["lasts_seconds"] == 3.75
    assert load(path).describe()["lasts_seconds"] is None


@pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
def test_times_since_1970_are_taken_as_what_their_size_says(tmp_path: Path, factor: int) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(f'{{"ts": {(1_700_000_000 + second) * factor}}}\n' for second in (0, 1, 5)))
    assert load(path, timestamps="ts").times == [0, 1, 5]


def test_msgpack_objects_have_times_too(tmp_path: Path) -> None:
    path = tmp_path / "trace.msgpack"
    objects = [{"ts": msgpack.Timestamp(1_700_000_000, 500_000_000), 7: b"\x00"}, {"ts": 1_700_000_001}]
    path.write_bytes(b"".join(map(msgpack.packb, objects)))
    found = load(path, timestamps="ts")
    assert (found.times, found.messages) == ([0, 0.5], list(map(msgpack.packb, objects)))


def test_the_files_of_a_directory_have_the_times_at_which_they_were_modified(tmp_path: Path) -> None:
    for name, modified in (("a", 30), ("b", 10), ("c", 20)):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (0, modified))
    found = load(tmp_path, timestamps="mtime")
    assert (found.messages, found.times) == ([b"b", b"c", b"a"], [0, 10, 20])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"other": 1}', "message 2 has no field 'ts'"),
        ("[1]", "message 2 has no field 'ts'"),
        ('{"ts": true}', "message 2: ts is True, and that is no time"),
        ('{"ts": "soon"}', "message 2: ts is 'soon', and that is no time"),
        ('{"ts": NaN}', "message 2: ts is nan, and that is no time"),
        ('{"ts": []}', r"message 2: ts is \[\], and that is no time"),
    ],
)
def test_a_message_without_a_time_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text('{"ts": 1}\n' + line)
    with pytest.raises(MessagesError, match=f"trace.jsonl: {reason}"):
        load(path, timestamps="ts")


def test_lines_and_files_have_no_fields(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("one")
    with pytest.raises(MessagesError, match="messages of the format 'lines' have no field 'ts'"):
        load(path, format="lines", timestamps="ts")
    with pytest.raises(MessagesError, match="messages of the format 'directory' have no field 'ts'"):
        load(tmp_path, timestamps="ts")
