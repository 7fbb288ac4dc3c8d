"""The page's server: right answers, and none for strangers."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import forks
import numpy as np
import pytest
import tiny_runs
import torch
from command_line import fails
from some_truth import whole

import airkit
from airkit.data import reader
from airkit.data.dataset import to_float
from airkit.errors import CheckpointError, ServeError
from airkit.model.scene import explain, explain_best
from airkit.runs.trained import open_model
from airkit.system import seeds, threads
from airkit.system.callbacks import SILENT
from airkit.web.server import Serving
from airkit.web.session import Session, open_session

SIDE = 24
BLANK = torch.zeros(1, SIDE, SIDE)


@pytest.fixture(name="serving", scope="module")
def _serving() -> Iterator[Serving]:
    with airkit.demo(tiny_runs.reference(), port=0) as serving:
        yield serving


def _port(serving: Serving) -> int:
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", serving.address)
    assert found
    return int(found[1])


def ask(
    serving: Serving, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    connection = HTTPConnection("127.0.0.1", _port(serving), timeout=20)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


def told(serving: Serving, path: str, body: bytes = b"") -> Any:
    status, headers, content = ask(serving, "POST", path, body)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    return json.loads(content)


def session(run: Path | None = None, given: Any = ()) -> Session:
    return open_session(run or tiny_runs.reference(), "best", given, SILENT)


def grey(text: str) -> Any:
    return np.frombuffer(b64decode(text), np.uint8)


def images() -> Any:
    """The canvases of the test split."""
    return reader.read_split(tiny_runs.data_file(), "test").image


def test_the_answer_is_what_the_model_explains(serving: Serving) -> None:
    air = open_model(tiny_runs.reference(), "best", (), SILENT).build()
    for image in images()[:5]:
        ink = to_float(torch.from_numpy(image))[None, None]
        with torch.no_grad():
            scenes = {
                "/see": explain(air, ink),
                "/best": explain_best(air, ink, 3, seeds.integer(0, "looks")),
            }
        for path, scene in scenes.items():
            seen = told(serving, path, image.tobytes())
            assert told(serving, path, image.tobytes()) == seen
            count = int(scene.count[0])
            assert seen["count"] == count
            assert seen["posterior"] == pytest.approx(scene.count_probability[0].tolist())
            assert sum(seen["posterior"]) == pytest.approx(1)
            assert seen["presence"] == pytest.approx(scene.presence[0].tolist())
            assert seen["boxes"] == scene.box[0, :count].tolist()
            assert (grey(seen["image"]) == image.ravel()).all()
            painted = (scene.canvas[0].clamp(0, 1) * 255).round().numpy().ravel()
            assert (grey(seen["reconstruction"]) == painted).all()
            assert [len(grey(window)) for window in seen["windows"]] == [64] * air.slots
            assert seen["looks"] == {"/see": 1, "/best": 3}[path]
            assert seen["true_count"] is None
            low, high = seen["interval"]
            assert low <= count <= high
            assert low <= int(np.argmax(seen["posterior"])) <= high


def test_a_guide_that_does_not_look_has_one_explanation(tmp_path: Path) -> None:
    tiny_runs.fit(tmp_path / "run", train__steps=1, guide__kind="lstm")
    asked = session(tmp_path / "run")
    assert asked.facts()["looks"] == 1
    assert asked.best(BLANK) == asked.see(BLANK)


def test_settings_of_the_call_override_the_runs() -> None:
    assert session(given={"eval.looks": 7}).facts()["looks"] == 7


def test_many_may_ask_at_once(serving: Serving) -> None:
    asked = [image.tobytes() for image in images()]
    one_by_one = [told(serving, "/see", image) for image in asked]
    with ThreadPoolExecutor(8) as clients:
        at_once = list(clients.map(lambda image: told(serving, "/see", image), asked))
    assert at_once == one_by_one


def test_the_model_has_a_thread_of_its_own_until_the_session_is_closed() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        asked = session()
        assert asked._on_worker(torch.get_num_threads) == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    asked.close()
    with pytest.raises(ConnectionAbortedError, match="the session is closed"):
        asked.see(BLANK)


def test_random_canvases_are_of_the_test_split(serving: Serving) -> None:
    canvases = whole("test")
    known = {
        image.tobytes(): int(n) for image, n in zip(canvases.image, canvases.count, strict=True)
    }
    found = [told(serving, "/random") for _ in range(8)]
    assert all(known[b64decode(each["image"])] == each["true_count"] for each in found)
    assert all(each["true_count"] for each in found), "none is empty"
    assert len({each["image"] for each in found}) > 1


def test_samples_come_from_the_model(serving: Serving) -> None:
    found = [told(serving, "/sample") for _ in range(8)]
    assert {each["true_count"] for each in found} == {1, 2}
    assert len({each["image"] for each in found}) == 8
    assert all(grey(each["image"]).any() for each in found)


def test_what_the_page_is_told_of_the_model(serving: Serving) -> None:
    facts = json.loads(ask(serving, "GET", "/model")[2])
    ink = facts.pop("ink")
    assert ink == pytest.approx(10 * 20 / 28)
    assert ink < facts.pop("largest") < 1.5 * ink
    sizes = {"height": SIDE, "width": SIDE, "window": 8, "channels": 1, "slots": 3, "digit": 10.0}
    assert facts == sizes | {"what": "digit", "dark": False, "looks": 3, "random": True}


def test_without_its_data_there_are_no_random_canvases(tmp_path: Path) -> None:
    """And a note says why."""
    data, run = tmp_path / "data.h5", tmp_path / "run"
    data.write_bytes(tiny_runs.data_file().read_bytes())
    tiny_runs.fit(run, data, train__steps=1)
    assert session(run).facts()["random"] is True
    other = tiny_runs.data_file(val=0).read_bytes()
    for content, why in ((other, "not the one"), (b"mine", "damaged"), (None, "no such data file")):
        data.unlink() if content is None else data.write_bytes(content)
        listener = tiny_runs.Recorder()
        assert open_session(run, "best", (), listener).facts()["random"] is False
        (note,) = listener.notes
        assert why in note
        assert note.endswith(f": {data}; going on without its canvases")
    with airkit.demo(run, port=0) as serving:
        status, _, content = ask(serving, "POST", "/random")
        assert (status, b"are not there" in content) == (404, True)


def test_the_page_runs_its_own_script_alone(serving: Serving) -> None:
    status, headers, page = ask(serving, "GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert headers["Server"] == "airkit"
    assert not re.findall(b"https?://", page.replace(b"http://www.w3.org/2000/svg", b""))


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "why"),
    [
        ("GET", "/", None, {"Host": "evil.example"}, 403, "its own address only"),
        ("GET", "/", None, {"Host": "127.0.0.1:1"}, 403, "its own address only"),
        ("POST", "/see", bytes(576), {"Host": "evil.example:80"}, 403, "its own address only"),
        ("POST", "/see", bytes(576), {"Origin": "http://evil.example"}, 403, "itself only"),
        ("POST", "/best", bytes(576), {"Origin": "http://localhost"}, 403, "itself only"),
        ("POST", "/sample", None, {"Origin": "null"}, 403, "itself only"),
        ("POST", "/see", bytes(575), {}, 400, "a body of 576 bytes is expected, not 575"),
        ("POST", "/see", None, {}, 400, "a body of 576 bytes is expected, not 0"),
        ("POST", "/see", bytes(577), {}, 413, "a body of 576 bytes is expected, not 577"),
        ("POST", "/see", bytes(300_000), {}, 413, "is expected, not 300000"),
        ("POST", "/sample", b"x", {}, 413, "a body of 0 bytes is expected, not 1"),
        ("POST", "/see", b"", {"Content-Length": "-1"}, 400, "its length in Content-Length"),
        ("POST", "/see", b"", {"Content-Length": "9" * 30}, 400, "its length in Content-Length"),
        ("POST", "/see", b"", {"Transfer-Encoding": "chunked"}, 400, "its length"),
        ("GET", "/see", None, {}, 404, "there is nothing here"),
        ("GET", "/../page.html", None, {}, 404, "there is nothing here"),
        ("POST", "/", b"", {}, 404, "there is nothing here"),
        ("PUT", "/see", b"", {}, 501, "Unsupported method ('PUT')"),
    ],
)
def test_hostile_requests_are_refused(
    serving: Serving,
    capfd: pytest.CaptureFixture[str],
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    status: int,
    why: str,
) -> None:
    found, heads, content = ask(serving, method, path, body, **headers)
    assert found == status
    assert heads["Content-Type"] == "text/plain; charset=utf-8"
    assert why in content.decode()
    assert capfd.readouterr() == ("", "")


def test_the_page_itself_is_let_in_by_either_name(serving: Serving) -> None:
    for name in ("127.0.0.1", "localhost"):
        host = f"{name}:{_port(serving)}"
        status, *_ = ask(serving, "POST", "/sample", Host=host, Origin=f"http://{host}")
        assert status == 200


def test_clients_that_go_away_are_no_trouble(
    serving: Serving, capfd: pytest.CaptureFixture[str]
) -> None:
    for said in (b"", b"nonsense\r\n\r\n", b"POST /see HTTP/1.0\r\nContent-Length: 576\r\n\r\nabc"):
        with socket.create_connection(("127.0.0.1", _port(serving))) as client:
            client.sendall(said)
    assert ask(serving, "GET", "/")[0] == 200
    assert capfd.readouterr().err == ""


def test_only_the_loopback_interface_is_served(serving: Serving) -> None:
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
    port = f"{_port(serving):04X}"
    ours = [line.split()[1] for line in listening if line.split()[1].endswith(f":{port}")]
    assert set(ours) == {f"0100007F:{port}"}


def test_what_cannot_be_served_is_told(serving: Serving, tmp_path: Path) -> None:
    port = _port(serving)
    message = fails("demo", "--run", tiny_runs.reference(), "--port", port)
    assert message.startswith("airkit: The port is taken\n")
    assert f"127.0.0.1:{port}" in message
    assert "--port 0 takes any free one" in message
    with pytest.raises(ServeError, match="Cannot listen on the port"):
        airkit.demo(tiny_runs.reference(), port=70_000)
    with pytest.raises(CheckpointError, match="There is no trained run here"):
        airkit.demo(tmp_path, port=0)


def test_the_port_is_free_again_at_the_end() -> None:
    with airkit.demo(tiny_runs.reference(), port=0) as serving:
        port = _port(serving)
    with airkit.demo(tiny_runs.reference(), port=port) as again:
        assert _port(again) == port


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_the_address_and_ends_on_a_signal(number: int) -> None:
    words = ("demo", "--port", "0", "--run", tiny_runs.reference())
    with forks.piped(forks.COMMAND, *words) as process:
        ready, _, _ = select.select([process.stdout], [], [], 120)
        assert ready
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\n", process.stdout.readline())
        os.kill(process.pid, number)
        assert process.stderr.read() == "airkit: interrupted\n"
        assert process.wait() == 130


def test_the_number_of_threads_is_the_callers_afterwards() -> None:
    with threads.restored():
        torch.set_num_threads(2)
        session().close()
        with ThreadPoolExecutor(1) as other:
            assert other.submit(torch.get_num_threads).result() == 2
