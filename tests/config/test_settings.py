"""Settings: all errors are reported at once, and none contains a secret."""

import datetime
import hashlib
import re
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from app.aws.botocore_data import available_profiles, bedrock_regions
from app.config.entries import parse_api_keys
from app.config.environment import load_settings
from app.config.settings import Settings, SettingsError

GOOD = {
    "AWS_REGION": "eu-central-1",
    "BEDROCK_MODEL_ID": "amazon.nova-lite-v1:0",
    "API_KEYS": "team=s3cret-of-team-0001",
}


@pytest.mark.parametrize("home", ["", "/home/nobody/may/look", "/nowhere"])
def test_a_missing_home_directory_is_no_error(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if home:
        monkeypatch.setenv("HOME", home)

    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.setattr("os.path.exists", lambda _: False)
    assert available_profiles() == []


def test_aws_config_file_names_aws_s_configuration_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[profile team]\nregion = us-east-1\n")
    monkeypatch.setenv("FOLDER", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", "$FOLDER/config")
    assert available_profiles() == ["team"]


@pytest.mark.parametrize("program", ["/bin/false", "/nowhere", "/"])
def test_a_failure_of_botocore_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str) -> None:
    (tmp_path / "config").write_text("[profile team]\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setattr("app.aws.botocore_data.chain_command", lambda *_: [program])
    with pytest.raises(ValueError, match="botocore could not be run"):
        available_profiles()


def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **environment: str) -> Settings:
    for name, value in {**GOOD, **environment}.items():
        monkeypatch.setenv(name, value)
    return load_settings(tmp_path / ".env")


def faults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **environment: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, tmp_path, **environment)
    return caught.value.faults


def test_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load(monkeypatch, tmp_path)
    assert (settings.bedrock_connect_timeout, settings.bedrock_read_timeout, settings.bedrock_max_attempts) == (
        10,
        120,
        3,
    )
    assert (settings.max_body_bytes, settings.host, settings.port) == (25_000_000, "127.0.0.1", 8000)
    assert settings.keys() == {"team": ("s3cret-of-team-0001",)}


def test_all_errors_are_reported_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = faults(
        monkeypatch,
        tmp_path,
        AWS_REGION="mars-1",
        BEDROCK_MODEL_ID="",
        BEDROCK_READ_TIMEOUT="0",
        BEDROCK_MAX_ATTEMPTS="many",
        PORT="99999",
        LOG_LEVEL="loud",
        AWS_ENDPOINT_URL_BEDROCK="ftp://x",
        TLS_CERTFILE="/nowhere",
        API_KEYS="a b=hunter2-hunter2-hunter2",
        AUTH_DISABLED="perhaps",
    )
    named = [fault.partition("=")[0].partition(" ")[0] for fault in found]
    assert sorted(named) == [
        "API_KEYS",
        "AUTH_DISABLED",
        "AWS_ENDPOINT_URL_BEDROCK",
        "AWS_REGION",
        "BEDROCK_MAX_ATTEMPTS",
        "BEDROCK_MODEL_ID",
        "BEDROCK_READ_TIMEOUT",
        "LOG_LEVEL",
        "PORT",
        "TLS_CERTFILE",
    ]
    text = "\n".join(found)
    assert "hunter2-hunter2-hunter2" not in text
    assert "PORT='99999': Input should be less than or equal to 65535" in text
    assert "BEDROCK_MODEL_ID is not set" in text


