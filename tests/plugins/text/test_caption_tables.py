# ruff: noqa: E501 (the sentences that are expected stand on one line)
"""Tables of captions: what they say of which picture, in each layout, and what is wrong with them."""

import csv
import json
import os

import pytest
from ganflow_text.folder.layout import captioned

from ganflow.errors import GanflowError

PNG = [".png"]
SENTENCES = ["a red bird, with a yellow belly", 'a "red" bird\nwith a beak', "a red\u2028bird", " a grey bird\r\n"]
ON_ONE_LINE = ["a red bird, with a yellow belly", 'a "red" bird with a beak', "a red bird", "a grey bird"]


def empty_pictures(root, names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write(file, lines):
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def found(root, table=None):
    return captioned(root, table, PNG).captions


def not_found(root, table=None):
    with pytest.raises(GanflowError) as caught:
        found(root, table)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def as_csv(root, names):
    with open(root / "captions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([["image", "caption"], *zip(names, SENTENCES, strict=True)])


def as_json_lines(root, names):
    rows = [json.dumps({"image": name, "caption": text}, ensure_ascii=False) for name, text in zip(names, SENTENCES, strict=True)]
    (root / "all.jsonl").write_text("\n".join(rows), encoding="utf-8")


def as_flickr(root, names):
    as_csv(root, names)
    (root / "captions.csv").rename(root / "captions.txt")


def as_coco(root, names):
    images = [{"id": 7 + i, "file_name": name} for i, name in enumerate(names)]
    annotations = [{"image_id": 7 + i, "id": 90 + i, "caption": text} for i, text in enumerate(SENTENCES)]
    (root / "captions_train2017.json").write_text(json.dumps({"info": {}, "images": images, "annotations": annotations[::-1]}, indent=1))


def as_tabs(root, names):
    with open(root / "captions.tsv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, "excel-tab")
        writer.writerows([["image", "caption"], *zip(names, SENTENCES, strict=True)])


def as_karpathy(root, names):
    images = [{"filename": name, "imgid": i, "split": "train", "sentences": [{"tokens": ["a"], "raw": text}]}
              for i, (name, text) in enumerate(zip(names, SENTENCES, strict=True))]  # fmt: skip
    (root / "dataset_flickr8k.json").write_text(json.dumps({"images": images[::-1], "dataset": "flickr8k"}))


@pytest.mark.parametrize("write_table", [as_csv, as_tabs, as_json_lines, as_flickr, as_coco, as_karpathy])
def test_a_table_says_what_was_written_into_it(tmp_path, write_table):
    names = [f"p{i}.png" for i in range(4)]
    empty_pictures(tmp_path, names)
    write_table(tmp_path, names)
    assert found(tmp_path) == {name: [text] for name, text in zip(names, ON_ONE_LINE, strict=True)}


def test_flickr8ks_older_layout(tmp_path):
    empty_pictures(tmp_path, ["Images/p0.png", "Images/p1.png"])
    write(tmp_path / "tokens.txt", ["p0.png#0\ta red bird , with a beak .", "p0.png#1\tred\tbird .", "", "p1.png#0\ta #2 bird"])
    said = {"Images/p0.png": ["a red bird , with a beak .", "red\tbird ."], "Images/p1.png": ["a #2 bird"]}
    assert found(tmp_path, "tokens.txt") == said
    write(tmp_path / "tokens.txt", ["p0.png#0\ta red bird", "p1.png#0 a blue bird"])
    assert not_found(tmp_path, "tokens.txt").endswith("line 2 of " + str(tmp_path / "tokens.txt")
                                                      + " is not like the first: picture.jpg#0, a tab and a caption")  # fmt: skip


def test_flickr30ks_results(tmp_path):
    empty_pictures(tmp_path, ["all/1.png", "all/2.png"])
    published = ["image_name| comment_number| comment", '1.png| 0| A man in a " T " , red .', "1.png| 1| Two dogs\u2028run .", "",
                 "2.png| 4   A dog runs across the grass ."]  # fmt: skip
    write(tmp_path / "results.csv", published)
    assert found(tmp_path) == {"all/1.png": ['A man in a " T " , red .', "Two dogs run ."], "all/2.png": ["A dog runs across the grass ."]}
    (tmp_path / "results.csv").write_bytes("\r\n".join(published).encode())
    assert found(tmp_path)["all/2.png"] == ["A dog runs across the grass ."]
    (tmp_path / "results.csv").unlink()
    write(tmp_path / "results_20130124.token", ["1.png#0\tTwo dogs .", "2.png#0\tA dog ."])
    assert found(tmp_path) == {"all/1.png": ["Two dogs ."], "all/2.png": ["A dog ."]}


def test_karpathys_split(tmp_path):
    empty_pictures(tmp_path, names := [f"val2014/{i}.png" for i in range(4)])
    about = [{"filepath": "val2014", "filename": f"{i}.png", "sentences": [{"raw": f"one {i}"}, {"raw": f"two {i}"}],
              **({"split": part} if part else {})} for i, part in enumerate(["restval", "val", "test", None])]  # fmt: skip
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"dataset": "coco", "images": about}))
    laid_out = captioned(tmp_path, None, PNG)
    assert laid_out.captions == {name: [f"one {i}", f"two {i}"] for i, name in enumerate(names)}
    assert laid_out.split == dict(zip(names, [True, False, False, True], strict=True))
    (tmp_path / "dataset_coco.json").rename(tmp_path / "mine.json")
    assert captioned(tmp_path / "val2014", "../mine.json", PNG).split["0.png"]
    assert captioned(tmp_path / "val2014", "../mine.json", PNG).split["1.png"] is False


