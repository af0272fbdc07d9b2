import os
from pathlib import Path

import pytest
from store_samples import make_folder, png

from synthgap.core.errors import InputError
from synthgap.store.images import BrokenImage, decode_image, encode_jpeg
from synthgap.store.keys import safe_key
from synthgap.store.sources import ImageSource, duplicates, is_embeddings, open_images


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_images(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def keys(source: ImageSource, split: str | None = None) -> list[str]:
    return [row.image_key for row in source.rows(split)]


def test_class_folders_become_one_train_split_in_the_order_of_class_and_path(tmp_path: Path) -> None:
    files = {"frog/b.png": png(1), "frog/a.png": png(2), "cat/z.png": png(3), "cat/deep/er/y.png": png(4)}
    source = open_images(make_folder(tmp_path / "natural", files))
    assert (source.kind, source.name, source.splits) == ("folder", "natural", ("train",))
    assert source.classes == {"cat": "cat", "frog": "frog"}
    assert keys(source) == ["cat/deep/er/y.png", "cat/z.png", "frog/a.png", "frog/b.png"]
    assert [row.class_key for row in source.rows()] == ["cat", "cat", "frog", "frog"]
    assert [row.read() for row in source.rows()] == [png(4), png(3), png(2), png(1)]
    assert all((row.split, row.prompt) == ("train", None) for row in source.rows())
    assert source.counts == {"train": {"cat": 2, "frog": 2}}
    assert len(source) == 4


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (["train", "eval"], ("train", "eval")),
        (["test", "val", "train"], ("train", "val", "test")),
        (["Validation", "TRAIN"], ("train", "validation")),
        (["train"], ("train",)),
        (["test"], ("test",)),
    ],
)
def test_split_folders(tmp_path: Path, folders: list[str], splits: tuple[str, ...]) -> None:
    files = {f"{split}/{name}/1.png": png(1) for split in folders for name in ("cat", "frog")}
    source = open_images(make_folder(tmp_path, files))
    assert source.splits == splits
    assert source.classes == {"cat": "cat", "frog": "frog"}
    assert all(source.counts[split] == {"cat": 1, "frog": 1} for split in splits)
    assert [row.split for row in source.rows(splits[0])] == [splits[0]] * 2


@pytest.mark.parametrize("other", ["bus", "frog", "trains"])
def test_a_class_named_train_is_a_class_beside_other_classes(tmp_path: Path, other: str) -> None:
    source = open_images(make_folder(tmp_path, {"train/1.png": png(1), f"{other}/1.png": png(2)}))
    assert source.splits == ("train",)
    assert set(source.classes) == {"train", other}


def test_a_split_without_class_folders_is_a_class(tmp_path: Path) -> None:
    source = open_images(make_folder(tmp_path, {"train/1.png": png(1), "test/1.png": png(2)}))
    assert list(source.classes) == ["test", "train"]


def test_a_class_in_one_split_only_is_counted_as_such(tmp_path: Path) -> None:
    source = open_images(make_folder(tmp_path, {"train/a/1.png": png(1), "eval/b/1.png": png(2), "eval/c/": b""}))
    assert source.counts == {"train": {"a": 1, "b": 0, "c": 0}, "eval": {"a": 0, "b": 1, "c": 0}}
    assert source.empty_classes == ("c",)


def test_an_empty_class_is_listed(tmp_path: Path) -> None:
    source = open_images(make_folder(tmp_path, {"frog/1.png": png(1), "empty/": b"", "notes/readme.txt": b"x"}))
    assert source.classes == {"empty": "empty", "frog": "frog", "notes": "notes"}
    assert source.empty_classes == ("empty", "notes")
    assert keys(source) == ["frog/1.png"]


def test_one_and_two_images_per_class(tmp_path: Path) -> None:
    source = open_images(make_folder(tmp_path, {"a/1.png": png(1), "b/1.png": png(1), "b/2.png": png(2)}))
    assert source.counts["train"] == {"a": 1, "b": 2}
    assert [(one.name, one.start, one.stop) for one in source.shards()] == [
        ("train/a-00000", 0, 1),
        ("train/b-00000", 1, 3),
    ]


def test_hostile_names(tmp_path: Path) -> None:
    names: list[str | bytes] = [
        "new\nline.png", "quo'te\".png", "🐸.png", "-rf.png", " .png", "semi;colon.png", "<script>.png", "%2e.png",
        b"caf\xe9.png", b"\xff\xfe.png", "x" * 240 + ".png", "a\\b.png", "tab\t.png", "con.png", "..png", "CAPS.PNG",
    ]  # fmt: skip
    files = {b"frog/" + os.fsencode(name): png(number) for number, name in enumerate(names)}
    source = open_images(make_folder(tmp_path, files))
    rows = list(source.rows())
    visible = [name for name in names if not os.fsencode(name).startswith(b".")]
    assert len(rows) == len(visible) == len(names) - 1
    assert len({row.image_key for row in rows}) == len(rows)
    assert {row.read() for row in rows} == {png(n) for n, name in enumerate(names) if name in visible}
    for row in rows:
        row.path.encode("utf-8")
        assert row.image_key.isascii() and row.image_key.isprintable()
        assert not set(row.image_key) & set("\"'<>;%\\\n\t")
    assert {"frog/CAPS.PNG", "frog/con.png"} <= set(keys(source))
    assert r"frog/caf\xe9.png" in {row.path for row in rows}


