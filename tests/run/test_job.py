"""The state of a job, as frames and look-ups change it: how far it is, what is told of it, and how it ends; and how
frames and the history are read."""

import contextlib
import json
from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

import comfyui_tool as tool

GRAPH = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "x"}},
    "3": {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 20}},
    "8": {"class_type": "VAEDecode", "inputs": {}},
    "9": {"class_type": "SaveImage", "inputs": {}},
}
NEW = tool.Job.posted("id", GRAPH)
FILE = tool.Output("9", "a.png", "", "output")


def after(*events: tool.Event, job: tool.Job = NEW) -> tool.Job:
    """The job after these events, one a second."""
    return reduce(lambda state, step: tool.advance(state, step[1], float(step[0])), enumerate(events), job)


def at_step(step: int) -> tool.Progress:
    return tool.Progress({"1": (1, 1, True), "3": (step, 20, False)})


def test_a_sampler_weighs_as_much_as_it_has_steps() -> None:
    assert NEW.weights == {"1": 1, "3": 20, "8": 1, "9": 1}
    assert after(tool.Started(), at_step(10)).fraction == pytest.approx(11 / 23)


def test_cached_nodes_do_not_count() -> None:
    job = after(tool.Cached(frozenset({"1"})), tool.Progress({"3": (11, 20, False)}))
    assert job.fraction == pytest.approx(11 / 22)


def test_the_phases_in_words() -> None:
    told = [
        tool.describe(job, 9.0)
        for job in (
            NEW,
            after(tool.Waiting(3)),
            after(tool.Waiting(0)),
            after(tool.Waiting(10_000, at_least=True)),
            after(tool.Started()),
            after(tool.Executing("1")),
            after(at_step(10)),
        )
    ]
    assert told == [
        ("connecting", "Sent to ComfyUI"),
        ("waiting", "Waiting, 3 ahead"),
        ("waiting", "Waiting, next in line"),
        ("waiting", "Waiting, at least 10000 ahead"),
        ("loading", "Loading the model"),
        ("loading", "Loading the model"),
        ("running", "48%"),
    ]


def test_the_time_left_comes_from_the_speed_of_the_steps() -> None:
    job = after(*(at_step(step) for step in range(1, 12)))  # ten steps in ten seconds
    assert tool.describe(job, 10.0) == ("running", "52% · 11 s left")


def test_nobody_is_told_of_a_full_hundred_before_the_end() -> None:
    job = after(at_step(20), tool.Progress({"8": (1, 1, True), "9": (1, 1, True)}))
    assert tool.describe(job, 5.0)[1].startswith("99%")


def test_a_server_without_progress_states_is_followed_by_its_executing_frames() -> None:
    job = after(tool.Executing("1"), tool.Executing("3"), tool.Progress({"3": (20, 20, False)}), tool.Executing("8"))
    assert job.fraction == pytest.approx(21 / 23)


def test_a_late_queue_look_up_does_not_put_a_running_job_back() -> None:
    assert after(tool.Started(), tool.Waiting(4)).ahead is None


def test_lost_takes_two_look_ups_in_a_row() -> None:
    assert not after(tool.Absent()).lost
    assert not after(tool.Absent(), tool.Waiting(1), tool.Absent()).lost
    assert after(tool.Absent(), tool.Absent()).lost


def test_silence_lasts_from_its_first_look_up_until_anything_is_heard() -> None:
    assert after(tool.Started(), tool.Silence("x"), tool.Silence("x")).silent_since == 1.0
    assert after(tool.Silence("x"), tool.Started()).silent_since is None


def test_an_error_is_remembered_and_the_end_decides() -> None:
    blocked = after(tool.Failed("8", "ExecutionBlocked", "no"), tool.Executed((FILE,)))
    assert not blocked.ended
    good = after(tool.Succeeded(), tool.Ended(), job=blocked)
    assert tool.judge(good, GRAPH).outputs == (FILE,)
    bad = after(tool.Failed("8", "ValueError", "no"), tool.Ended())
    with pytest.raises(tool.NodeFailed, match="VAEDecode"):
        tool.judge(bad, GRAPH)


def test_the_history_has_the_last_word() -> None:
    job = after(tool.Executed((replace(FILE, filename="old.png"),)), tool.Recorded(True, (FILE,), None, False))
    assert (job.ended, job.outputs) == (True, (FILE,))