def test_a_text_beside_its_picture_is_no_table(tmp_path):
    empty_pictures(tmp_path, ["captions.png", "b.png"])
    write(tmp_path / "captions.txt", ["a red bird, flying\u2028away", "a bird"])
    write(tmp_path / "b.txt", ["a blue bird"])
    write(tmp_path / "info.json", ["{}"])
    assert found(tmp_path) == {"captions.png": ["a red bird, flying away", "a bird"], "b.png": ["a blue bird"]}


def test_names_without_their_folders(tmp_path):
    empty_pictures(tmp_path, ["train/a/x.png", "train/b/y.png"])
    write(tmp_path / "c.csv", ["image,caption", "a/x.png,one", "y.png,two", "/far/me/train/b/y.png,three"])
    assert found(tmp_path) == {"train/a/x.png": ["one"], "train/b/y.png": ["two", "three"]}
    assert found(tmp_path / "train", "../c.csv") == {"a/x.png": ["one"], "b/y.png": ["two", "three"]}
    write(tmp_path / "c.csv", ["image,caption", "a/x.png,one", "b/x.png,two"])
    assert "are not in" in (told := not_found(tmp_path))
    assert told.endswith("b/x.png (line 3)")
    empty_pictures(tmp_path, ["val/a/x.png"])
    write(tmp_path / "c.csv", ["image,caption", "x.png,one", "train/b/y.png,two"])
    assert "names that several pictures in" in not_found(tmp_path)
    assert not_found(tmp_path).endswith("x.png (line 2); write their folders, too")