def test_without_keys_auth_disabled_is_required(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (fault,) = faults(monkeypatch, tmp_path, API_KEYS="")
    assert "AUTH_DISABLED=true" in fault
    assert load(monkeypatch, tmp_path, API_KEYS="", AUTH_DISABLED="true").keys() == {}


@pytest.mark.parametrize("disabled", ["true", "any"])
def test_every_web_page_is_allowed_only_with_keys(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, disabled: str
) -> None:
    assert load(monkeypatch, tmp_path, CORS_ORIGINS="*").cors_origins == "*"
    page = "https://app.example.com"
    assert load(monkeypatch, tmp_path, AUTH_DISABLED=disabled, CORS_ORIGINS=page).cors_origins == page
    (fault,) = faults(monkeypatch, tmp_path, AUTH_DISABLED=disabled, CORS_ORIGINS=f"{page},*")
    assert "name the origins" in fault


def test_the_region_must_be_known_unless_an_endpoint_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import botocore.session

    session = botocore.session.Session()
    listed = {
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("bedrock", partition)
    }
    assert {"us-east-1", "eu-central-1", "us-gov-west-1"} <= listed
    assert set(bedrock_regions()) == listed
    (fault,) = faults(monkeypatch, tmp_path, AWS_REGION="eu-central-9")
    assert "eu-central-1" in fault
    assert "AWS_ENDPOINT_URL_BEDROCK_RUNTIME" in fault
    url = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "https://bedrock.example/"}
    settings = load(monkeypatch, tmp_path, AWS_REGION="eu-central-9", **url)
    assert settings.aws_endpoint_url_bedrock_runtime == "https://bedrock.example"


def test_tls_needs_certificate_and_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "file.pem"
    write_certificate(file)
    assert "both or neither" in faults(monkeypatch, tmp_path, TLS_CERTFILE=str(file))[0]
    assert "both or neither" in faults(monkeypatch, tmp_path, TLS_CERTFILE="", TLS_KEYFILE=str(file))[0]
    assert load(monkeypatch, tmp_path, TLS_CERTFILE=str(file), TLS_KEYFILE=str(file)).tls_keyfile == file