def test_hostile_class_names_keep_their_text(tmp_path: Path) -> None:
    names = ["a \"quoted\" 'one'", "new\nline", "🐸", "-rf", "con", "n02085620-Chihuahua"]
    source = open_images(make_folder(tmp_path, {f"{name}/1.png": png(1) for name in names}))
    assert set(source.classes.values()) == {*names[:-1], "Chihuahua"}
    assert source.classes["n02085620"] == "Chihuahua"
    assert source.classes[safe_key("🐸")] == "🐸"
    assert {row.class_key for row in source.rows()} == set(source.classes)
    assert len({one.name for one in source.shards()}) == len(names)


def test_what_is_no_image_is_left_out(tmp_path: Path) -> None:
    files = {
        "frog/1.jpg": png(1), "frog/2.JPEG": png(2), "frog/3.webp": png(3), "frog/4.bmp": png(4), "frog/5.tif": png(5),
        "frog/Thumbs.db": b"x", "frog/.hidden.png": b"x", "frog/._1.jpg": b"x", "frog/desktop.ini": b"x",
        "frog/list.txt": b"x", "frog/no_ending": b"x", "frog/.cache/1.png": b"x", "__MACOSX/frog/1.png": b"x",
        ".git/1.png": b"x", "frog/@eaDir/1.png": b"x", "README.md": b"x",
    }  # fmt: skip
    source = open_images(make_folder(tmp_path, files))
    assert list(source.classes) == ["frog"]
    assert keys(source) == ["frog/1.jpg", "frog/2.JPEG", "frog/3.webp", "frog/4.bmp", "frog/5.tif"]
    assert source.notes == ()


def test_images_without_a_class_are_told(tmp_path: Path) -> None:
    source = open_images(make_folder(tmp_path / "set", {"frog/1.png": png(1), "stray.png": png(2)}))
    assert source.notes == ("left out: 1 image directly in set, of no class",)


def test_symbolic_links(tmp_path: Path) -> None:
    make_folder(tmp_path, {"set/frog/1.png": png(1), "elsewhere/2.png": png(2), "elsewhere/deep/3.png": png(3)})
    frog = tmp_path / "set" / "frog"
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
    (frog / "loop").symlink_to(tmp_path / "set")
    (frog / "self").symlink_to(frog / "self")
    (frog / "self.png").symlink_to(frog / "self.png")
    (frog / "link.png").symlink_to(frog / "1.png")
    (frog / "dangling.png").symlink_to(tmp_path / "gone.png")
    source = open_images(tmp_path / "set")
    rows = {row.image_key: row for row in source.rows()}
    broken = {"frog/dangling.png", "frog/self.png"}
    assert set(rows) == {"linked/2.png", "linked/deep/3.png", "frog/1.png", "frog/link.png"} | broken
    assert rows["frog/link.png"].read() == png(1)
    for name, why in [("frog/dangling.png", "No such file"), ("frog/self.png", "Too many levels")]:
        with pytest.raises(BrokenImage, match=f"cannot be read: {why}"):
            rows[name].read()


def test_a_pipe_or_a_folder_named_like_an_image_does_not_hang(tmp_path: Path) -> None:
    make_folder(tmp_path, {"frog/1.png": png(1), "frog/folder.png/2.png": png(2)})
    os.mkfifo(tmp_path / "frog" / "pipe.jpg")
    assert keys(open_images(tmp_path)) == ["frog/1.png", "frog/folder.png/2.png"]