DEEP, LONG = "[" * 10**5 + "]" * 10**5, "9" * 5000
TABLES = [
    ("c.csv", 'image,caption\n\np.png,a red bird, with a "yellow" belly', "line 3 of {} has 3 columns, and the first line names 2; "
     'put a caption that holds a comma in quotes: "a red bird, with a ""yellow"" belly"'),
    ("c.csv", "caption,image\na red bird, flying,p.png", "line 2 of {} has 3 columns, and the first line names 2; put a caption that "
     "holds a comma in quotes"),
    ("c.csv", 'image,caption\np.png,"a\nb"\np.png,a,b', 'line 4 of {} has 3 columns, and the first line names 2; put a caption that '
     'holds a comma in quotes: "a, b"'),
    ("c.csv", 'image,caption\np.png,"a red bird\np.png,a', "line 2 of {} opens a quote that is never closed; write a quote within "
     "quotes twice"),
    ("c.csv", 'image,caption\np.png,"a red" bird', "line 2 of {} is not CSV (',' expected after '\"'); put a caption that holds a quote "
     "in quotes, and write this one twice"),
    ("c.csv", "image,caption\np.png," + "x" * 140_000, "line 2 of {} has a field of more than 131072 characters; is a quote left open "
     "there?"),
    ("c.csv", "p.png,a red bird", "line 1 of {} names the columns, and none is called image, file, file_name, filename, path; let it be: "
     "image,caption"),
    ("c.csv", "image,Captoin\np.png,a", "line 1 of {} names the columns, and none is called caption, captions, text, sentence; did you mean "
     "'caption' by 'Captoin'? Let it be: image,caption"),
    ("c.jsonl", '{"image": "p.png", "captoin": "a"}', "line 1 of {} has none of the columns caption, captions, text, sentence; did you mean "
     "'caption' by 'captoin'?"),
    ("c.csv", "image,caption,caption\n", "line 1 of {} names the column caption 2 times; leave one"),
    ("c.tsv", 'image\tcaption\np.png\ta "red" bird\tflying', "line 2 of {} has 3 columns, and the first line names 2; put a caption that "
     "holds a tab in quotes, or a space in the tab's place"),
    ("c.tsv", 'image\tcaption\np.png\t"a red" bird', "line 2 of {} is not CSV (a tab expected after '\"'); put a caption that holds a "
     "quote in quotes, and write this one twice"),
    ("c.tsv", "image,caption\np.png,a", "line 1 of {} names the columns, and none is called image, file, file_name, filename, path; let it "
     "be: image, a tab, caption"),
    ("results.csv", "image_name| comment_number| comment\np.png| 0| a red|bird", "line 2 of {} has 4 columns, and the first line names "
     "3; a caption cannot hold the bar |"),
    ("results.csv", "image_name| comment_number| comment\np.png| 0" + " " * 10**5, "line 2 of {} is not like Flickr30k's: picture.jpg| 0| a "
     "caption"),
    ("results.csv", "image_name| comment_number| comment\np.png| one| a bird", "line 2 of {} is not like Flickr30k's: picture.jpg| 0| a "
     "caption"),
    ("results.csv", "image_name| comment_number| comment\np.png| 0| ", "empty captions in {}: line 2"),
    ("captions.txt", "a red bird", "line 1 of {} names the columns, and none is called image, file, file_name, filename, path; let it "
     "be: image,caption (or, in every line, picture.jpg#0, a tab and a caption)"),
    ("c.jsonl", "\n" + DEEP, "line 2 of {} holds JSON that is nested too deep to be read; take out what is no caption"),
    ("c.jsonl", '{"image": "p.png", "caption": "a", "n": ' + LONG + "}", "line 1 of {} holds a number of too many digits to be read; take it "
     "out, or put it in quotes"),
    ("c.jsonl", '{"image": "p.png", "caption": 5}', "line 1 of {} has a picture or a caption that is not text; put it in quotes"),
    ("c.jsonl", '{"image": {}, "caption": "a"}', "line 1 of {} has a picture or a caption that is not text; put it in quotes"),
    ("captions.json", '{"images": [],\n "annotations": [}', "line 2 of {} is not JSON: Expecting value"),
    ("captions.json", DEEP, "line 1 of {} holds JSON that is nested too deep to be read; take out what is no caption"),
    ("captions.json", LONG, "line 1 of {} holds a number of too many digits to be read; take it out, or put it in quotes"),
    ("captions.json", "[]", '{} is not laid out as COCO\'s captions: {{"images": [{{"id", "file_name"}}], "annotations": [{{"image_id", '
     '"caption"}}]}}; one object a line is a .jsonl file'),
    ("captions.json", '{"images": [{"id": 1}], "annotations": []}', "image 1 of {} has no id and file_name"),
    ("captions.json", '{"images": [], "annotations": [{"image_id": 3, "bbox": []}]}', "annotation 1 of {} has no image_id and caption; "
     "COCO's captions are in the files captions_*.json"),
    ("captions.json", '{"images": [], "annotations": [{"image_id": 3, "caption": "a"}]}', "annotation 1 of {} is about the image 3, which "
     "is none of its images"),
    *[("captions.json", '{"images": [{"filename": "p.png", "sentences": [{"raw": "a"}]}, ' + image + "]}", "image 2 of {} is not as in "
       'Karpathy\'s splits: {{"filename", "split", "sentences": [{{"raw"}}]}}, all of them text; COCO\'s layout has "annotations" beside '
       '"images"') for image in ("7", '{"sentences": []}', '{"filename": "p.png"}', '{"filename": "p.png", "sentences": {}}',
                                '{"filename": "p.png", "sentences": ["a"]}', '{"filename": "p.png", "split": 1, "sentences": []}',
                                '{"filename": ["p.png"], "sentences": []}')],
    ("captions.json", '{"images": [{"filename": "p.png", "sentences": []}]}', "empty captions in {}: image 1"),
    ("captions.json", '{"images": [], "annotations": []}', "there is no caption in {}"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "told"), TABLES, ids=range(len(TABLES)))
def test_tables_that_cannot_be_read(tmp_path, name, content, told):
    empty_pictures(tmp_path, ["p.png"])
    (tmp_path / name).write_text(content)
    assert not_found(tmp_path) == "data.captions: " + told.format(tmp_path / name)


def test_tables_that_are_no_text_or_no_tables(tmp_path):
    empty_pictures(tmp_path, ["p.png"])
    (tmp_path / "c.csv").write_bytes(b"image,caption\np.png,gr\xfcn")
    assert not_found(tmp_path) == f"data.captions: {tmp_path / 'c.csv'} is not UTF-8 text (byte 0xfc in line 2); save it as UTF-8"
    (tmp_path / "c.csv").rename(tmp_path / "c.xls")
    assert not_found(tmp_path, "c.xls").endswith("is no table of captions, by its name; those end in .csv, .tsv, .jsonl, .txt, .token, .json")
    for captions in ("x" * 300, "a\0b", "~nobody2/x"):
        assert not_found(tmp_path, captions).startswith("data.captions: '")


@pytest.mark.parametrize("target", ["/dev/null", "pipe"])
@pytest.mark.parametrize("named", [True, False])
def test_only_a_regular_file_is_read(tmp_path, target, named):
    empty_pictures(tmp_path, ["p.png"])
    os.mkfifo(tmp_path / "pipe")
    for name in ("c.csv", "p.txt"):
        (tmp_path / name).symlink_to(target)
        key, captions = ("captions", name) if named and name == "c.csv" else ("captions" if name == "c.csv" else "path", None)
        assert not_found(tmp_path, captions) == f"data.{key}: cannot read {tmp_path / name}: not a regular file"
        (tmp_path / name).unlink()