def write_certificate(file: Path, password: bytes | None = None) -> None:
    """Write a certificate for localhost and its key into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password) if password else NoEncryption()
    )
    file.write_bytes(certificate.public_bytes(Encoding.PEM) + secret)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("AWS_PROFILE", "nobody", "no such profile"),
        ("AWS_CA_BUNDLE", "/nowhere", "No such file"),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://h:99999", "must be an http"),
        ("AWS_ENDPOINT_URL", "http://:8080", "must be an http"),
        ("AWS_ENDPOINT_URL", "http://user:CANARY@h", "without credentials"),
        ("BEDROCK_MODEL_ID", "***", "match pattern"),
    ],
)
def test_values_that_would_fail_later_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str, words: str
) -> None:
    (fault,) = faults(monkeypatch, tmp_path, **{variable: value})
    assert fault.startswith(variable)
    assert words in fault
    assert "CANARY" not in fault


def test_invalid_pem_files_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "empty.pem"
    file.touch()
    assert "PEM" in faults(monkeypatch, tmp_path, TLS_CERTFILE=str(file), TLS_KEYFILE=str(file))[0]
    assert "PEM" in faults(monkeypatch, tmp_path, AWS_CA_BUNDLE=str(file))[0]


def test_an_encrypted_key_is_refused_without_a_prompt_for_its_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "locked.pem"
    write_certificate(file, b"password")
    assert "PEM" in faults(monkeypatch, tmp_path, TLS_CERTFILE=str(file), TLS_KEYFILE=str(file))[0]


def test_an_env_file_that_is_no_text_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PORT=\xff\xfe")
    (fault,) = faults(monkeypatch, tmp_path)
    assert "cannot be read" in fault


def test_the_log_level_is_case_insensitive_and_quoted_as_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert load(monkeypatch, tmp_path, LOG_LEVEL="debug").log_level == "DEBUG"
    assert "LOG_LEVEL='loud'" in faults(monkeypatch, tmp_path, LOG_LEVEL="loud")[0]


def test_a_broken_aws_configuration_file_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("this is [no ini file")
    (fault,) = faults(monkeypatch, tmp_path, AWS_CONFIG_FILE=str(file))
    assert "AWS_CONFIG_FILE" in fault


def test_the_env_file_sets_only_variables_that_are_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=1234\nHOST=0.0.0.0\nAWS_SESSION_TOKEN=from-file\n")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    settings = load(monkeypatch, tmp_path, HOST="127.0.0.2")
    assert (settings.port, settings.host) == (1234, "127.0.0.2")
    import os

    assert os.environ["AWS_SESSION_TOKEN"] == "from-file"
    for name in ("AWS_SESSION_TOKEN", "PORT"):
        monkeypatch.delenv(name)


ONE, TWO, PADDED = "one" * 6, "two" * 6, "YWJjZGVmZ2hpamtsbQ=="


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (ONE, {"key-NAME": (ONE,)}),
        (f"{ONE}, {TWO} ,", {"key-NAME": (ONE,), "key-OTHER": (TWO,)}),
        (f"a={ONE},{TWO}", {"a": (ONE,), "key-OTHER": (TWO,)}),
        (f"a={ONE}={TWO}", {"a": (f"{ONE}={TWO}",)}),
        (PADDED, {"key-202aa91d": (PADDED,)}),
        (f"a={PADDED}", {"a": (PADDED,)}),
        (f"a={ONE},b={PADDED},a={TWO}", {"a": (ONE, TWO), "b": (PADDED,)}),
    ],
)
def test_keys_are_the_secrets_of_each_name(text: str, keys: dict[str, tuple[str, ...]]) -> None:
    names = {"key-NAME": f"key-{hashlib.sha256(ONE.encode()).hexdigest()[:8]}"}
    names["key-OTHER"] = f"key-{hashlib.sha256(TWO.encode()).hexdigest()[:8]}"
    assert parse_api_keys(text) == {names.get(name, name): secrets for name, secrets in keys.items()}


@pytest.mark.parametrize(
    "text",
    [
        ",", f"a={ONE},a={ONE}", f"a={ONE},b={ONE}", f"na me={ONE}", f"a={ONE} c", "a=", "dev=", f"{'n' * 65}={ONE}",
        f"/={ONE}", f"a={ONE}\x00", "a=schlüsselschlüsselschlüssel",
    ],
)  # fmt: skip
def test_malformed_keys_are_refused_without_quoting_them(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        parse_api_keys(text)
    assert ONE not in str(caught.value)


def test_secrets_that_can_be_guessed_are_refused_with_the_reason() -> None:
    assert parse_api_keys("a=" + "x" * 16) == {"a": ("x" * 16,)}
    with pytest.raises(ValueError, match="entry 2 has 15 characters and can be guessed: use 16 or more"):
        parse_api_keys(f"a={ONE},b=" + "y" * 15)


def test_the_smoke_key_belongs_to_the_caller_smoke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load(monkeypatch, tmp_path, SMOKE_API_KEY="fire-fire-fire-fire")
    assert settings.keys() == {"team": ("s3cret-of-team-0001",), "smoke": ("fire-fire-fire-fire",)}
    for clash in ("s3cret-of-team-0001", "two words", "two,keys"):
        (fault,) = faults(monkeypatch, tmp_path, SMOKE_API_KEY=clash)
        assert fault.startswith("SMOKE_API_KEY (value not shown): ")
        assert clash not in fault


def test_responses_store_must_be_a_file_in_a_writable_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load(monkeypatch, tmp_path, RESPONSES_STORE=f"sqlite:///{tmp_path}/responses.db")
    for store in ("sqlite:////nowhere/at/all.db", f"sqlite:///{tmp_path}", "redis://somewhere"):
        with pytest.raises(SettingsError, match="RESPONSES_STORE"):
            load(monkeypatch, tmp_path, RESPONSES_STORE=store)


def test_reasoning_is_signed_by_the_caller_s_own_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def secrets(caller: str = "team", **changes: str) -> tuple[bytes, ...]:
        return load(monkeypatch, tmp_path, **changes).signing_secrets()(caller)

    assert secrets() == secrets(API_KEYS="other=another-secret-0002,team=s3cret-of-team-0001")
    assert secrets() != secrets(API_KEYS="team=another-secret-0002")
    rotated = secrets(API_KEYS="team=s3cret-of-team-0001,team=another-secret-0002")
    assert rotated == (b"s3cret-of-team-0001", b"another-secret-0002")
    assert secrets(SEAL_SECRET="x" * 16) == secrets("other", SEAL_SECRET="x" * 16) == (b"x" * 16,)
    with pytest.raises(SettingsError, match="SEAL_SECRET"):
        secrets(SEAL_SECRET="short")
    open_to_all = {"API_KEYS": "", "AUTH_DISABLED": "true", "SEAL_SECRET": ""}
    (own,) = secrets(**open_to_all)  # random, the same in all forked processes
    assert (own,) == secrets(**open_to_all)
    assert len(own) == 32


def test_reasoning_of_virtual_keys_is_signed_alike_on_every_replica(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def secrets(caller: str, **changes: str) -> tuple[bytes, ...]:
        database = {"DATABASE_URL": f"sqlite:///{tmp_path}/outcrop.db", "KEY_PEPPER": "x" * 32}
        return load(monkeypatch, tmp_path, **{**database, **changes}).signing_secrets()(caller)

    assert secrets("one") == secrets("one") != secrets("other")
    assert secrets("one") != secrets("one", KEY_PEPPER="y" * 32)
    assert secrets("team") == (b"s3cret-of-team-0001",)
    assert secrets("one", SEAL_SECRET="z" * 16) == (b"z" * 16,)


@pytest.mark.parametrize(
    "key",
    ["plain-plain-plain", "pass=word=pass=word", "$a=b$a=b$a=b$a=b", "c2VjcmV0LXNlY3JldA==", "at-a-line's-end-it-is\n"],
)
def test_api_key_of_bedrock_access_gateway_is_one_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str
) -> None:
    assert [*load(monkeypatch, tmp_path, API_KEYS="", API_KEY=key).keys().values()] == [(key.strip(),)]


def test_api_key_of_bedrock_access_gateway_with_a_comma_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (fault,) = faults(monkeypatch, tmp_path, API_KEYS="", API_KEY="CANARY-CANARY-CANARY,b")
    assert "without a comma" in fault
    assert "CANARY" not in fault


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("METRICS_KEY", "ключ-ключ"),
        ("AWS_BEARER_TOKEN_BEDROCK", "a-key-out-of-a-file\n"),
        ("AWS_BEARER_TOKEN_BEDROCK", "ключ"),
        ("MAX_BODIES_BYTES", "1024"),
        ("EMBEDDING_MODEL_ID", "no such model here!"),
        ("EMBEDDING_MODEL_ID", "amazon.titan-embed-text-v2:0\n"),
        ("GUARDRAIL_ID", "abc\nx-evil: 1"),
        ("GUARDRAIL_ID", "abc\n"),
        ("GUARDRAIL_VERSION", "1\n"),
        ("NATIVE_SURFACES", "invoke,openai\n"),
        ("RESPONSES_STORE", "sqlite:////tmp/answers\n"),
        ("CONFIG_TOML", '[prices."a.b"]\ninput = inf\noutput = 1\n'),
    ],
)
def test_values_that_can_never_work_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str
) -> None:
    (fault,) = faults(monkeypatch, tmp_path, **{variable: value})
    assert fault.startswith(variable)


PEPPER = "pepper-of-thirty-two-characters-"


def database_faults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **environment: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, tmp_path, **{"KEY_PEPPER": PEPPER, "DATA_DIR": str(tmp_path), **environment})
    assert "s3cret" not in str(caught.value)
    return caught.value.faults


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://u:s3cret@h/d", "must be postgresql://"),
        ("postgresql", "must be postgresql://"),
        ("postgres://u:s3cret@h/d", "write the scheme as postgresql://"),
        ("postgresql://u:s3cret@h", "names no database"),
        ("postgresql://u:s3cret@/d", "names no host"),
        ("postgresql://u:s3cret#[x@h:1/d", "not a valid URL|names no"),
        ("postgresql://u:s3cret@h:s3cret/d", "not a valid URL"),
        ("postgresql://u@h:0/d", "port 0"),
        ("sqlite:///:memory:", "a file that all processes share"),
        ("sqlite://", "a file that all processes share"),
        ("sqlite:///x.db?mode=ro", "no options"),
        ("sqlite:////", "is a folder|a file that all"),
        ("sqlite:////nowhere/x.db", "/nowhere is not a writable folder: create it, or give access to it"),
    ],
)
def test_an_invalid_database_url_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, reason: str
) -> None:
    (fault,) = [fault for fault in database_faults(monkeypatch, tmp_path, DATABASE_URL=url) if "DATABASE_URL" in fault]
    assert re.match(rf"DATABASE_URL \(value not shown\): .*({reason})", fault)


@pytest.mark.parametrize("setting", ["ADMIN_KEYS", "CONSOLE_CLIENT_SECRETS"])
@pytest.mark.parametrize("text", ["ops=a-good-secret-of-sixteen,second=short", "ops=a good one"])
def test_an_invalid_list_of_secrets_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str, text: str
) -> None:
    url = f"sqlite:///{tmp_path}/o.db"
    found = database_faults(monkeypatch, tmp_path, DATABASE_URL=url, KEY_PEPPER="x" * 32, **{setting: text})
    (fault,) = [each for each in found if setting in each]
    assert fault.startswith(f"{setting} (value not shown): ")
    assert "good" not in "".join(found)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"DATA_DIR": ""}, "DATABASE_URL is set: set DATA_DIR to a writable folder that survives a restart"),
        (
            {"DATA_DIR": "/nowhere"},
            "DATA_DIR='/nowhere': /nowhere is not a writable folder: create it, or give access to it",
        ),
        ({"KEY_PEPPER": ""}, "DATABASE_URL is set: set KEY_PEPPER to a random secret of 32 characters or more"),
        (
            {"KEY_PEPPER": "s3cret"},
            "KEY_PEPPER (value not shown): Value should have at least 32 items after validation",
        ),
    ],
)
def test_a_database_needs_a_pepper_and_a_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, str], fault: str
) -> None:
    found = database_faults(monkeypatch, tmp_path, DATABASE_URL="postgresql://u:s3cret@h/d", **changes)
    assert [line.partition(", not")[0] for line in found] == [fault]


def test_the_folder_of_sqlite_holds_the_journals_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/outcrop.db"
    settings = load(monkeypatch, tmp_path, DATABASE_URL=url, KEY_PEPPER=PEPPER)
    assert settings.data_dir == tmp_path
    database = settings.database()
    assert database is not None
    assert (database.path, database.shown, database.is_sqlite) == (tmp_path / "outcrop.db", url, True)


def test_a_postgresql_is_shown_without_its_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = "postgresql://u:s3cret@db.example:6432/outcrop?sslmode=verify-full"
    settings = load(monkeypatch, tmp_path, DATABASE_URL=url, KEY_PEPPER=PEPPER, DATA_DIR=str(tmp_path))
    database = settings.database()
    assert database is not None
    assert (database.dsn, database.shown) == (url, "postgresql://db.example:6432/outcrop")
    assert "s3cret" not in repr(database) + repr(settings)


IAM_URL = "postgresql://outcrop_staging@db.example:5432/outcrop"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://u:s3cret@h/d", "write DATABASE_URL with a user and without a password"),
        ("postgresql://h/d", "write DATABASE_URL with a user and without a password"),
        ("postgresql://u@/d?host=/run", "needs a DATABASE_URL such as postgresql://USER@HOST/DATABASE"),
        ("sqlite:///x.db", "needs a DATABASE_URL such as postgresql://USER@HOST/DATABASE"),
        ("", "needs a DATABASE_URL such as postgresql://USER@HOST/DATABASE"),
    ],
)
def test_signing_in_by_iam_needs_a_user_on_a_host(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, reason: str
) -> None:
    (fault,) = database_faults(monkeypatch, tmp_path, DATABASE_URL=url, DATABASE_IAM_AUTH="true")
    assert fault.startswith("DATABASE_IAM_AUTH")
    assert reason in fault


@pytest.mark.parametrize("value", ["/nowhere", "-----BEGIN CERTIFICATE-----\nAAAA", "System"])
def test_certificates_of_a_database_must_be_pem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str) -> None:
    (fault,) = database_faults(monkeypatch, tmp_path, DATABASE_URL=IAM_URL, DATABASE_CA=value)
    assert fault.startswith("DATABASE_CA")


def test_a_database_is_verified_with_iam_or_with_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    write_certificate(file)
    given = {"DATABASE_URL": IAM_URL, "KEY_PEPPER": PEPPER, "DATA_DIR": str(tmp_path)}
    assert load(monkeypatch, tmp_path, **given).database_tls() is None
    for more in ({"DATABASE_CA": str(file)}, {"DATABASE_CA": file.read_text()}, {"DATABASE_IAM_AUTH": "true"}):
        context = load(monkeypatch, tmp_path, **given, **more).database_tls()
        assert context is not None
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
