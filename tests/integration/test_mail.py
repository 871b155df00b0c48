"""Scans by mail, from a real IMAP server: rows before the move, nothing lost or doubled, reasons where not read."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

import numpy as np
import pytest
import trustme
from PIL import Image
from pydantic import SecretStr
from pypdf import PdfWriter
from sqlalchemy import Engine, delete, func, select

from tests.support.http import client_of
from tests.support.mail import PASSWORD, USER, deliver, mail_server, subjects, texts
from tests.support.system import wait_until
from worker.bootstrap import Runtime, build_runtime
from worker.errors import MailUnavailableError, SettingsError
from worker.inbox.posted import POSTED
from worker.mail.intake import Intake
from worker.mail.mailbox import Mailbox, check_settings
from worker.mail.watching import take_in_once, watch_mailbox
from worker.queue.publishing import Publisher
from worker.settings import Settings
from worker.store.engine import writing
from worker.store.letters import MAIL, find_letter, forget_letters
from worker.store.page_work import list_failed_scans
from worker.store.service_tables import LetterRow
from worker.store.tables import JobRow


@pytest.fixture
def port() -> Iterator[int]:
    with mail_server() as served:
        yield served


@pytest.fixture
def runtime(port: int, sqlite_template: Path, tmp_path: Path) -> Iterator[Runtime]:
    database = tmp_path / "icr.db"
    database.write_bytes(sqlite_template.read_bytes())
    settings = Settings(
        home=tmp_path,
        database_url=f"sqlite:///{database}",
        max_file_mb=0.5,
        mail_host="127.0.0.1",
        mail_port=port,
        mail_security="none",
        mail_user=USER,
        mail_password=SecretStr(PASSWORD),
        mail_max_mb=1.0,
        mail_poll_s=1.0,
    )
    made = build_runtime(settings)
    yield made
    made.engine().dispose()


def message(subject: str, *attached: tuple[str, bytes]) -> bytes:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "ward@example.org", USER, subject
    made["Message-ID"] = f"<{subject.replace(' ', '-')}@example.org>"
    made.set_content("See what is attached.")
    for name, content in attached:
        made.add_attachment(content, "application", "octet-stream", filename=name)
    return made.as_bytes()


def draw(path: Path, number: int) -> bytes:
    grey = np.full((80, 200), 255, np.uint8)
    grey[20:60, 20 : 30 + number] = 0
    Image.fromarray(grey).save(path)
    return path.read_bytes()


def jobs(engine: Engine) -> list[JobRow]:
    with engine.connect() as connection:
        return list(connection.execute(select(JobRow).order_by(JobRow.created_at)).all())  # type: ignore[arg-type]


def test_each_kind_of_message_ends_in_its_folder_with_its_reason(runtime: Runtime, port: int, tmp_path: Path) -> None:
    png, page = draw(tmp_path / "a.png", 7), draw(tmp_path / "b.tif", 9)
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    writer.encrypt("secret", algorithm="RC4-40")
    writer.write(tmp_path / "sealed.pdf")
    deliver(
        port,
        message("two scans", ("a.png", png), ("../../b\x1b[31m.tif", page)),
        message("an archive", ("scans.zip", b"PK\x03\x04" + bytes(100)), ("c.png", draw(tmp_path / "c.png", 11))),
        message("nothing"),
        message("cut short", ("short.png", png[: len(png) // 2])),
        message("sealed", ("sealed.pdf", (tmp_path / "sealed.pdf").read_bytes())),
        message("a large file", ("large.png", png + bytes(600_000))),
        message("a large message", *[(f"{n}.png", png + bytes(400_000)) for n in range(3)]),
    )
    assert take_in_once(runtime) == 7
    assert subjects(port, "INBOX") == []
    assert subjects(port, "icr-done") == ["two scans"]
    failed = {"an archive", "nothing", "cut short", "sealed", "a large file", "a large message"}
    assert failed < set(subjects(port, "icr-failed"))
    rows = jobs(runtime.engine())
    read = [row for row in rows if row.scan_id]
    assert [row.reference for row in read] == ["mail:two-scans@example.org"] * 2 + ["mail:an-archive@example.org"]
    assert {row.source for row in rows} == {MAIL} and all(row.state == "queued" for row in read)
    kept = [path for path in (runtime.inbox / POSTED).rglob("*") if path.is_file()]
    assert len(kept) == 3 and all(path.name.isprintable() for path in kept), "nothing is left of what was refused"
    reasons = {row.reference: row.error_reason for row in rows if not row.scan_id}
    told = {
        "an-archive": "scans.zip: not a PNG, JPEG, TIFF or PDF, nor a WebP, AVIF or HEIC photo: it is an archive",
        "nothing": "no file is attached that could be a scan",
        "cut-short": "short.png: ",
        "sealed": "sealed.pdf: encrypted PDF",
        "a-large-file": "large.png: 0.6 MB; the limit is 0.5 (ICR_MAX_FILE_MB)",
        "a-large-message": "MB; the limit is 1 (ICR_MAIL_MAX_MB)",
    }
    notes = texts(port, "icr-failed")
    for name, words in told.items():
        reason = reasons[f"mail:{name}@example.org"]
        assert words in reason
        assert words[:60] in " ".join(notes.split()), "the mailbox says it, too"
    for subject in failed:
        assert subject in subjects(port, "icr-failed")


def test_who_sent_a_scan_is_kept_shown_and_purged_with_it(runtime: Runtime, port: int, tmp_path: Path) -> None:
    """A message that is laid back into the inbox is the same letter."""
    engine, raw = (
        runtime.engine(),
        message("Ward 7: readings", ("a.png", draw(tmp_path / "a.png", 7)), ("b.zip", b"PK")),
    )
    for _ in range(2):
        deliver(port, raw)
        take_in_once(runtime)
    rows = jobs(engine)
    for row in rows:
        letter = find_letter(engine, row.id)
        assert letter is not None and (letter.sender, letter.subject) == ("ward@example.org", "Ward 7: readings")
    with client_of(runtime) as client:
        read = next(row.id for row in rows if row.scan_id)
        told = client.get(f"/v1/scans/{read}").json()["letter"]
        assert (told["sender"], told["subject"]) == ("ward@example.org", "Ward 7: readings")
        assert "from ward@example.org: Ward 7: readings" in client.get("/pages").text, "of what was refused"
        other = client.post("/v1/scans", params={"reference": rows[0].reference}, content=draw(tmp_path / "c.png", 3))
        assert other.json()["letter"] is None, "a reference alone is no letter"
    assert [row.subject for row in list_failed_scans(engine, limit=9)] == ["Ward 7: readings"]
    with writing(engine) as connection:
        later = rows[0].created_at + timedelta(days=1)
        forget_letters(connection, later)
        assert connection.execute(select(func.count()).select_from(LetterRow)).scalar_one() == 1, "its scans are kept"
        connection.execute(delete(JobRow))
        forget_letters(connection, later)
        assert connection.execute(select(func.count()).select_from(LetterRow)).scalar_one() == 0


def test_a_plug_pulled_between_the_rows_and_the_move_loses_and_doubles_nothing(
    runtime: Runtime, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = message("a scan", ("a.png", draw(tmp_path / "a.png", 7)), ("again.png", draw(tmp_path / "a.png", 7)))
    deliver(port, whole)
    with monkeypatch.context() as patch, pytest.raises(MailUnavailableError):
        patch.setattr(Mailbox, "move", _pull_the_plug)
        take_in_once(runtime)
    assert len(jobs(runtime.engine())) == 1 and subjects(port, "INBOX") == ["a scan"]
    assert take_in_once(runtime) == 1
    deliver(port, whole)  # as when somebody lays it back, or it was sent twice
    assert take_in_once(runtime) == 1
    assert len(jobs(runtime.engine())) == 1 and subjects(port, "icr-done") == ["a scan"] * 2


def test_a_plug_pulled_between_the_file_and_its_row_leaves_the_message_where_it_was(
    runtime: Runtime, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(port, message("a scan", ("a.png", draw(tmp_path / "a.png", 7))))
    with monkeypatch.context() as patch, pytest.raises(MailUnavailableError):
        patch.setattr(Publisher, "enqueue_scan", _pull_the_plug)
        take_in_once(runtime)
    assert not jobs(runtime.engine()) and subjects(port, "INBOX") == ["a scan"]
    assert take_in_once(runtime) == 1
    (job,) = jobs(runtime.engine())
    assert Path(job.uri.removeprefix("file://")).exists()


def _pull_the_plug(*_: object, **__: object) -> None:
    raise MailUnavailableError("the plug was pulled")


def test_a_message_that_cannot_be_moved_does_not_hold_up_the_others(
    runtime: Runtime, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(port, *(message(f"scan {n}", ("a.png", draw(tmp_path / "a.png", n))) for n in (5, 6)))
    real = Mailbox.move
    monkeypatch.setattr(
        Mailbox, "move", lambda box, uid, folder: _pull_the_plug() if uid == first else real(box, uid, folder)
    )
    with closing(Intake(Publisher(runtime))) as intake, closing(Mailbox(runtime.settings)) as box:
        first = box.list_messages()[0]
        with pytest.raises(MailUnavailableError):
            intake.take_in(box)
        assert intake.take_in(box) == 1, "the other one"
    assert len(jobs(runtime.engine())) == 2


def test_a_watched_mailbox_takes_in_what_comes_later_and_connects_anew(
    runtime: Runtime, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    monkeypatch.setattr("worker.mail.watching.FIRST_PAUSE_S", 0.1)
    refused = iter([True])
    real = Mailbox.list_messages
    monkeypatch.setattr(Mailbox, "list_messages", lambda box: _pull_the_plug() if next(refused, False) else real(box))
    watching = threading.Thread(target=watch_mailbox, args=(runtime,), kwargs={"stop": stop, "name": "mail@here"})
    watching.start()
    try:
        for number in (5, 6):
            deliver(port, message(f"scan {number}", ("a.png", draw(tmp_path / "a.png", number))))
            wait_until(lambda: subjects(port, "icr-done")[-1:] == [f"scan {number}"], 90, "it is taken in")  # noqa: B023
    finally:
        stop.set()
        watching.join(60)
    assert len(jobs(runtime.engine())) == 2


def test_the_servers_certificate_is_checked(runtime: Runtime, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with mail_server(context) as port:
        settings = runtime.settings.model_copy(update={"mail_security": "tls", "mail_port": port})
        with pytest.raises(MailUnavailableError, match="not trusted"):
            Mailbox(settings)
        trusting = settings.model_copy(update={"mail_ca": tmp_path / "ca.pem"})
        with closing(Mailbox(trusting)) as box:
            assert box.list_messages() == []
        wrong = trusting.model_copy(update={"mail_password": SecretStr("wrong")})
        with pytest.raises(MailUnavailableError, match="ICR_MAIL_PASSWORD"):
            Mailbox(wrong)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"mail_host": None}, "ICR_MAIL_HOST"),
        ({"mail_user": None}, "ICR_MAIL_USER"),
        ({"mail_host": "mail.example.org"}, "ICR_MAIL_SECURITY"),
        ({"mail_done": "INBOX"}, "three folders"),
    ],
)
def test_settings_that_cannot_work_are_named(changed: dict[str, str | None], told: str) -> None:
    whole = {"mail_host": "127.0.0.1", "mail_user": USER, "mail_password": PASSWORD, "mail_security": "none"}
    with pytest.raises(SettingsError, match=told):
        check_settings(Settings(**{**whole, **changed}))


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "imap_tools", None)
    settings = Settings(mail_host="127.0.0.1", mail_user=USER, mail_password=SecretStr(PASSWORD), mail_security="none")
    with pytest.raises(SettingsError, match=r"\.\[mail\]"):
        check_settings(settings)