def test_an_interrupted_run_is_recorded_as_an_error_and_told_apart() -> None:
    entry = {
        "outputs": {},
        "status": {
            "status_str": "error",
            "completed": False,
            "messages": [["execution_interrupted", {"node_id": "3"}]],
        },
    }
    with pytest.raises(tool.RunInterrupted):
        tool.judge(after(tool.parse_history(entry)), GRAPH)


def test_a_run_that_failed_without_a_reason_is_still_a_failure() -> None:
    with pytest.raises(tool.RunFailed):
        tool.judge(after(tool.Recorded(False, (), None, False)), GRAPH)


def test_a_run_that_was_seen_to_succeed_is_not_lost_with_its_history() -> None:
    job = after(tool.Executed((FILE,)), tool.Succeeded(), tool.Absent(), tool.Absent())
    assert tool.judge(job, GRAPH).outputs == (FILE,)


def test_the_error_of_an_unknown_node_names_its_id() -> None:
    assert "node 77" in tool.run_error(tool.Failed("77", "ValueError", ""), GRAPH).message


def test_files_are_found_under_whatever_key_a_node_puts_them() -> None:
    outputs = {
        "9": {"images": [{"filename": "a.png", "subfolder": "s", "type": "output"}], "animated": [True]},
        "10": {"gifs": [{"filename": "b.mp4"}], "text": ["hello"], "result": ["path", {"fov": 1}]},
        "11": None,
    }
    assert tool.parse_outputs(outputs) == (
        tool.Output("9", "a.png", "s", "output"),
        tool.Output("10", "b.mp4", "", "output"),
        tool.Output("10", "", "", "text", "hello"),
    )


@given(
    st.lists(
        st.one_of(
            st.just(tool.Started()),
            st.builds(tool.Waiting, st.integers(0, 5)),
            st.builds(tool.Executing, st.sampled_from("1389x")),
            st.builds(
                tool.Progress,
                st.dictionaries(st.sampled_from("1389x"), st.tuples(st.floats(0, 50), st.floats(0, 20), st.booleans())),
            ),
            st.builds(tool.Cached, st.frozensets(st.sampled_from("1389"))),
            st.just(tool.Absent()),
            st.just(tool.Gap()),
            st.just(tool.Silence("x")),
        )
    )
)
def test_whatever_comes_progress_never_falls_and_stays_in_range(events: list[tool.Event]) -> None:
    job, last = NEW, 0.0
    for second, event in enumerate(events):
        job = tool.advance(job, event, float(second))
        assert last <= job.fraction <= 1.0 + 1e-9
        last = job.fraction
        assert tool.describe(job, second + 1.0)[1]


@given(st.binary(max_size=200))
def test_any_binary_frame_is_read_or_refused_with_an_ordinary_error(frame: bytes) -> None:
    with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
        tool.parse_binary(frame)


def test_both_binary_layouts_are_read() -> None:
    about = json.dumps({"prompt_id": "p", "node_id": "3", "display_node_id": "4"}).encode()
    new = (4).to_bytes(4, "big") + len(about).to_bytes(4, "big") + about + b"jpeg"
    old = (1).to_bytes(4, "big") + (2).to_bytes(4, "big") + b"png"
    assert tool.parse_binary(new) == tool.Frame(b"jpeg", "p", "4")
    assert tool.parse_binary(old) == tool.Frame(b"png")
    assert tool.parse_binary((3).to_bytes(4, "big") + b"\0" * 8) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (12.4, "12 s"), (99, "99 s"), (180, "3 min"), (4800, "1 h 20 min")]
)
def test_durations_in_words(seconds: float, text: str) -> None:
    assert tool.duration(seconds) == text


@pytest.mark.parametrize("key", ["text", "string"])
@pytest.mark.parametrize("text", ["A fox.\n\nIt is red.", "狐🦊", "ab"])
def test_a_text_that_comfyui_took_apart_into_its_characters_is_one_text(key: str, text: str) -> None:
    assert tool.parse_outputs({"10": {key: [*text]}}) == (tool.Output("10", "", "", "text", text),)


def test_texts_that_a_node_gives_as_a_list_stay_several() -> None:
    texts = [output.text for output in tool.parse_outputs({"10": {"text": ["a", "fox", "b"]}})]
    assert texts == ["a", "fox", "b"]
