"""Walking through mbox files, Maildirs and folders."""

from __future__ import annotations

import mailbox
from pathlib import Path

import pytest

from deploy.demo_mail import generate
from shared.mail import Unreadable, count, read_mail, split_mbox, walk
from shared.mail.reading import MAX_MAIL_BYTES
from shared.references import find_identifiers, normalise_address

MBOX = b"""From alice@x.org Tue Mar  5 10:00:00 2024
From: alice@x.org

One
>From here on
>>From deeper
From the middle of a text

From bob@x.org Tue Mar  5 11:00:00 2024 +0100
From: bob@x.org

From afar, without a date

"""


def test_an_mbox_is_split_at_its_separators_only(tmp_path: Path) -> None:
    """Lines that merely begin with From are text, and quoted ones are given back as they were."""
    file = tmp_path / "a.mbox"
    file.write_bytes(MBOX)
    mails = list(split_mbox(file))
    assert [source.position for source in mails] == [0, 1]
    assert read_mail(mails[0].raw).text == "One\nFrom here on\n>From deeper\nFrom the middle of a text\n"
    assert read_mail(mails[1].raw).text == "From afar, without a date\n"
    assert count([file]) == 2


def test_an_mbox_written_by_another_program_is_read(tmp_path: Path) -> None:
    """What Python's own `mailbox` writes comes out as the same mails."""
    box = mailbox.mbox(tmp_path / "box")
    for number in range(5):
        box.add(f"From: a{number}@x.org\nSubject: s\n\nFrom me\n\nFrom you Tue Mar  5 10:00:00 2024\n")
    box.flush()
    texts = [read_mail(source.raw).text for source in walk([tmp_path])]
    assert texts == ["From me\n\nFrom you Tue Mar  5 10:00:00 2024\n"] * 5


def test_folders_are_walked_in_a_stable_order(tmp_path: Path) -> None:
    """Files by the bytes of their names; of Maildirs new and cur; hidden files and links in circles left
    out."""
    for name in (
        "b/2.eml",
        "b/1.eml",
        "a.eml",
        "box/cur/1:2,S",
        "box/new/2",
        "box/tmp/3",
        "box/.Sent/cur/4",
        ".hidden",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"From: a@x.org\n\nhi\n")
    for name in ("box/new", "box/.Sent/new"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / "b" / "circle").symlink_to(tmp_path)
    found = [str(source.path.relative_to(tmp_path)) for source in walk([tmp_path])]
    assert found == ["a.eml", "b/1.eml", "b/2.eml", "box/.Sent/cur/4", "box/cur/1:2,S", "box/new/2"]
    assert count([tmp_path]) == len(found)


def test_what_is_not_there_is_said_at_once_and_what_cannot_be_read_is_yielded(tmp_path: Path) -> None:
    """A missing path is the caller's error; a file that is too large is put aside with its reason, the others
    follow."""
    with pytest.raises(FileNotFoundError):
        next(walk([tmp_path / "nowhere"]))
    (tmp_path / "a.eml").write_bytes(b"From: a@x.org\n\nhi\n")
    with (tmp_path / "b.eml").open("wb") as file:
        file.truncate(MAX_MAIL_BYTES + 1)
    assert [(source.path.name, source.problem) for source in walk([tmp_path])] == [
        ("a.eml", ""),
        ("b.eml", "too-large"),
    ]


def test_the_generated_archive_is_what_its_manifest_says(tmp_path: Path) -> None:
    """Every mail is found where the manifest puts it, with its people, its sentences, and each mention in
    each spelling."""
    manifest = generate(tmp_path, mails=120, people=20, seed=7, large_part_bytes=100_000)
    expected = {mail.message_id: mail for mail in manifest.mails if mail.message_id}
    unreadable = 0
    for source in walk([tmp_path]):
        try:
            mail = read_mail(source.raw)
        except Unreadable:
            unreadable += 1
            continue
        if source.path.parent.name == "broken":
            continue
        entry = expected.pop(str(mail.message_id))
        texts = mail.text + "\n".join(part.text() for part in mail.attachments if part.is_text)
        found = {identifier.normalised for identifier in find_identifiers(texts)}
        people = {
            normalise_address(box.address) for box in (*mail.senders, *mail.to, *mail.cc, *mail.reply_to)
        }
        assert people == {normalise_address(address) for address in (entry.sender, *entry.recipients)}
        assert {normalise_address(mention) for mention in entry.mentions} <= found
        assert all(sentence in mail.text for sentence in entry.sentences)
        assert all(spelling in texts for spelling in entry.spellings)
        assert (manifest.list_address in mail.list_addresses) == (entry.kind == "list")
        assert mail.defects == ()
    assert expected == {}
    assert unreadable == sum(not mail.readable for mail in manifest.mails) == 2


def test_the_same_seed_gives_the_same_archive(tmp_path: Path) -> None:
    """Byte for byte."""
    for name in ("one", "two"):
        generate(tmp_path / name, mails=40, people=10, seed=3, large_part_bytes=1_000)
    first = {
        file.relative_to(tmp_path / "one"): file.read_bytes()
        for file in (tmp_path / "one").rglob("*")
        if file.is_file()
    }
    second = {
        file.relative_to(tmp_path / "two"): file.read_bytes()
        for file in (tmp_path / "two").rglob("*")
        if file.is_file()
    }
    assert first == second
