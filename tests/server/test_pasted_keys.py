"""Keys as people paste them: what is meant is sent, or nothing is, and no message shows it."""

import base64

import pytest

import comfyui_tool as tool

KEY, USER, PASSWORD = "sk-Very.Secret_123456", "fox", "s3cret-Pass!"
BASE64 = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
Sent = tuple[dict[str, str], dict[str, str], tuple[str, str] | None]


def sent(text: str, url: str = "http://example.org") -> Sent:
    """The headers, the parts of the address and the login that a pasted key comes to."""
    auth = tool.Endpoint.parse(url, text).auth
    return {name.lower(): value for name, value in auth.headers}, dict(auth.query), auth.login


BEARERS = (
    *("{}", "Bearer {}", "BEARER {}", "Bearer: {}", "  Bearer   {} ", '"Bearer {}"', "'{}'", "`{}`", "<{}>"),
    *("Bearer <{}>", 'Bearer "{}"', "\u201c{}\u201d", "Authorization: Bearer {}", "authorization:Bearer {}"),
    *('Authorization: "Bearer {}"', "-H 'Authorization: Bearer {}'", "--header='Authorization: Bearer {}'"),
    *("-H'Authorization: Bearer {}'", "curl -H 'Authorization: Bearer {}' https://example.org/prompt"),
    *(
        'curl https://example.org -H "Authorization: Bearer {}"',
        'curl --header "Authorization: Bearer {}" \\\n https://x',
    ),
    *('{{"Authorization": "Bearer {}"}}', "{{'Authorization': 'Bearer {}'}}", "COMFYUI_API_KEY={}", "{}\n"),
    *("export COMFYUI_API_KEY={}", 'API_KEY="{}"', "TOKEN={}", "set KEY={}", '$env:COMFYUI_API_KEY="{}"', "{},"),
    *("api_key: {}", "key: {}", "Token: {}", "API key: {}", "Your API key is {}", '{{"api_key": "{}"}}', "{};"),
    *(
        '"api_key": "{}"',
        "\ufeff{}",
        "{}\u200b",
        "Bearer%20{}",
        "bearer={}",
        "bearer:{}",
        "'Bearer {}',",
        "\x1b[32m{}\x1b[0m",
    ),
)
LOGINS = (
    *("{}:{}", "Basic {}:{}", "-u {}:{}", "--user {}:{}", "-u '{}:{}'", "--user='{}:{}'", "curl -u {}:{} https://x"),
    *('"{}:{}"', "<{}:{}>", "<{}>:<{}>", "user: {}\npassword: {}", "user={} password={}", "USER={}\nPASSWORD={}"),
    *("username: {}, password: {}", "Username: {}; Password: {}", '{{"username": "{}", "password": "{}"}}'),
    *("https://{}:{}@example.org", "BASIC_AUTH={}:{}", " {}:{} \n"),
)
ENCODED = (
    "Basic {}",
    "basic: {}",
    "Authorization: Basic {}",
    "-H 'Authorization: Basic {}'",
    "Basic '{}'",
    "Basic <{}>",
)
HEADERS = (
    *("X-Auth: {}", "x-auth:{}", "X-Auth:  {}  ", '"X-Auth: {}"', 'X-Auth: "{}"', "X-Auth: <{}>", '"X-Auth": "{}"'),
    *("'X-Auth': '{}',", '{{"X-Auth": "{}",}}', "-H 'X-Auth: {}'", "curl -H 'X-Auth: {}' https://x", "X-Auth={}"),
    *(
        "Header: X-Auth: {}",
        'headers = {{"X-Auth": "{}"}}',
        "X-Auth: {};",
        "X-Auth: {},",
        "\tX-Auth:\t{}",
        "X-Auth:\n{}",
    ),
)
TWO = (
    *(
        "CF-Access-Client-Id: a.access\nCF-Access-Client-Secret: {}",
        "cf-access-client-id:a.access;CF-Access-Client-Secret:{}",
    ),
    "-H 'CF-Access-Client-Id: a.access' -H 'CF-Access-Client-Secret: {}'",
    '-H "CF-Access-Client-Id: a.access" \\\n-H "CF-Access-Client-Secret: {}"',
    'curl -H "CF-Access-Client-Id: a.access" -H "CF-Access-Client-Secret: {}" https://x',
    "CF-Access-Client-Id: a.access, CF-Access-Client-Secret: {}",
    "'CF-Access-Client-Id': 'a.access',\n'CF-Access-Client-Secret': '{}'",
    '"CF-Access-Client-Id: a.access"\n"CF-Access-Client-Secret: {}"',
)
PARTS = (
    *("token={}", "?token={}", "&token={}", "token = {}", '"token={}"', "?token=<{}>", "https://example.org/?token={}"),
    *("/?token={}", "/prompt?token={}", "http://127.0.0.1:8188/?token={}", "example.org/?token={}"),
)
COOKIES = (
    *("Cookie: session={}", "cookie:session={}", "-H 'Cookie: session={}'", "-b 'session={}'", "--cookie session={}"),
    *('curl --cookie "session={}" https://x', '"Cookie": "session={}"', "Set-Cookie: session={}; Path=/; HttpOnly"),
    *('document.cookie = "session={}"', "cookie=session={}"),
)
FORMS = ("login {}:{}", "Login: {}:{}", "login '{}:{}'", "login <{}>:<{}>", "login:{}:{}", "login user={} password={}")
CLOUD = (
    *(
        "{}",
        "X-API-Key: {}",
        "Bearer {}",
        "COMFY_CLOUD_API_KEY={}",
        'export COMFY_API_KEY="{}"',
        "api_key={}",
        "key={}",
    ),
    *("curl -H 'X-API-Key: {}' https://cloud.comfy.org/api", '{{"X-API-Key": "{}"}}', "X-API-Key={}", "API key: {}"),
    *("Authorization: Bearer {}", "api_key_comfy_org: {}", '{{"api_key_comfy_org": "{}"}}'),
)
MEANT: list[tuple[str, Sent]] = [
    *((form.format(KEY), ({"authorization": f"Bearer {KEY}"}, {}, None)) for form in BEARERS),
    *((form.format(USER, PASSWORD), ({"authorization": f"Basic {BASE64}"}, {}, None)) for form in LOGINS),
    *((form.format(BASE64), ({"authorization": f"Basic {BASE64}"}, {}, None)) for form in ENCODED),
    *((form.format(KEY), ({"x-auth": KEY}, {}, None)) for form in HEADERS),
    *(
        (form.format(KEY), ({"cf-access-client-id": "a.access", "cf-access-client-secret": KEY}, {}, None))
        for form in TWO
    ),
    *((form.format(KEY), ({}, {"token": KEY}, None)) for form in PARTS),
    *((form.format(KEY), ({"cookie": f"session={KEY}"}, {}, None)) for form in COOKIES),
    *((form.format(USER, PASSWORD), ({}, {}, (USER, PASSWORD))) for form in FORMS),
]


