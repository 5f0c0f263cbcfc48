import io
import tarfile
from pathlib import Path

import pytest

from ovs_jax.data.ingest import tars
from ovs_jax.data.ingest.entries import Entry
from ovs_jax.data.ingest.tars import TarReader
from tests.data.damage import write_tar


def entries(path: Path, column: str = "caption") -> list[Entry]:
    reader = TarReader((path,), column)
    (part,) = reader.parts()
    return list(reader.read(part))


def test_members_are_grouped_by_their_name_up_to_the_first_dot(tmp_path: Path) -> None:
    members = [
        ("./a/1.jpg", b"one"),
        ("./a/1.seg.png", b"a mask, which is not the image"),
        ("./a/1.TXT", b"first"),
        ("b/1.PNG", b"two"),
        ("b/1.json", b'{"caption": "no", "text": "second"}'),
        ("noise", b""),
    ]
    write_tar(tmp_path / "x.tar", members)
    assert entries(tmp_path / "x.tar", "text") == [
        Entry("x.tar/a/1", b"one", (b"first",)),
        Entry("x.tar/b/1", b"two", ("second",)),
    ]


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz"])
def test_compressed_tars_are_read_and_their_breaks_found(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    with tarfile.open(path, "w:gz") as tar:
        for name, data in (("1.jpg", bytes(range(256)) * 99), ("1.txt", b"first")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    assert [entry.captions for entry in entries(path)] == [(b"first",)]
    path.write_bytes(path.read_bytes()[:-12])
    assert [entry.fault for entry in entries(path)][-1] == "broken tar"


def test_members_that_lead_elsewhere_are_neither_followed_nor_written(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "x.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in (("../../out.jpg", b"one"), ("../../out.txt", b"first")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE)):
            picture = tarfile.TarInfo(f"{number}.jpg")
            tar.addfile(picture, io.BytesIO(b""))
            link = tarfile.TarInfo(f"{number}.txt")
            link.type, link.linkname = kind, str(secret)
            tar.addfile(link)
    before = sorted(tmp_path.rglob("*"))
    found = entries(path)
    assert [entry.key for entry in found] == ["x.tar/../../out", "x.tar/0", "x.tar/1"]
    assert [entry.captions for entry in found] == [(b"first",), (None,), (None,)]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_tar_that_vanishes_is_no_bad_data(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", [("1.jpg", b"one")])
    reader = TarReader((tmp_path / "x.tar",), "caption")
    (part,) = reader.parts()
    (tmp_path / "x.tar").unlink()
    with pytest.raises(FileNotFoundError, match=r"x.tar"):
        list(reader.read(part))


def test_a_member_larger_than_an_image_may_be_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tars, "MAX_IMAGE_BYTES", 100)
    write_tar(tmp_path / "x.tar", [("1.jpg", bytes(101)), ("1.txt", b"first"), ("2.jpg", b"")])
    assert [entry.fault for entry in entries(tmp_path / "x.tar")] == ["file too large", None]
