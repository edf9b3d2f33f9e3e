"""No credential is written down, and no folder of this machine in what is published."""

from __future__ import annotations

import pytest

from interbert.errors import StorageError, StoreError, UsageError
from interbert.utils.redaction import published, stripped, without_credentials
from interbert.utils.terminal import say


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("s3://key:se+c/r=et@bucket/shop", "s3://bucket/shop"),
        ("s3://key:se@cret@bucket/shop", "s3://bucket/shop"),
        ("S3://key:sec?ret@bucket/shop", "S3://bucket/shop"),
        ("https://user@host:8080/a", "https://host:8080/a"),
        ("https://host/a?token=secret", "https://host/a"),
        ("https://host/a?sv=1&x=secret#k", "https://host/a"),
        ("az://c/my shop?sas_token=secret&b=2", "az://c/my shop&b=2"),
        ("gs://b/#access_token=secret", "gs://b/"),
        ("'https://u:secret@host/a?token=secret': cannot be read.", "'https://host/a': cannot be read."),
        ("(https://host/a?token=secret). Try s3://k:secret@b/c", "(https://host/a). Try s3://b/c"),
        ("https://host/a?token=secret: 403", "https://host/a: 403"),
        ("s3:/key:se/c+ret@bucket/shop: no folder", "s3:/bucket/shop: no folder"),  # as pathlib writes it
        ("S3 bucket name 'key:secret@b.example' contains dots", "S3 bucket name 'b.example' contains dots"),
        ("hf://datasets/me:secret@owner/name", "hf://datasets/owner/name"),
        ("token hf_abcdefghijklmnopqrstuvwxyz0123 is invalid", "token hf_... is invalid"),
        ("AccountName=a;AccountKey=secret==;b=1", "AccountName=a"),
        ("AccountKey=secret== was refused", "AccountKey=... was refused"),
        ("aws_secret_access_key=se/cret refused", "aws_secret_access_key=... refused"),
    ],
)
def test_credentials_of_a_uri_are_left_out_wherever_it_stands(text: str, left: str) -> None:
    assert without_credentials(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "hf://datasets/owner/name@main/a.parquet",
        "s3://bucket/shop@v2",
        "https://host:8080/a/b@c",
        "http://[::1]:9000/bucket/a@b",
        "data/what?.csv",
        "a@b.example: is this red? yes/no",
        "owner/name@revision",
        "timm:resnet18@v1",
        "efficientnet_lite0@digest",
        "hf_model_of_shoes",
        "sort key=price, tokens=5",
        "12:30 @cafe, 3:2@home",
        "/shop/a:b/c@d.png",
    ],
)
def test_what_holds_no_credentials_stays(text: str) -> None:
    assert without_credentials(text) == text


def test_a_uri_as_a_whole_ends_before_its_query_even_with_spaces() -> None:
    recipe = {"regions": "s3://b/my shop?x=secret", "texts": ["why? so"], "more": {"s3://k:secret@b/a": 0.5}, "n": 3}
    assert stripped(recipe) == {"regions": "s3://b/my shop", "texts": ["why? so"], "more": {"s3://b/a": 0.5}, "n": 3}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/home/me/regions/train", "train"),
        ("/home/me/regions/", "regions/"),
        ("/home/me/my data/train", "my data/train"),
        ("~/regions/train", "train"),
        ("~me/train", "train"),
        ("file:///home/me/train", "train"),
        (r"C:\Users\me\train", "train"),
        ("/home/me/shop/*.parquet", "*.parquet"),
        ("from /home/me/bert: 3 text layers", "from bert: 3 text layers"),
        ("'/home/me/a': has no row (/home/me/b/c.json)", "'a': has no row (c.json)"),
        ("s3://key:secret@bucket/home/me", "s3://bucket/home/me"),
        ("data/regions", "data/regions"),
        ("../regions/train", "../regions/train"),
        ("owner/name@main", "owner/name@main"),
        ("2026/1/5 and/or 3 / 4 px/s", "2026/1/5 and/or 3 / 4 px/s"),
    ],
)
def test_what_is_published_has_names_for_absolute_paths(text: str, name: str) -> None:
    assert published(text) == name


def test_stores_of_one_name_stay_apart() -> None:
    assert published({"/a/train": 1, "/b/train": 2, "c": ["/a/x/y", 3]}) == {"train": 1, "train (2)": 2, "c": ["y", 3]}


def test_errors_and_lines_have_no_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "s3://key:hidden@bucket/shop?token=hidden"
    for kind in (UsageError, StoreError, StorageError):
        assert str(kind(f"{secret}: there is no store.")) == "s3://bucket/shop: there is no store."
    say(f"{secret}: done")
    assert capsys.readouterr().out == "s3://bucket/shop: done\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("transformers:/home/anna/vit", "transformers:vit"),  # as --grid.backbone is written
        ("file:/home/anna/shop.parquet", "file:shop.parquet"),
        ("C:/Users/anna/shop.parquet", "C:shop.parquet"),
        (r"\\server\anna\shop.parquet", "shop.parquet"),
        ("https://host:80/a/b", "https://host:80/a/b"),
        ("timm:resnet18", "timm:resnet18"),
    ],
)
def test_a_path_behind_a_colon_and_one_of_a_windows_share_are_names_too(text: str, name: str) -> None:
    assert published(text) == name