def test_broken_images_are_rows_that_say_why(tmp_path: Path) -> None:
    photo = encode_jpeg(decode_image(png(1)))
    files = {"a/cut.jpg": photo[: len(photo) // 2], "a/text.jpg": b"hello", "a/empty.jpg": b"", "a/sound.jpg": photo}
    reasons = {}
    for row in open_images(make_folder(tmp_path, files)).rows():
        try:
            decode_image(row.read())
        except BrokenImage as error:
            reasons[row.image_key] = error.reason
    assert reasons.pop("a/cut.jpg").startswith("truncated JPEG")
    assert reasons == {"a/text.jpg": "not an image (text)", "a/empty.jpg": "empty file"}


def test_a_file_that_vanished_since_is_broken(tmp_path: Path) -> None:
    source = open_images(make_folder(tmp_path, {"a/1.png": png(1)}))
    (tmp_path / "a" / "1.png").unlink()
    with pytest.raises(BrokenImage, match="cannot be read: No such file or directory"):
        next(source.rows()).read()


def test_duplicates_are_counted_and_kept(tmp_path: Path) -> None:
    files = {"a/1.png": png(1), "a/2.png": png(1), "b/1.png": png(1), "b/2.png": png(2), "b/dangling.png": png(3)}
    source = open_images(make_folder(tmp_path, files))
    (tmp_path / "b" / "dangling.png").unlink()
    assert duplicates(source) == 2
    assert len(list(source.rows())) == 5


def test_nothing_usable_is_one_line(tmp_path: Path) -> None:
    assert "no such folder" in refused(tmp_path / "missing")
    assert "holds no images; expected one folder per class" in refused(make_folder(tmp_path / "empty", {"x/": b""}))
    assert "holds no images" in refused(make_folder(tmp_path / "bare", {"a/1.txt": b"x"}))
    flat = make_folder(tmp_path / "flat", {"1.png": png(1), "2.png": png(2)})
    assert "holds 2 images but no class folders; put the images of each class into a folder" in refused(flat)
    assert "is a .png file; expected a folder" in refused(flat / "1.png")


def test_a_folder_that_cannot_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path, {"frog/1.png": png(1), "locked/1.png": png(2)})
    real = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert refused(tmp_path).endswith("locked: cannot be read: Permission denied")


def test_rows_and_shards_agree(tmp_path: Path) -> None:
    files = {f"{split}/{name}/{i:02d}.png": b"" for split in ("train", "eval") for name in "abc" for i in range(7)}
    source = open_images(make_folder(tmp_path, files))
    parts = source.shards(size=3)
    assert [part.name for part in parts[:4]] == ["train/a-00000", "train/a-00001", "train/a-00002", "train/b-00000"]
    pieces = [row.image_key for part in parts for row in source.rows(part.split, part.start, part.stop)]
    assert pieces == keys(source)
    for part in parts:
        found = {row.class_key for row in source.rows(part.split, part.start, part.stop)}
        assert found == {part.name.split("/")[1].split("-")[0]}
    assert list(source.rows("train", 5, 5)) == []
    assert len(list(source.rows("train", 19, 400))) == 2
    with pytest.raises(InputError, match="has no split 'test'; it has 'train', 'eval'"):
        list(source.rows("test"))
    with pytest.raises(ValueError, match="name the split"):
        list(source.rows(start=3))


def test_the_fingerprint_follows_names_sizes_and_times(tmp_path: Path) -> None:
    make_folder(tmp_path, {"a/1.png": png(1), "b/2.png": png(2)})
    for name in ("a/1.png", "b/2.png"):
        os.utime(tmp_path / name, ns=(10**18, 10**18))
    first = open_images(tmp_path).fingerprint
    assert open_images(tmp_path).fingerprint == first
    make_folder(tmp_path, {"a/.hidden.png": b"", "a/notes.txt": b"x"})
    assert open_images(tmp_path).fingerprint == first
    os.utime(tmp_path / "a" / "1.png", ns=(10**18, 10**18 + 1))
    touched = open_images(tmp_path).fingerprint
    (tmp_path / "a" / "1.png").rename(tmp_path / "a" / "3.png")
    assert len({first, touched, open_images(tmp_path).fingerprint}) == 3


def test_the_order_does_not_follow_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path, {f"{c}/{d}{i}.png": b"" for c in "ab" for d in ("", "x/", "é/") for i in range(5)})
    forward, real = keys(open_images(tmp_path)), os.scandir

    class Backward:
        def __init__(self, path: str) -> None:
            with real(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(os, "scandir", Backward)
    assert keys(open_images(tmp_path)) == forward


def test_a_folder_of_images_is_no_embeddings(tmp_path: Path) -> None:
    make_folder(tmp_path, {"a/1.png": png(1), "x.npz": b""})
    assert not is_embeddings(tmp_path)
    assert is_embeddings(tmp_path / "x.npz")
    assert "holds embeddings, not images" in refused(tmp_path / "x.npz")


def test_one_split_as_a_source_of_its_own(tmp_path: Path) -> None:
    files = {f"{split}/{name}/1.png": png(1) for split in ("train", "eval") for name in "ab"}
    whole = open_images(make_folder(tmp_path, files))
    part = whole.only("eval")
    assert part.splits == ("eval",) and len(part) == 2 and part.classes == whole.classes
    assert [row.image_key for row in part.rows()] == [row.image_key for row in whole.rows("eval")]
    assert {shard.split for shard in part.shards()} == {"eval"}
    fingerprints = {whole.fingerprint, part.fingerprint, whole.only("train").fingerprint}
    assert len(fingerprints) == 3 and part.fingerprint == open_images(tmp_path).only("eval").fingerprint
    with pytest.raises(InputError, match="has no split 'test'; it has 'train', 'eval'"):
        whole.only("test")
