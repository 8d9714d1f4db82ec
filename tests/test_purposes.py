"""A team's own purposes: read from a file, refused with every fault at once, and followed by everything else."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from image_upload.bucket_config import rules
from image_upload.cli.smoke import Client, smoke
from image_upload.domain import purpose_file, shipped_purposes
from image_upload.domain.purposes import IMAGE_TYPES, USER_FILE, Purpose, Variant
from image_upload.limits import GIB, MIB, S3_OBJECT_MAX_BYTES
from image_upload.settings import Settings, SettingsError, load
from tests.conftest import Start, problem

ROOT = Path(__file__).parents[1]
MINIMUM = {"ENVIRONMENT": "test", "S3_BUCKET_NAME": "photos", "AWS_REGION": "eu-north-1"}
OWN = """
[Invoice]
key = "invoices/{yyyymmdd}/{user}/{id}.{ext}"
types = ["application/pdf", {"application/xml" = ["xml"]}]
largest = "20 MiB"
kept_days = 3650

[avatar]
key = "avatars/{user}/{id}"
types = ["images"]
largest = 2097152
cdn = true
checked = true
variants = "thumb:320, card:1280:avif"
task = "faces.find"
files_per_day = 100
"""
A_PURPOSE = '[a]\nkey = "a/{id}"\ntypes = ["any"]\n'


@pytest.fixture
def own(tmp_path: Path) -> str:
    file = tmp_path / "own.toml"
    file.write_text(OWN, encoding="utf-8")
    return str(file)


def faults(text: str) -> list[str]:
    """The lines of the message, without the first."""
    with pytest.raises(purpose_file.PurposeFileError) as caught:
        purpose_file.parse(text)
    head, *lines = [line.strip() for line in str(caught.value).splitlines()]
    assert head.startswith(f"purposes.toml has {len(lines)} fault")
    return lines


# --- the file -------------------------------------------------------------------------------------


def test_every_field_of_a_file_is_taken() -> None:
    invoice = Purpose(
        "Invoice",
        "invoices/{yyyymmdd}/{user}/{id}.{ext}",
        3650,
        {"application/pdf": ("pdf",), "application/xml": ("xml",)},
        20 * MIB,
        cdn=False,
        cools=False,
    )
    avatar = Purpose(
        "avatar",
        "avatars/{user}/{id}",
        None,
        IMAGE_TYPES,
        2 * MIB,
        cdn=True,
        cools=False,
        checked=True,
        variants=(Variant("thumb", 320, "webp"), Variant("card", 1280, "avif")),
        task="faces.find",
        files_per_day=100,
    )
    purposes = purpose_file.parse(OWN)
    assert purposes.every() == (invoice, avatar, USER_FILE)
    assert purposes.default == invoice


def test_the_file_that_ships_has_the_values_that_a_start_uses() -> None:
    text = (ROOT / "purposes.toml").read_text(encoding="utf-8")
    assert purpose_file.parse(text) == shipped_purposes.PURPOSES
    names = ["upload", "scan", "profile", "chat", "misc", "audio", "document", "file"]
    assert list(shipped_purposes.PURPOSES.named) == names


def test_without_a_largest_size_the_limit_is_that_of_s3() -> None:
    assert purpose_file.parse(A_PURPOSE).default.max_bytes == S3_OBJECT_MAX_BYTES


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ('["image/heic"]', {"image/heic": ()}),
        ('["image/heic", {"image/heic" = ["heic", "heif"]}]', {"image/heic": ("heic", "heif")}),
        ('["Image/JPG"]', {"image/jpeg": ("jpg", "jpeg")}),
        ('["image/*"]', {"image/*": ()}),
        ('["image/gif"]', {"image/gif": ("gif",)}),
        ('["*/*"]', {"*/*": ()}),
    ],
)
def test_types_have_the_extensions_of_their_group_or_their_own(
    types: str, expected: dict[str, tuple[str, ...]]
) -> None:
    assert purpose_file.parse(A_PURPOSE.replace('["any"]', types)).default.types == expected


def test_all_faults_come_at_once_with_their_lines() -> None:
    text = """# first line