@pytest.mark.parametrize(("text", "meant"), MEANT)
def test_what_is_pasted_is_sent_as_it_is_meant(text: str, meant: Sent) -> None:
    assert sent(text) == meant


@pytest.mark.parametrize("form", CLOUD)
def test_every_key_is_comfy_clouds_own_there(form: str) -> None:
    assert sent(form.format(KEY), "https://cloud.comfy.org") == ({"x-api-key": KEY}, {}, None)


@pytest.mark.parametrize(
    "form",
    [
        *(
            "session={}",
            "#token={}",
            "X-Auth {}",
            "fox {}",
            "fox\n{}",
            "basic fox {}",
            "login fox {}",
            "form fox:{}\x00",
        ),
        *("Bearer {}\nmore", "export ID=a\nexport SECRET={}", "proxy_set_header X-Auth {};", "-H 'X-Auth: {}"),
    ],
)
def test_what_may_mean_anything_is_not_sent_and_not_shown(form: str) -> None:
    with pytest.raises(tool.BadArgument) as refused:
        sent(form.format(KEY))
    assert KEY not in str(refused.value.as_result())


@pytest.mark.parametrize("beginning", ["user:", "user:fox", "user:fox,a", "login=fox"])
@pytest.mark.parametrize("sign", [",", ", ", ";", " "])
def test_a_long_row_of_signs_behind_a_user_is_read_in_no_time(beginning: str, sign: str) -> None:
    pasted = f"{beginning}{sign * 100_000}."
    assert tool.plain(pasted).startswith(("user:", "login"))
