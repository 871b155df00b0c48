"""Messages taken apart: what is a scan, what is refused with its reason, and what nobody sent to be read."""

from __future__ import annotations

import random
from email.message import EmailMessage

import pytest

from worker.mail.letter import DEEPEST, LOGO_BYTES, MAX_LINES_OF_PARTS, MAX_PARTS, open_letter

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PDF = b"%PDF-1.7\n" + bytes(500)


def message(**headers: str) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["Subject"] = "Ward 7 <ward@example.org>", "Readings"
    made["Message-ID"] = "<a1.b2@example.org>"
    for name, value in headers.items():
        del made[name.replace("_", "-")]
        made[name.replace("_", "-")] = value
    made.set_content("See what is attached.\n-- \nWard 7")
    return made


def attach(to: EmailMessage, content: bytes, kind: str = "application/octet-stream", **more: str) -> EmailMessage:
    main, _, sub = kind.partition("/")
    to.add_attachment(content, main, sub, **more)
    return to


def opened(made: EmailMessage | bytes, max_file_mb: float = 1.0):
    return open_letter(made if isinstance(made, bytes) else made.as_bytes(), max_file_mb=max_file_mb)


def test_scans_are_told_by_their_bytes_whatever_the_message_says_of_them() -> None:
    letter = opened(attach(attach(message(), PNG, filename="a.bin"), PDF, "image/png", filename="b.png"))
    assert [(a.name, a.content) for a in letter.attachments] == [("a.bin", PNG), ("b.png", PDF)]
    assert letter.reference == "mail:a1.b2@example.org" and not letter.refusals


@pytest.mark.parametrize(
    ("content", "kind", "told"),
    [
        (b"PK\x03\x04" + bytes(60), "application/zip", "an archive"),
        (b"\xd0\xcf\x11\xe0" + bytes(60), "application/msword", "an office document"),
        (b"MZ" + bytes(60), "application/x-msdownload", "not a PNG"),
        (b"x\x9f>\x22" + bytes(60), "application/ms-tnef", "Outlook"),
        (PNG + bytes(2**20), "image/png", "the limit is 1 (ICR_MAX_FILE_MB)"),
        (b"0\x82", "application/pkcs7-mime", "encrypted"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_its_reason(content: bytes, kind: str, told: str) -> None:
    letter = opened(attach(attach(message(), content, kind, filename="x.y"), PNG, filename="scan.png"))
    (refusal,) = letter.refusals
    assert told in str(refusal) and len(letter.attachments) == 1, "the other attachment is taken"


@pytest.mark.parametrize(
    ("stated", "kept"),
    [
        ("=?utf-8?q?Z=C3=A4hler?= 7", "Zähler 7"),
        ("two\r\n lines", "two lines"),
        ("=?nowhere?q?x?=", "=?nowhere?q?x?="),
        ("\x1b[31mred\x1b[0m", None),
        ("x" * 999, "x" * 200),
        ("", ""),
    ],
)
def test_sender_and_subject_are_one_harmless_line(stated: str, kept: str | None) -> None:
    raw = f"From: {stated}\r\nSubject: {stated}\r\nMessage-ID: <a@b>\r\n\r\nnothing\r\n".encode()
    letter = opened(raw)
    assert letter.sender == letter.subject and letter.subject.isprintable() and len(letter.subject) <= 200
    assert kept is None or letter.subject == kept


def test_text_signatures_and_logos_were_not_sent_to_be_read() -> None:
    made = message()
    made.add_alternative('<p>Hello</p><img src="cid:logo@example.org">', subtype="html")
    made.get_payload()[1].add_related(PNG, "image", "png", cid="<logo@example.org>")
    letter = opened(attach(made, b"-----BEGIN PGP SIGNATURE-----", "application/pgp-signature"))
    assert not letter.attachments and [r.reason for r in letter.refusals] == [
        "no file is attached that could be a scan"
    ]
    photo = message()
    photo.add_alternative('<img src="cid:photo">', subtype="html")
    photo.get_payload()[1].add_related(PNG + bytes(LOGO_BYTES), "image", "png", cid="<photo>")
    assert len(opened(photo).attachments) == 1, "a telephone puts photographs into the text"


def test_a_forwarded_message_is_looked_into() -> None:
    outer = message(Message_ID="<outer@example.org>")
    outer.add_attachment(attach(message(), PNG, filename="inner.png"))
    letter = opened(outer)
    assert [a.name for a in letter.attachments] == ["inner.png"] and letter.reference == "mail:outer@example.org"


def test_nesting_and_numbers_are_bounded() -> None:
    nested = attach(message(), PNG, filename="deep.png")
    for _ in range(DEEPEST):
        outer = message()
        outer.add_attachment(nested)
        nested = outer
    assert "deep" in str(opened(nested).refusals[0])
    many = message()
    for _ in range(MAX_PARTS + 5):
        attach(many, PNG)
    letter = opened(many)
    assert len(letter.attachments) < MAX_PARTS and f"more than {MAX_PARTS} parts" in str(letter.refusals[-1])
    flood = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\n" * (MAX_LINES_OF_PARTS + 2)
    assert "parts" in str(opened(flood).refusals[0])
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(2000))
    assert opened(deep).refusals, "the parser itself runs out of stack"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a\x1b[31m.png", "\u202egnp.exe", "=?utf-8?q?no_end", "x" * 5000, "", "a\r\nb.png"]
)
def test_a_hostile_name_is_one_short_line(name: str) -> None:
    raw = attach(message(), b"PK\x03\x04" + bytes(60)).as_bytes()
    raw = raw.replace(
        b"Content-Disposition: attachment", f'Content-Disposition: attachment; filename="{name}"'.encode()
    )
    told = str(opened(raw).refusals[0])
    assert told.isprintable() and len(told) < 300


def test_a_message_without_an_id_of_its_own_is_named_by_its_bytes() -> None:
    first, other = message(), message(Subject="Other")
    del first["Message-ID"], other["Message-ID"]
    assert opened(first).reference == opened(first).reference != opened(other).reference
    long = opened(message(Message_ID=f"<{'x' * 300}@example.org>")).reference
    assert long.startswith("mail:") and len(long) == 37


def test_bytes_of_any_kind_make_a_letter() -> None:
    draw = random.Random(7)
    whole = bytearray(attach(attach(message(), PNG, filename="a.png"), PDF, filename="b.pdf").as_bytes())
    for _ in range(300):
        broken = bytearray(whole)
        for _ in range(draw.randrange(1, 30)):
            broken[draw.randrange(len(broken))] = draw.randrange(256)
        letter = opened(bytes(broken[: draw.randrange(len(broken))]))
        assert letter.reference.startswith("mail:") and len(letter.reference) <= 200
        assert letter.attachments or letter.refusals
