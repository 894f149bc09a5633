"""An inference request of the protocol, read without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.errors import Invalid, NotJSON
from service.api.inference_protocol.binary import write_elements
from service.api.inference_protocol.request import Call, Output, read_call

MOST = 4
ALL = [Output(name, binary=False) for name in ("label", "score", "scores")]


def tensor(*texts: str, **fields: Any) -> dict[str, Any]:
    """The one input, in JSON."""
    shape = [len(texts)]
    return {"name": "text", "shape": shape, "datatype": "BYTES", "data": list(texts)} | fields


def read(
    *inputs: dict[str, Any], data: bytes = b"", header: int | None = None, **more: Any
) -> Call:
    """A request with these inputs, read; the header is there where data follow, or as given."""
    sent = json.dumps({"inputs": list(inputs), **more}).encode()
    if data and header is None:
        header = len(sent)
    return read_call(sent + data, [] if header is None else [str(header)], "lstm", MOST)


def read_binary(data: bytes, shape: list[int], size: int | None = None) -> Call:
    """A request whose input is binary."""
    parameters = {"binary_data_size": len(data) if size is None else size}
    one = {"name": "text", "shape": shape, "datatype": "BYTES", "parameters": parameters}
    return read(one, data=data)


@pytest.mark.parametrize(
    ("shape", "data"),
    [([2], ["a", "b"]), ([2, 1], ["a", "b"]), ([2, 1], [["a"], ["b"]])],
    ids=["n", "n by 1, flat", "n by 1, as it is"],
)
def test_texts_come_in_either_shape(shape: list[int], data: list[Any]) -> None:
    call = read(tensor(shape=shape, data=data))
    assert call.asked.inputs == ["a", "b"]
    assert (call.asked.model, call.id, call.outputs) == ("lstm", None, ALL)


def test_as_many_texts_as_allowed_are_never_too_many_values() -> None:
    most = 100_000
    one = tensor(shape=[most, 1], data=[["a, [b"]] * most)
    sent = json.dumps({"inputs": [one], "outputs": [{"name": "label"}]}).encode()
    assert len(read_call(sent, [], "lstm", most).asked.inputs) == most


def test_more_values_than_any_request_has_are_not_parsed() -> None:
    with pytest.raises(Invalid, match="more than 50008 values"):
        read(tensor("a"), outputs=[{}] * 60_000)


def test_binary_data_are_no_values() -> None:
    text = '[,{"' * 200_000
    assert read_binary(write_elements([text]), [1]).asked.inputs == [text]


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_texts_come_as_binary_data(shape: list[int]) -> None:
    assert read_binary(write_elements(["a", "é"]), shape).asked.inputs == ["a", "é"]


def test_header_may_cover_the_whole_body() -> None:
    sent = json.dumps({"inputs": [tensor("a")]}).encode()
    assert read_call(sent, [str(len(sent))], "lstm", MOST).asked.inputs == ["a"]


def test_body_behind_a_header_of_0_is_one_text() -> None:
    call = read_call("no JSON, é".encode(), ["0"], "lstm", MOST)
    assert call.asked.inputs == ["no JSON, é"]
    assert [output.binary for output in call.outputs] == [True] * 3


def test_parameters_are_those_of_classify() -> None:
    parameters = {"schedule": "serial", "long_input": "segment", "timeout_ms": 20}
    asked = read(tensor("a"), parameters=parameters, id="42").asked
    assert (asked.schedule, asked.long_input, asked.timeout_ms) == ("serial", "segment", 20)
    assert read(tensor("a"), id="42").id == "42"


@pytest.mark.parametrize(
    ("parameters", "timeout_ms"),
    [
        ({}, None),
        ({"timeout": 0}, None),
        ({"timeout": 1500}, 1.5),
        ({"timeout": 1500, "timeout_ms": 1}, 1),
        ({"timeout": 1500, "timeout_ms": 2}, 1.5),
    ],
)
def test_shorter_timeout_counts(parameters: dict[str, Any], timeout_ms: float | None) -> None:
    assert read(tensor("a"), parameters=parameters).asked.timeout_ms == timeout_ms


def test_outputs_are_those_asked_for_in_their_order() -> None:
    wanted = [
        {"name": "scores", "parameters": {"classification": 2}},
        {"name": "label", "parameters": {"binary_data": False}},
    ]
    call = read(tensor("a"), outputs=wanted, parameters={"binary_data_output": True})
    assert call.outputs == [Output("scores", True, 2), Output("label", False)]


def test_null_is_as_good_as_nothing() -> None:
    call = read(tensor("a", parameters=None), id=None, parameters=None, outputs=None)
    assert (call.id, call.outputs) == (None, ALL)


@pytest.mark.parametrize(
    ("inputs", "place"),
    [
        ([], "inputs"),
        ([tensor("a"), tensor("b")], "inputs"),
        ([tensor("a", name="txt")], "inputs.0.name"),
        ([tensor("a", datatype="FP32")], "inputs.0.datatype"),
        ([tensor("a", datatype="bytes")], "inputs.0.datatype"),
        ([tensor(shape=[0])], "inputs.0.shape"),
        ([tensor("a", shape=[])], "inputs.0.shape"),
        ([tensor("a", shape=[-1])], "inputs.0.shape"),
        ([tensor("a", "b", shape=[1, 2])], "inputs.0.shape"),
        ([tensor("a", shape=[1, 1, 1])], "inputs.0.shape"),
        ([tensor("a", shape=[1.0])], "inputs.0.shape.0"),
        ([tensor("a", shape=[True])], "inputs.0.shape.0"),
        ([tensor("a", shape=[5])], "inputs.0.shape"),
        ([tensor("a", shape=[2**64 - 1])], "inputs.0.shape: has"),
        ([tensor("a", shape=[2**64])], "inputs.0.shape.0"),
        ([tensor("a", shape=[10**4000])], "inputs.0.shape.0"),
        ([tensor("a", shape=[2])], "inputs.0.data"),
        ([tensor("a", "b", shape=[1])], "inputs.0.data"),
        ([tensor(data=[["a"]], shape=[1])], "inputs.0.data.0"),
        ([tensor(data=[["a", "b"]], shape=[1, 1])], "inputs.0.data.0"),
        ([tensor(data=[["a"], "b"], shape=[2, 1])], "inputs.0.data.0"),
        ([tensor(data=["a", 5], shape=[2])], "inputs.0.data.1"),
        ([tensor(data=[[None]], shape=[1, 1])], "inputs.0.data.0"),
        ([tensor(data=None, shape=[1])], "inputs.0"),
        ([tensor("a", parameters={"binary_data_size": 5})], "inputs.0"),
        ([tensor("a", parameters={"shared_memory_region": "r"})], "inputs.0.parameters"),
        ([tensor("a", parameters={"binary_data_size": 5}, data=None)], "inputs.0.parameters"),
        ([tensor("a", color="red")], "inputs.0.color"),
    ],
)
def test_wrong_input_is_named_by_its_place(inputs: list[Any], place: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(*inputs)
    assert caught.value.detail.startswith(place)


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"id": 42}, "id"),
        ({"parameters": {"schedule": "sideways"}}, "parameters.schedule"),
        ({"parameters": {"timeout": -1}}, "parameters.timeout"),
        ({"parameters": {"timeout_ms": 0}}, "parameters.timeout_ms"),
        ({"parameters": {"binary_data_output": 1}}, "parameters.binary_data_output"),
        ({"parameters": {"sequence_id": 7}}, "parameters.sequence_id"),
        ({"parameters": {"priority": 1}}, "parameters.priority"),
        ({"parameters": {"content_type": "np"}}, "parameters.content_type"),
        ({"outputs": [{"name": "logits"}]}, "outputs.0.name"),
        ({"outputs": [{"name": "label"}, {"name": "label"}]}, "outputs.1.name"),
        ({"outputs": [{"name": "scores", "parameters": {"classification": 0}}]}, "outputs.0"),
        ({"outputs": [{"name": "score", "parameters": {"classification": 1}}]}, "outputs.0"),
        ({"outputs": [{"name": "label", "parameters": {"classification": 1}}]}, "outputs.0"),
        ({"outputs": [{"name": "label", "parameters": {"binary_data": 1}}]}, "outputs.0"),
        ({"model_name": "gru"}, "model_name"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_wrong_field_is_named_by_its_place(more: dict[str, Any], place: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(tensor("a"), **more)
    assert caught.value.detail.startswith(place)


def test_binary_data_that_is_no_text_is_named() -> None:
    with pytest.raises(Invalid, match=r"inputs\.0: text 1 isn't UTF-8, from its byte 1 on"):
        read_binary(b"\1\0\0\0a\2\0\0\0b\xff", [2])
    with pytest.raises(Invalid, match="text 0 isn't UTF-8"):
        read_call(b"\xff", ["0"], "lstm", MOST)


def test_binary_sizes_that_disagree_are_told() -> None:
    data = write_elements(["a", "b"])
    with pytest.raises(Invalid, match="binary_data_size: is 9, and 10 bytes follow"):
        read_binary(data, [2], size=9)
    with pytest.raises(Invalid, match=r"inputs\.0: 5 bytes follow the last of 1 elements"):
        read_binary(data, [1])
    with pytest.raises(Invalid, match="10 bytes follow that"):
        read(tensor("a"), data=data)
    with pytest.raises(Invalid, match="Inference-Header-Content-Length is 1000"):
        read(tensor("a"), header=1000)
    with pytest.raises(NotJSON):
        read(tensor("a"), header=5)


def test_text_is_never_echoed() -> None:
    for inputs in ([tensor("secret", shape=[2])], [tensor(data=[["secret", "x"]], shape=[1, 1])]):
        with pytest.raises(Invalid) as caught:
            read(*inputs)
        assert "secret" not in caught.value.detail + str(caught.value.errors)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON, JSON, JSON, JSON)
def test_any_json_is_a_request_or_a_clients_fault(
    one: Any, two: Any, three: Any, four: Any
) -> None:
    inputs = [{"name": "text", "datatype": "BYTES", "shape": one, "data": two, "parameters": three}]
    for fields in ({"inputs": one}, {"inputs": inputs}, {"inputs": [tensor("a")], "outputs": four}):
        try:
            call = read_call(json.dumps(fields).encode(), [], "lstm", MOST)
        except (Invalid, NotJSON):
            continue
        assert all(isinstance(text, str) for text in call.asked.inputs)


@given(st.binary(), st.sampled_from(["0", "1", "2", "90", "117", "x"]))
def test_any_bytes_are_a_request_or_a_clients_fault(data: bytes, header: str) -> None:
    size = {"binary_data_size": len(data)}
    one = {"name": "text", "shape": [1], "datatype": "BYTES", "parameters": size}
    sent = json.dumps({"inputs": [one]}).encode()
    for body, value in ((data, header), (sent + data, header), (sent + data, str(len(sent)))):
        try:
            call = read_call(body, [value], "lstm", MOST)
        except (Invalid, NotJSON):
            continue
        assert len(call.asked.inputs) == 1
