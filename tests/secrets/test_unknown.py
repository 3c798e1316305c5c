"""What is shown of lines that may hold a value nobody here knows."""

from __future__ import annotations

import base64
import json
import shutil
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opskit.secrets.generate import CHARSETS, FLOOR_BITS, Policy, generate
from opskit.secrets.redact import MASK
from opskit.secrets.unknown import mask_unknown
from tests.secrets.canary import leaks

SPELLINGS = {
    "plain": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for urls": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "url": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "json": json.dumps,
    "go's json": lambda text: json.dumps(text).replace("&", r"\u0026"),
    "repr": repr,
}
LINES = (
    "refused: {}", "cannot log in with '{}' as shop", 'level=error msg="bad {}"', "{}", "<{}>",
    "password authentication failed ({})", "PASS={} rejected", "postgres://shop:{}@db:5432/shop",
    "[error] {}: not a valid key", "https://example.org/login?user=shop&code={}", "/run/{}/file",
)  # fmt: skip
POLICIES = [
    *(Policy(length=length, charset=name) for name in CHARSETS for length in (32, 43, 64)),
    Policy(charset="safespecial,special"),
    Policy(generator="words"),
]


@given(
    policy=st.sampled_from(POLICIES),
    spelling=st.sampled_from(sorted(SPELLINGS)),
    line=st.sampled_from(LINES),
    part=st.sampled_from(["whole", "first half", "second half"]),
)
def test_no_value_that_is_made_comes_out_whole_or_by_halves(
    policy: Policy, spelling: str, line: str, part: str
) -> None:
    bits = policy.entropy_bits()
    assert bits is not None
    value = generate(policy).reveal().decode()
    middle = len(value) // 2
    shown = {"whole": value, "first half": value[:middle], "second half": value[middle:]}[part]
    masked = mask_unknown(line.format(SPELLINGS[spelling](shown)))
    assert MASK in masked
    for piece in {shown, shown[:middle], shown[len(shown) // 2 :]}:
        assert len(piece) < 8 or not leaks(masked, piece), masked


@pytest.mark.parametrize("generator", ["pwgen", "pwqgen"])
def test_nor_does_one_of_a_program(generator: str) -> None:
    if not shutil.which(generator):
        pytest.skip(f"{generator} is not installed")
    policy = Policy(generator=generator)
    assert (policy.entropy_bits() or 0) >= FLOOR_BITS
    for _ in range(20):
        value = generate(policy).reveal().decode()
        masked = mask_unknown(f"refused: {value}")
        assert masked.startswith("refused: ")
        assert not leaks(masked, value)
        assert not leaks(masked, value[: len(value) // 2])
        assert not leaks(masked, value[len(value) // 2 :])


@pytest.mark.parametrize(
    "line",
    [
        '2026-11-29 02:40:33.123 UTC [1] FATAL:  password authentication failed for user "shop"',
        'psql: error: connection to server at "db" (10.0.1.5), port 5432 failed: refused',
        "SQLSTATE[HY000] [2002] php_network_getaddresses: getaddrinfo for db failed",
        "Error: ENOENT: no such file or directory, open '/var/www/html/config/config.php'",
        "at Object.<anonymous> (/app/node_modules/express/lib/router/index.js:284:15)",
        "curl: (7) Failed to connect to cloud.coop.example port 443 after 3 ms",
        'time="2026-11-29T02:40:33Z" level=error msg="dial tcp 10.0.0.3:5432: connect: refused"',
        'File "/usr/lib/python3.11/site-packages/django/db/utils.py", line 12, in <module>',
        "redis.exceptions.AuthenticationError: invalid username-password pair",
        'nginx: [emerg] host not found in upstream "app:8080" in /etc/nginx/conf.d/default.conf:3',
        "java.lang.NullPointerException: Cannot invoke String.length()",
        'relation "oc_filecache" does not exist, and shop_example_org_token_v2 is not read',
        "exec /docker-entrypoint.sh: no such file or directory",
        "Healthcheck failed: HTTP 502 Bad Gateway from http://localhost:8080/healthz",
        "permission denied while trying to open /run/secrets/db_password",
        "Vaultwarden, Nextcloud, keycloak, Mattermost and traefik wait for wiki.coop.example",
        "die Datenbank läuft nicht: keine Verbindung",
        "5 of 12 tests failed (42 %) in 3.25s, 128MiB used; retry 3/10 in 500ms",
    ],
)
def test_what_helps_stays(line: str) -> None:
    assert mask_unknown(line) == line


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("password=sunshine rejected", f"password={MASK} rejected"),
        ("DB_PASSWORD: 'two words' rejected", f"DB_PASSWORD: {MASK} rejected"),
        ('{"api_key": "sunshine", "user": "kim"}', f'{{"api_key": {MASK}, "user": "kim"}}'),
        ("Authorization: Bearer sunshine", f"Authorization: Bearer {MASK}"),
        ("redis://:sun/sh@ne@cache:6379/0", f"redis://:{MASK}@cache:6379/0"),
        ("already [redacted] here", "already [redacted] here"),
    ],
)
def test_what_is_called_a_password_goes_whatever_it_looks_like(line: str, shown: str) -> None:
    assert mask_unknown(line) == shown