[Upload]
key = "up/{name}/{id}"
types = ["picture", {"image/heic" = [".heic"]}, "audio/*", "text/html; charset=utf-8"]

[upload]
key = "up/{user}"
largest = "10 mb"
colour = "red"

[third]
key = "users/{id}"
types = ["any"]
largest = "50 TiB"
kept_days = -3
cools = 1
"""
    lines = faults(text)
    assert [line.partition(":")[0] for line in lines] == [
        "line 3, Upload.key",
        "line 4, Upload.types",
        "line 6, upload",
        "line 6, upload",
        "line 7, upload.key",
        "line 8, upload.largest",
        "line 9, upload.colour",
        "line 12, third.key",
        "line 14, third.largest",
        "line 15, third.kept_days",
        "line 16, third.cools",
    ]
    for said in ("'picture' is neither", "'.heic' is no extension", "'text/html; charset=utf-8' is neither"):
        assert said in lines[1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('key = "a/{user}"', "line 2, a.key: has no {id}"),
        ('key = "a/{id}/{user}"', "line 2, a.key: is no pattern"),
        ('key = "{user}/{id}"', "line 2, a.key: is no pattern"),
        ('key = "{id}"', "line 2, a.key: is no pattern"),
        ('key = "/a/{id}"', "line 2, a.key: is no pattern"),
        ('key = "a/../{id}"', "line 2, a.key: is no pattern"),
        ('key = "a//{id}"', "line 2, a.key: is no pattern"),
        ('key = "a/{id}.jpg"', "line 2, a.key: is no pattern"),
        ('key = "a/{{id}}"', "line 2, a.key: is no pattern"),
        ('key = "a/{id!r}"', "line 2, a.key: {id!r} is no placeholder"),
        ('key = "a/{filename}/{id}"', "line 2, a.key: {filename} is no placeholder"),
        ("key = 1", "line 2, a.key: no text"),
        ('key = "users/{id}"', "line 2, a.key: users/ is the folder of POST /files/upload-url"),
    ],
)
def test_a_key_pattern_that_cannot_work_is_a_fault(line: str, said: str) -> None:
    (fault,) = faults(A_PURPOSE.replace('key = "a/{id}"', line))
    assert fault.startswith(said)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('largest = "10 mb"', "is no size"),
        ('largest = "-1 MiB"', "is no size"),
        ("largest = 0", "is no size"),
        ("largest = true", "is no size"),
        ("largest = 1.5", "is no size"),
        ('largest = "49 TiB"', "S3 holds no file above 48.8 TiB"),
        ("kept_days = 0", "no whole number of days"),
        ("kept_days = -1", "no whole number of days"),
        ('kept_days = "30"', "no whole number of days"),
        ("kept_days = 2147483648", "no whole number of days"),
        ('scope = "two words"', "is no scope"),
        ('scope = ""', "is no scope"),
        ("scope = 1", "is no scope"),
        ('checked = "yes"', "neither true nor false"),
        ('task = "Read Text"', "is no task"),
        ('task = ""', "is no task"),
        (f'task = "{"a" * 65}"', "is no task"),
        ("task = 1", "is no task"),
        ("variants = 320", "no text"),
        ("files_per_day = 0", "no whole number from 1"),
        ("files_per_day = true", "no whole number from 1"),
        ("files_per_day = 1.5", "no whole number from 1"),
        ("files_per_day = 9007199254740992", "no whole number from 1"),
        ('variants = ""', "no text"),
        ('cdn = "yes"', "neither true nor false"),
        ("cools = 1", "neither true nor false"),
        (
            "kept_day = 3",
            "cdn, cools, scope, checked, variants, task, files_per_day",
        ),
    ],
)
def test_a_value_that_cannot_be_is_a_fault(line: str, said: str) -> None:
    (fault,) = faults(A_PURPOSE + line)
    assert fault.startswith(f"line 4, a.{line.partition(' ')[0]}: ")
    assert said in fault


PICTURES = A_PURPOSE.replace("any", "images")


@pytest.mark.parametrize(
    ("variants", "said"),
    [
        ("thumb", "'thumb' is no variant. Write name:width"),
        ("thumb:", "'thumb:' is no variant"),
        ("Thumb:320", "'Thumb:320' is no variant"),
        ("a/b:320", "'a/b:320' is no variant"),
        ("thumb:320,", "'' is no variant"),
        ("thumb:320:webp:1", "'thumb:320:webp:1' is no variant"),
        ("thumb:15", "'thumb:15' has no width of 16 to 4096 pixels"),
        ("thumb:4097", "'thumb:4097' has no width of 16 to 4096 pixels"),
        ("thumb:320:jpeg", "'thumb:320:jpeg' has no format of webp, avif"),
        ("thumb:320,card:640,thumb:640", "thumb stands there twice"),
        (",".join(f"v{width}:{width}" for width in range(16, 25)), "has more than 8 variants"),
    ],
)
def test_a_variant_that_cannot_be_made_is_a_fault(variants: str, said: str) -> None:
    (fault,) = faults(f'{PICTURES}checked = true\nvariants = "{variants}"')
    assert fault.startswith(f"line 5, a.variants: {said}")


def test_a_purpose_has_up_to_eight_variants_of_16_to_4096_pixels() -> None:
    text = ",".join(f"v{width}:{width}" for width in (16, 4096, 17, 18, 19, 20, 21, 22))
    purpose = purpose_file.parse(f'{PICTURES}checked = true\nvariants = "{text}"').default
    assert [each.width for each in purpose.variants] == [16, 4096, 17, 18, 19, 20, 21, 22]


@pytest.mark.parametrize(
    "text",
    [
        PICTURES,
        PICTURES + "checked = false\n",
        A_PURPOSE + "checked = true\n",
        A_PURPOSE.replace("any", "image/svg+xml") + "checked = true\n",
    ],
)
def test_variants_are_made_of_checked_pictures_alone(text: str) -> None:
    (fault,) = faults(text + 'variants = "thumb:320"')
    assert "a.variants: are made of verified pictures" in fault


@pytest.mark.parametrize("types", ['"any"', "[]", '["pictures"]', '["*/png"]', '["im*/png"]', "[1]", '[{"a/b" = "c"}]'])
def test_types_that_are_none_are_a_fault(types: str) -> None:
    (fault,) = faults(A_PURPOSE.replace('["any"]', types))
    assert fault.startswith("line 3, a.types: ")


@pytest.mark.parametrize("name", ["User-File", "A", '"a b"', '"a:b"', "-a", "a" * 41])
def test_a_name_that_is_taken_or_no_name_is_a_fault(name: str) -> None:
    (fault,) = faults(A_PURPOSE + A_PURPOSE.replace("[a]", f"[{name}]").replace("a/", "b/"))
    assert fault.startswith("line 4, ")


USER_TABLE = '[user-file]\nlargest = "1 MiB"\nkept_days = 30\nscope = "files"\n'


def test_the_purpose_of_files_upload_url_may_be_narrowed() -> None:
    purposes = purpose_file.parse(A_PURPOSE + USER_TABLE)
    assert list(purposes.named) == ["a"]
    assert purposes.every()[-1] == USER_FILE._replace(max_bytes=MIB, kept_days=30, scope="files", cools=False)
    assert purposes.with_gif().user_file == purposes.user_file


def test_what_files_upload_url_decides_itself_is_a_fault() -> None:
    wrong = 'key = "users/{id}"\ntypes = ["images"]\ncdn = true\nvariants = "a:16"\ncools = true\nchecked = true'
    lines = faults(A_PURPOSE + USER_TABLE + wrong)
    assert [line.partition(":")[0] for line in lines] == [
        "line 8, user-file.key",
        "line 9, user-file.types",
        "line 10, user-file.cdn",
        "line 11, user-file.variants",
        "line 12, user-file.cools",
        "line 13, user-file.checked",
    ]
    assert "is decided by POST /files/upload-url" in lines[0]


def test_two_purposes_in_one_folder_are_a_fault() -> None:
    assert faults(A_PURPOSE + '[b]\nkey = "a/b/{id}"\ntypes = ["any"]') == [
        "line 5, b.key: a/ is the folder of a already. Each purpose has its own"
    ]


def test_a_purpose_in_the_folders_of_nameless_forms_neither_ends_nor_publishes_them() -> None:
    for folder, field in (("uploads", "kept_days = 1"), ("files", "kept_days = 1"), ("files", "cdn = true")):
        (fault,) = faults(A_PURPOSE.replace("a/", f"{folder}/") + field)
        assert fault.startswith(f"line 4, a.{field.partition(' ')[0]}: {folder}/ also takes forms")


def test_what_cools_is_kept_for_ever() -> None:
    (fault,) = faults(f"{A_PURPOSE}kept_days = 1\ncools = true")
    assert fault.startswith("line 5, a.cools: ")


def test_a_missing_field_is_a_fault_of_the_purpose() -> None:
    assert faults("[a]") == ["line 1, a: key is missing", "line 1, a: types is missing"]
    assert faults("a = 1") == ["line 1, a: no table. A purpose is [a] with its fields below"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\nkey = 1 2", "is not TOML: .*line 2"),
        (A_PURPOSE * 2, "twice"),
        ("", "has no purpose"),
        (USER_TABLE, "has no purpose"),
    ],
)
def test_what_is_no_file_of_purposes_is_refused(text: str, said: str) -> None:
    with pytest.raises(purpose_file.PurposeFileError, match=said):
        purpose_file.parse(text)


# --- settings -------------------------------------------------------------------------------------


def test_the_faults_of_the_file_stand_beside_those_of_other_settings(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(A_PURPOSE.replace("any", "anything") + "cdn = 1\n", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(MINIMUM | {"PURPOSES_FILE": str(file), "ALLOW_GIF": "maybe", "S3_STORAGE_CLASSES": "a:STANDARD_IA"})
    said = str(caught.value)
    assert "2 settings are missing or wrong" in said
    assert f"PURPOSES_FILE: {file} has 2 faults:\n    line 3, a.types: " in said
    assert "\n    line 4, a.cdn: neither true nor false. Expected: the path of a file of purposes" in said
    assert "ALLOW_GIF: neither true nor false" in said


def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    for name, said in (("missing.toml", "No such file"), ("binary", "not UTF-8"), (".", "directory")):
        with pytest.raises(SettingsError, match=said):
            load(MINIMUM | {"PURPOSES_FILE": str(tmp_path / name)})


def test_storage_classes_name_the_purposes_of_the_file(own: str) -> None:
    environ = MINIMUM | {"PURPOSES_FILE": own}
    assert (
        load(environ | {"S3_STORAGE_CLASSES": "Invoice:GLACIER_IR"}).storage.storage_class_of("Invoice") == "GLACIER_IR"
    )
    with pytest.raises(SettingsError, match="there are Invoice, avatar, user-file"):
        load(environ | {"S3_STORAGE_CLASSES": "audio:STANDARD_IA"})


def test_gif_joins_each_purpose_that_takes_all_images(own: str) -> None:
    purposes = load(MINIMUM | {"PURPOSES_FILE": own, "ALLOW_GIF": "true"}).storage.purposes
    assert purposes.named["avatar"].extensions_of("image/gif") == ("gif",)
    assert purposes.named["Invoice"].extensions_of("image/gif") is None
    assert load(MINIMUM).storage.purposes.named["upload"].extensions_of("image/gif") is None


# A process that starts, to see what it imports.
@pytest.mark.full
def test_a_start_with_the_file_that_ships_parses_nothing() -> None:
    script = "import sys, upload; print([each for each in ('tomllib', 'tomli') if each in sys.modules])"
    environ = {name: value for name, value in os.environ.items() if name != "PURPOSES_FILE"} | MINIMUM
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_the_table_takes_less_than_a_millisecond_of_a_start() -> None:
    load(MINIMUM)
    fastest_s = min(_elapsed_s() for _ in range(20))
    assert fastest_s < 0.001


def _elapsed_s() -> float:
    from image_upload.settings.uploads import UploadSettings

    started = time.process_time()
    UploadSettings.read(MINIMUM, serving=True)
    return time.process_time() - started


# --- what follows from it -------------------------------------------------------------------------


def settings(own: str) -> Settings:
    return load(MINIMUM | {"PURPOSES_FILE": own})


def test_life_times_rights_and_cdn_follow(own: str) -> None:
    every = settings(own).storage.purposes.every()
    ends = {rule["Filter"]["Prefix"]: rule["Expiration"]["Days"] for rule in rules.lifecycle_rules(every)[:1]}
    assert ends == {"invoices/": 3650}
    (objects, _) = rules.statements("aws", "b", every)
    assert [each.rpartition(":")[2] for each in objects["Resource"]] == [
        f"b/{folder}/*"
        for folder in (
            "invoices",
            "avatars",
            "users",
            "uploads",
            "files",
            "incoming",
            "quarantine",
            "rejected",
            "variants",
            "jobs",
            "resumable",
        )
    ]
    cdn = rules.bucket_policy("aws", "b", every, "arn:aws:cloudfront::111122223333:distribution/E2ABCDEF")[-1]
    assert cdn["Resource"] == ["arn:aws:s3:::b/avatars/*", "arn:aws:s3:::b/variants/avatars/*"]


def mint(web: httpx.Client, service: str, **changed: object) -> httpx.Response:
    return web.post(
        f"{service}/uploads", json={"filename": "r.pdf", "contentType": "application/pdf", "size": 9} | changed
    )


def test_a_service_mints_for_the_purposes_of_its_file(own: str, start: Start, web: httpx.Client) -> None:
    service = start(PURPOSES_FILE=own, CDN_BASE_URL="https://cdn.example.com")
    for name in ({}, {"purpose": "invoice"}, {"purpose": "INVOICE"}):
        plan = mint(web, service, **name).json()
        assert plan["objectKey"].startswith("invoices/20")
        assert plan["objectKey"].endswith(".pdf")
        assert plan["cdnUrl"] is None
        assert web.put(plan["presignedUrl"], content=b"123456789", headers=plan["headers"]).status_code == 200
    assert problem(mint(web, service, size=20 * MIB + 1), 400, "file-too-large")["max_bytes"] == 20 * MIB
    problem(mint(web, service, filename="r.png", contentType="image/png"), 400, "unsupported-file-type")
    unknown = problem(mint(web, service, purpose="scan"), 422, "validation-failed")
    assert unknown["detail"] == "There is no such purpose here. The purposes are: Invoice, avatar."
    listed = web.get(f"{service}/api/v1/s3/files", params={"prefix": "invoices/"}).json()
    assert len(listed["files"]) == 3


def test_version_1_clients_get_the_purposes_that_hold_pictures(own: str, start: Start, web: httpx.Client) -> None:
    service = start(PURPOSES_FILE=own, CDN_BASE_URL="https://cdn.example.com")
    spec = {"content_type": "image/jpeg"}
    minted = web.post(f"{service}/images/presigned-url", json=spec).json()
    assert minted["key"].startswith("avatars/")
    assert minted["cdn_url"] == f"https://cdn.example.com/{minted['key']}"
    for path, extra in (("", {"purpose": "invoice"}), ("/scan", {})):
        problem(web.post(f"{service}/images/presigned-url{path}", json=spec | extra), 422, "validation-failed")


# The code of the documents' ImageService, for a purpose that it does not know: seeds 003.
# Behind its id is the limit of an upload without a size.
MISC_KEY = re.compile(r"misc/[0-9]{8}/[0-9a-f]{64}(?:-[0-9a-f]+)?")


@pytest.mark.parametrize("path", [None, "misc.toml"])
def test_version_1_clients_store_under_misc(path: str | None, tmp_path: Path, start: Start, web: httpx.Client) -> None:
    given = {}
    if path is not None:
        (tmp_path / path).write_text('[misc]\nkey = "misc/{yyyymmdd}/{id}"\ntypes = ["images"]\n', encoding="utf-8")
        given = {"PURPOSES_FILE": str(tmp_path / path)}
    service = start(**given)
    minted = web.post(f"{service}/images/presigned-url", json={"content_type": "image/jpeg", "purpose": "misc"}).json()
    assert MISC_KEY.fullmatch(minted["key"])
    stored = web.put(minted["upload_url"], content=b"\xff\xd8\xff", headers={"Content-Type": "image/jpeg"})
    assert stored.status_code == 200
    assert web.get(f"{service}/images/{minted['key']}/metadata").json()["size"] == 3
    assert web.delete(f"{service}/images/{minted['key']}").status_code == 204


def test_forms_go_to_the_files_purposes_and_to_the_folders_without_one(
    own: str, start: Start, web: httpx.Client
) -> None:
    service = start(PURPOSES_FILE=own)
    file = {"file": ("r.pdf", b"%PDF", "application/pdf")}
    stored = [
        web.post(f"{service}/api/v1/s3/upload", data=fields, files=file).json()["key"]
        for fields in ({"purpose": "Invoice"}, {})
    ]
    assert [key.partition("/")[0] for key in stored] == ["invoices", "uploads"]


# --- GET /purposes --------------------------------------------------------------------------------


def test_a_front_end_learns_what_it_may_send(own: str, start: Start, web: httpx.Client) -> None:
    invoice, avatar = web.get(f"{start(PURPOSES_FILE=own)}/purposes").json()["purposes"]
    assert invoice == {
        "name": "Invoice",
        "types": ["application/pdf", "application/xml"],
        "extensions": ["pdf", "xml"],
        "accept": "application/pdf,application/xml,.pdf,.xml",
        "maxBytes": 20 * MIB,
        "keptDays": 3650,
        "metadata": [],
        "checked": False,
        "variants": [],
        "filesPerDay": None,
        "texts": {
            "en": "Files (PDF, XML), up to 20 MiB. Kept for 3650 days.",
            "ko": "파일 (PDF, XML), 최대 20 MiB. 3650일 동안 보관됩니다.",
        },
    }
    assert (avatar["checked"], avatar["filesPerDay"]) == (True, 100)
    assert avatar["variants"] == [
        {"name": "thumb", "width": 320, "format": "webp"},
        {"name": "card", "width": 1280, "format": "avif"},
    ]
    assert avatar["texts"] == {
        "en": "Images (JPG, PNG, WEBP, AVIF), up to 2 MiB.",
        "ko": "이미지 (JPG, PNG, WEBP, AVIF), 최대 2 MiB.",
    }


def test_what_is_listed_is_what_minting_takes(service: str, web: httpx.Client) -> None:
    listed = web.get(f"{service}/purposes").json()["purposes"]
    assert [each["name"] for each in listed] == list(shipped_purposes.PURPOSES.named)
    for each in listed:
        spec = {
            "filename": f"a.{(each['extensions'] or ['bin'])[0]}",
            "contentType": each["types"][0].replace("*/*", "x/y").replace("*", "x"),
            "purpose": each["name"],
            "metadata": dict.fromkeys(each["metadata"], "c"),
        }
        assert mint(web, service, **spec, size=min(each["maxBytes"], 5 * GIB)).status_code == 200
        problem(mint(web, service, **spec, size=each["maxBytes"] + 1), 400, "file-too-large")
    by_name = {each["name"]: each for each in listed}
    assert by_name["file"]["accept"] == ""
    assert by_name["audio"]["metadata"] == ["class_id"]
    assert by_name["chat"]["texts"]["en"].endswith("Kept for 7 days.")


def test_the_list_needs_the_token_that_minting_needs(start: Start, web: httpx.Client) -> None:
    problem(web.get(f"{start(AUTH_REQUIRED='true')}/purposes"), 401, "token-missing")


@pytest.mark.parametrize("kept", ["Invoice", "avatar"])
def test_the_smoke_test_uploads_what_a_purpose_takes(kept: str, tmp_path: Path, start: Start) -> None:
    file = tmp_path / "one.toml"
    file.write_text(next(each for each in OWN.split("\n\n") if f"[{kept}]" in each), encoding="utf-8")
    said: list[str] = []
    assert smoke(Client(start(PURPOSES_FILE=str(file))), said.append), said


# --- scopes ---------------------------------------------------------------------------------------

SECRET = "a-secret-of-more-than-thirty-two-bytes"
SCOPED = OWN.replace("kept_days = 3650", 'kept_days = 3650\nscope = "billing"') + '[user-file]\nscope = "billing"\n'


def signed_in(scope: str) -> dict[str, str]:
    claims = {"sub": "alice", "exp": int(time.time()) + 600, "scope": scope}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"}


@pytest.fixture
def scoped(tmp_path: Path, start: Start) -> str:
    file = tmp_path / "scoped.toml"
    file.write_text(SCOPED, encoding="utf-8")
    return start(PURPOSES_FILE=str(file), JWT_SECRET=SECRET)


PDF = {"file": ("r.pdf", b"%PDF", "application/pdf")}
SPEC = {"filename": "r.pdf", "contentType": "application/pdf", "size": 4, "purpose": "invoice"}
BY_ROUTE: dict[str, dict[str, Any]] = {
    "/uploads": {"json": SPEC},
    "/uploads/batch": {"json": {"uploads": [SPEC]}},
    "/s3/params": {"params": {"filename": "r.pdf", "type": "application/pdf", "metadata[purpose]": "invoice"}},
    "/files/upload-url": {"params": {"filename": "r.pdf"}},
    "/api/v1/s3/upload": {"data": {"purpose": "INVOICE"}, "files": PDF},
    "/api/v1/s3/upload?in=folder": {"data": {"folder": "/invoices/"}, "files": PDF},
    "/api/v1/s3/upload?in=subfolder": {"data": {"folder": "invoices/2026"}, "files": PDF},
}


@pytest.mark.parametrize("route", BY_ROUTE)
def test_a_purpose_with_a_scope_takes_uploads_of_tokens_with_it_alone(
    route: str, scoped: str, web: httpx.Client
) -> None:
    method = "GET" if route == "/s3/params" else "POST"
    for headers in ({}, signed_in("mint"), signed_in("Billing billing2")):
        refused = web.request(method, scoped + route, headers=headers, **BY_ROUTE[route])
        if route == "/uploads/batch":
            assert problem(refused, 400, "batch-refused")["errors"][0]["code"] == "scope-missing"
        else:
            assert "scope billing" in problem(refused, 403, "scope-missing")["detail"]
    for headers in (signed_in("billing"), signed_in("mint billing"), signed_in("admin")):
        assert web.request(method, scoped + route, headers=headers, **BY_ROUTE[route]).is_success


def test_a_purpose_with_a_scope_is_listed_for_those_who_may_upload_for_it(scoped: str, web: httpx.Client) -> None:
    def listed(headers: dict[str, str]) -> list[str]:
        return [each["name"] for each in web.get(f"{scoped}/purposes", headers=headers).json()["purposes"]]

    assert listed({}) == listed(signed_in("mint")) == ["avatar"]
    assert listed(signed_in("billing")) == listed(signed_in("admin")) == ["Invoice", "avatar"]
