"""The remote teacher against a server that delays, drops, cuts, refuses and lies: every image counted, none lost."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from faulty import Faulty, serving
from torch import Tensor

from kdcore.contracts.access import Access
from kdcore.engine.teacher import Spent, Teacher
from kdcore.errors import BadInput
from kdcore.remote.http_client import Reply
from kdcore.remote.protocol import HEAD_LENGTH, Garbled, unpack
from kdcore.spec.spec import Wall
from kdcore.teachers import http
from kdcore.teachers.http import HttpTeacher

SHAPE, CLASSES = (1, 4, 4), 3
MATRIX = np.random.default_rng(0).normal(size=(16, CLASSES)).astype("<f4")
Patch = pytest.MonkeyPatch


def images(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


def truth(x: Tensor) -> np.ndarray:
    return x.numpy().reshape(len(x), -1) @ MATRIX


@pytest.fixture
def server() -> Iterator[Faulty]:
    with serving(lambda x: x.reshape(len(x), -1) @ MATRIX, SHAPE, CLASSES) as running:
        yield running


@pytest.fixture(autouse=True)
def waits(monkeypatch: Patch) -> list[float]:
    """What was waited for between tries; nobody really waits."""
    waited: list[float] = []
    monkeypatch.setattr(http, "sleep", waited.append)
    return waited


def teacher(
    server: Faulty, folder: Path, wall: Wall | None = None, access: Access = "logits", **knobs: object
) -> Teacher:
    asked = HttpTeacher(url=server.url, model="faulty", **{"batch": 4, "timeout_s": 5.0} | knobs)  # type: ignore[arg-type]
    line = asked.connect(SHAPE, CLASSES, access)
    return Teacher(line, access, wall=wall or Wall(), folder=folder, classes=CLASSES)


@pytest.mark.parametrize("binary", [True, False])
def test_answers_come_as_they_were_given(server: Faulty, tmp_path: Path, binary: bool) -> None:
    asked = teacher(server, tmp_path, binary=binary)
    x = images(10)
    assert asked(x).logits.numpy() == pytest.approx(truth(x), abs=1e-6)
    assert len(server.requests) == asked.meter.requests == 3, "4, 4 and 2 images"
    assert len(server.answered) == len(server.distinct) == asked.meter.images == 10
    assert server.bytes_up < asked.meter.bytes_up < server.bytes_up + 3 * 400, "bodies, and heads besides"
    assert server.bytes_down < asked.meter.bytes_down < server.bytes_down + 3 * 400


TROUBLES = ["drop", "truncate", "chunk", "garbage", "noise", "half", "500", "503", "429", "502"]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_is_lost_is_asked_again(server: Faulty, tmp_path: Path, trouble: str, binary: bool) -> None:
    asked = teacher(server, tmp_path, binary=binary)
    server.misbehave("", trouble, trouble, "", trouble)
    x = images(12)
    assert asked(x).logits.numpy() == pytest.approx(truth(x), abs=1e-6)
    meter = asked.meter
    assert (meter.images, meter.requests, meter.retried) == (12, 6, 12)
    assert len(server.log) == meter.images + meter.retried
    assert len(server.distinct) == 12


def test_a_binary_answer_three_bytes_short(server: Faulty, tmp_path: Path) -> None:
    asked = teacher(server, tmp_path)
    server.misbehave("short")
    assert asked(images(2)).logits.numpy() == pytest.approx(truth(images(2)), abs=1e-6)
    assert asked.meter.retried == 2


def test_a_late_answer_is_a_lost_one(server: Faulty, tmp_path: Path) -> None:
    asked = teacher(server, tmp_path, timeout_s=0.2)
    server.misbehave("delay")
    assert asked(images(3)).logits.numpy() == pytest.approx(truth(images(3)), abs=1e-6)
    assert asked.meter.retried == 3


def test_a_budget_is_kept_to_the_image_whatever_happens(server: Faulty, tmp_path: Path) -> None:
    asked = teacher(server, tmp_path, Wall(budget=10))
    server.misbehave("drop", "", "truncate", "half", "", "429", "500", "")
    asked(images(8))
    with pytest.raises(Spent):
        asked(images(3, seed=1))
    assert len(server.distinct) == 8, "a question that would overrun the budget was not asked"
    asked(torch.cat([images(2, seed=2), images(8)]))
    assert len(server.distinct) == asked.meter.images == 10


def test_waits_double_and_a_server_is_heeded(server: Faulty, tmp_path: Path, waits: list[float]) -> None:
    asked = teacher(server, tmp_path)
    server.misbehave("500", "drop", "500", "429", "500")
    asked(images(1))
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0]
    waits.clear()
    server.misbehave("429")
    asked(images(2))
    assert waits == [1.0], "as long as Retry-After says"


def test_dates_to_wait_for() -> None:
    assert http._retry_after("7") == http._retry_after(f"{' ' * 12}7") == 7.0
    assert http._retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0.0
    assert http._retry_after("Thu, 01 Jan 2099 00:00:00 GMT") > 1e9
    assert http._retry_after("Wed, 21 Oct 2015 07:28:00 +99999999999999999999999") == 0.0
    assert http._retry_after("") == http._retry_after("soon") == 0.0


@pytest.mark.parametrize("trouble", ["drop", "truncate", "500", "garbage"])
def test_a_server_that_stays_broken_ends_it_with_a_sentence(server: Faulty, tmp_path: Path, trouble: str) -> None:
    asked = teacher(server, tmp_path, retries=2)
    server.misbehave("", always=trouble)
    with pytest.raises(
        BadInput, match=r"was asked 3 times without success, as .*; what it answered before is kept"
    ) as told:
        asked(images(9))
    assert "\n" not in str(told.value)
    assert asked.meter.images == 4, "the first request's"
    server.misbehave()
    again = teacher(server, tmp_path)
    assert again(images(9)).logits.numpy() == pytest.approx(truth(images(9)), abs=1e-6)
    assert sorted(server.answered) == sorted(server.distinct), "no image was answered twice"
    assert again.meter.images == 9


def test_a_server_that_is_gone(server: Faulty, tmp_path: Path) -> None:
    asked = teacher(server, tmp_path, retries=1)
    asked.ask.calls.wire.close()  # type: ignore[union-attr]
    server.shutdown()
    server.server_close()
    with pytest.raises(BadInput, match=r"asked 2 times without success, as .*refused"):
        asked(images(1))


@pytest.mark.parametrize(
    ("trouble", "said"),
    [("400", r"status 400 \(not now, please\), and that will not pass"), ("302", "redirects are not followed")],
)
def test_a_refusal_for_good_is_not_repeated(server: Faulty, tmp_path: Path, trouble: str, said: str) -> None:
    asked = teacher(server, tmp_path)
    server.misbehave(always=trouble)
    with pytest.raises(BadInput, match=said):
        asked(images(2))
    assert len(server.requests) == 1


def test_a_number_that_is_none_stops_with_its_query(server: Faulty, tmp_path: Path) -> None:
    asked = teacher(server, tmp_path)
    server.misbehave("", "nan")
    with pytest.raises(BadInput, match="query 5 is not a number"):
        asked(images(8))
    assert asked.meter.images == 7


def test_the_rate_is_kept(server: Faulty, tmp_path: Path, waits: list[float]) -> None:
    asked = teacher(server, tmp_path, rate_per_s=0.001)
    asked(images(8))
    assert sum(waits) == pytest.approx(1000 * (1 + 2 + 3 + 4), rel=0.01), "three questions about it, two batches"


def test_many_threads_of_another_client_do_no_harm(server: Faulty, tmp_path: Path) -> None:
    asked = [teacher(server, tmp_path / str(place)) for place in range(4)]
    threads = [threading.Thread(target=one, args=(images(20, seed),)) for seed, one in enumerate(asked)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.meter.images for one in asked] == [20] * 4


# --- what a server says of its model ---------------------------------------------------------------------------------


def entry(server: Faulty, side: str, **facts: object) -> None:
    server.metadata[side][0] |= facts


@pytest.mark.parametrize(
    ("side", "facts", "said"),
    [
        ("inputs", {"shape": [-1, 3, 4, 4]}, "reads inputs of 3x4x4, but the data are 1x4x4"),
        ("inputs", {"shape": [-1, 9]}, "reads inputs of 9, but the data are 1x4x4"),
        ("inputs", {"shape": [8, 1, 4, 4]}, "reads 8 images at once and no fewer"),
        ("inputs", {"datatype": "BYTES"}, "reads BYTES, but images are FP32"),
        ("inputs", {"datatype": "UINT8"}, "set the scale to 'bytes'"),
        ("outputs", {"shape": [-1, 10]}, "tells 10 classes apart, but the data have 3"),
        (
            "outputs",
            {"parameters": {"answers": "probabilities"}},
            r"set 'Answers' \(Connection and input settings\) to 'probabilities'",
        ),
        ("outputs", {"name": "another"}, "without success"),
    ],
)
def test_a_model_that_does_not_suit(
    server: Faulty, tmp_path: Path, side: str, facts: dict[str, object], said: str
) -> None:
    entry(server, side, **facts)
    with pytest.raises(BadInput, match=said):
        teacher(server, tmp_path, retries=0)(images(1))


ODD = [None, True, -1, 1e300, 200.0, "", "\x1b[2J\n" * 9, "\ud800", [], [[]], {}, [{}], {"a": []}, [-1] * 5000]
ODD += [[10**4000] * 2, [10**18] * 30]


@pytest.mark.parametrize("key", ["datatype", "name", "shape", "parameters"])
@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_metadata_of_any_kind_are_read_or_refused_in_a_sentence(
    server: Faulty, tmp_path: Path, side: str, key: str
) -> None:
    said = []
    for odd in ODD:
        entry(server, side, **{key: odd})
        try:
            teacher(server, tmp_path, retries=0)(images(1))
        except BadInput as error:
            said.append(str(error))
    assert all(sentence.isprintable() and len(sentence) < 600 for sentence in said), said


def test_a_datatype_that_is_null_is_not_known() -> None:
    assert http._told({"datatype": None, "shape": [-1, 3]}) == http._told({"shape": [-1, 3]}) == ("", (None, 3))


def test_an_answer_of_any_kind_is_read_or_asked_again() -> None:
    said, numbers = [], {"name": "answers", "datatype": "FP32", "shape": [1, 3], "data": [1.0, 2.0, 3.0]}
    for key in (*numbers, "parameters"):
        for odd in [*ODD, {"binary_data_size": 12.0}, {"binary_data_size": [12]}]:
            body = json.dumps({"outputs": [numbers | {key: odd}]}).encode()
            reply = Reply(200, {HEAD_LENGTH.lower(): str(len(body))}, body + bytes(12))
            try:
                http._made_of(reply, lambda reply: unpack("outputs", reply.body, reply.headers[HEAD_LENGTH.lower()]))
            except Garbled as error:
                said.append(str(error))
    assert max(map(len, said)) < 300


def test_bytes_are_sent_only_where_they_can_be_read(server: Faulty, tmp_path: Path) -> None:
    asked = teacher(server, tmp_path / "bytes")
    asked(images(4))
    as_bytes = server.bytes_up
    server.extensions = ["another"]
    teacher(server, tmp_path / "json")(images(4))
    assert server.bytes_up - as_bytes > 2 * as_bytes


def test_two_inputs_are_too_many(server: Faulty, tmp_path: Path) -> None:
    server.metadata["inputs"] *= 2
    with pytest.raises(BadInput, match="must read one input, images, but 'faulty' has 2"):
        teacher(server, tmp_path)


def test_a_model_that_says_little_is_asked_as_it_is(server: Faulty, tmp_path: Path) -> None:
    server.metadata = {"name": "faulty", "inputs": [], "outputs": []}
    assert teacher(server, tmp_path)(images(3)).logits.numpy() == pytest.approx(truth(images(3)), abs=1e-6)


def test_other_classes_in_the_answer_than_in_the_data(server: Faulty, tmp_path: Path) -> None:
    server.metadata = {"name": "faulty"}
    server.answer = lambda x: np.zeros((len(x), 7))
    with pytest.raises(BadInput, match="tells 7 classes apart, but the data have 3"):
        teacher(server, tmp_path)(images(3))
    assert len(server.requests) == 1


def test_one_image_at_a_time_where_the_model_wants_it(server: Faulty, tmp_path: Path) -> None:
    entry(server, "inputs", shape=[1, *SHAPE])
    asked = teacher(server, tmp_path)
    assert asked(images(3)).logits.numpy() == pytest.approx(truth(images(3)), abs=1e-6)
    assert len(server.requests) == 3


def test_what_a_server_says_of_itself_has_a_bound(server: Faulty) -> None:
    server.metadata["platform"] = "x" * (1 << 20)
    with pytest.raises(BadInput, match="and at most 1,048,576 are read"):
        HttpTeacher(url=server.url, model="faulty", retries=0).connect(SHAPE, CLASSES)


def test_a_model_that_is_not_there(server: Faulty) -> None:
    with pytest.raises(BadInput, match=r"status 404 \(there is no such model\)"):
        HttpTeacher(url=server.url, model="../../other").connect(SHAPE, CLASSES)
    with pytest.raises(BadInput, match="has no name"):
        HttpTeacher(url=server.url).connect(SHAPE, CLASSES)


def test_probabilities_in_json_with_null() -> None:
    """Some servers write NaN as null."""
    message = json.dumps({"outputs": [{"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [None, 1.0]}]})
    told = http.unpack("outputs", message.encode(), None).tensors["a"]
    assert np.isnan(told[0, 0])
    assert told[0, 1] == 1


# --- class numbers ---------------------------------------------------------------------------------------------------

DATATYPES = {"<i8": "INT64", "<i4": "INT32", "|u1": "UINT8", "<u8": "UINT64", "|i1": "INT8"}


def chosen(x: np.ndarray) -> np.ndarray:
    """The class of each image."""
    return (x.reshape(len(x), -1) @ MATRIX).argmax(1)


def answers_with_numbers(server: Faulty, code: str = "<i8", column: bool = False) -> None:
    server.answer = lambda x: chosen(x).astype(code).reshape((-1, 1) if column else -1)
    entry(server, "outputs", datatype=DATATYPES[code], shape=[-1, 1] if column else [-1])


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("column", [True, False])
@pytest.mark.parametrize("code", DATATYPES)
def test_class_numbers_are_labels(server: Faulty, tmp_path: Path, code: str, column: bool, binary: bool) -> None:
    answers_with_numbers(server, code, column)
    asked, x = teacher(server, tmp_path, access="labels", binary=binary), images(10)
    assert (asked(x).logits.numpy() == np.eye(CLASSES)[truth(x).argmax(1)]).all()
    assert (asked.meter.images, asked.meter.requests) == (10, 3)
    assert server.bytes_down < asked.meter.bytes_down < server.bytes_down + 3 * 400, "what came, whatever it stands for"


@pytest.mark.parametrize(
    "facts", [{"outputs": []}, {"outputs": [{"name": "answers", "datatype": "FP32", "shape": [-1]}]}]
)
def test_class_numbers_that_nobody_announced(server: Faulty, tmp_path: Path, facts: dict[str, object]) -> None:
    answers_with_numbers(server, column=True)
    server.metadata |= facts
    x = images(5)
    assert (teacher(server, tmp_path, access="labels")(x).logits.numpy() == np.eye(CLASSES)[truth(x).argmax(1)]).all()
    asked = teacher(server, tmp_path / "more")
    with pytest.raises(BadInput, match="answers with labels alone, but its logits are asked for"):
        asked(x)
    assert asked.meter.images == 0
    assert len(server.requests) == 2 + 1, "it is not asked again for what it does not tell"


@pytest.mark.parametrize("access", ["logits", "probabilities"])
def test_class_numbers_are_nothing_but_labels(server: Faulty, tmp_path: Path, access: Access) -> None:
    answers_with_numbers(server)
    with pytest.raises(BadInput, match=f"with labels alone, but its {access} are asked for; set the run's access to"):
        teacher(server, tmp_path, access=access)
    assert not server.requests, "no image was paid for"


def test_one_hot_rows_that_are_told_to_be_labels_are_no_more(server: Faulty, tmp_path: Path) -> None:
    entry(server, "outputs", parameters={"answers": "labels"})
    server.answer = lambda x: np.eye(CLASSES)[chosen(x)]
    x = images(3)
    asked = teacher(server, tmp_path, access="labels", answers="probabilities")
    assert (asked(x).logits.numpy() == np.eye(CLASSES)[truth(x).argmax(1)]).all()
    with pytest.raises(BadInput, match="with labels alone, but its probabilities are asked for"):
        teacher(server, tmp_path, access="probabilities", answers="probabilities")


@pytest.mark.parametrize("number", [3, -1, 1 << 40])
def test_a_class_that_the_data_have_not_is_named_with_its_query(server: Faulty, tmp_path: Path, number: int) -> None:
    answers_with_numbers(server)
    asked, x = teacher(server, tmp_path, access="labels"), images(8)
    asked(x[:4])
    server.answer = lambda x: np.where(np.arange(len(x)) == 1, number, chosen(x))
    with pytest.raises(BadInput, match=f"answer to query 6 is class {number}, but the data's are 0 to 2 .* is kept"):
        asked(x)
    assert (asked.meter.images, len(server.distinct)) == (7, 8)
    answers_with_numbers(server)
    again = teacher(server, tmp_path, access="labels")
    assert (again(x).logits.numpy() == np.eye(CLASSES)[truth(x).argmax(1)]).all()
    assert len(server.log) == 9, "what was answered beside it was kept, and only that one is asked again"


def test_rows_of_whole_numbers_are_logits(server: Faulty, tmp_path: Path) -> None:
    server.answer = lambda x: (x.reshape(len(x), -1) @ MATRIX * 10).astype("<i4")
    entry(server, "outputs", datatype="INT32")
    assert (teacher(server, tmp_path)(images(5)).logits.numpy() == (truth(images(5)) * 10).astype(int)).all()


@pytest.mark.parametrize("announced", [True, False])
def test_of_several_outputs_rows_tell_more_than_labels(server: Faulty, tmp_path: Path, announced: bool) -> None:
    rows = [{"name": "rows", "datatype": "FP32", "shape": [-1, CLASSES]}]
    server.metadata["outputs"] = [{"name": "label", "datatype": "INT64", "shape": [-1]}, *rows] if announced else []
    server.answer = lambda x: {"label": chosen(x), "rows": x.reshape(len(x), -1) @ MATRIX}
    assert teacher(server, tmp_path)(images(5)).logits.numpy() == pytest.approx(truth(images(5)), abs=1e-6)
