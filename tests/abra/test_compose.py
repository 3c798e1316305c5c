"""Compose files: what they say of secrets and configs, and what is wrong with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opskit.abra.compose import Compose, Entry, merge, parse_compose


def parse(text: str) -> Compose:
    return parse_compose(text.encode())


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{external: true, name: x}", Entry(name="x", external=True)),
        ("{external: true}", Entry(name="", external=True)),
        ("{external: yes}", Entry(name="", external=True)),
        ("{external: {name: x}}", Entry(name="x", external=True)),
        ("{external: {}}", Entry(name="", external=True)),
        ("{file: ./x}", Entry(name="", external=False, file="./x")),
        ("{file: ./x, name: 1.10}", Entry(name="1.10", external=False, file="./x")),
        ("{external: false, name: no}", Entry(name="no", external=False)),
        ("", Entry(name="", external=False)),
    ],
)
def test_a_top_level_entry_is_read_in_every_form(entry: str, expected: Entry) -> None:
    assert parse(f"secrets:\n  s: {entry}\n").secrets == {"s": expected}
    assert parse(f"configs:\n  s: {entry}\n").configs == {"s": expected}


def test_services_name_what_they_use_in_short_and_long_form() -> None:
    service = parse(
        "services:\n  app:\n    secrets: [a, {source: b, target: c}, a]\n    configs:\n    - d\n"
    ).services["app"]

    assert (service.secrets, service.configs) == (("a", "b"), ("d",))


@pytest.mark.parametrize("labels", ["[a=1, 'b=2=3', c]", "{a: 1, b: 2=3, c: }"])
def test_labels_are_a_list_or_a_mapping(labels: str) -> None:
    service = parse(f"services: {{app: {{deploy: {{labels: {labels}}}}}}}").services["app"]

    assert service.labels == {"a": "1", "b": "2=3", "c": ""}


def test_merges_keep_a_mappings_own_keys() -> None:
    text = (
        "x-a: &a {secrets: [a], deploy: {labels: {x: 1}}}\n"
        "x-b: &b {<<: *a, secrets: [b]}\n"
        "services:\n  one: {<<: *b}\n  two: {<<: [*a, *b]}\n"
    )
    services = parse(text).services

    assert services["one"].secrets == ("b",)
    assert services["one"].labels == {"x": "1"}
    assert services["two"].secrets == ("a",)


def test_later_files_replace_entries_and_add_uses() -> None:
    base = parse("services: {app: {secrets: [a]}}\nsecrets: {a: {external: true, name: x}}")
    overlay = parse("services: {app: {secrets: [b, a]}, new: {}}\nsecrets: {a: {file: y}}")
    merged = merge([base, overlay])

    assert merged.services["app"].secrets == ("a", "b")
    assert list(merged.services) == ["app", "new"]
    assert merged.secrets == {"a": Entry(name="", external=False, file="y")}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [\n", 2),
        ("a: 1\n\tb: 2\n", 2),
        ("a: *nowhere\n", 1),
        ("a: 1\n---\nb: 2\n", 2),
        ("a: \x00\n", 0),
    ],
)
def test_what_is_not_yaml_has_its_line(text: str, line: int) -> None:
    compose = parse(text)

    assert not compose.valid
    assert [fault.line for fault in compose.faults] == [line]


@pytest.mark.parametrize("data", [b"a: \xff\n", b"a: " + b"[" * 1000, b"\xff\xfea"])
def test_what_no_parser_can_take_is_a_fault_too(data: bytes) -> None:
    assert not parse_compose(data).valid


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("- a\n- b\n", 1, "the compose file is no mapping."),
        ("services:\n- app\n", 2, "services is no mapping."),
        ("services:\n  app: x\n", 2, "services.app is no mapping."),
        ("services:\n  app:\n    secrets: db\n", 3, "services.app.secrets is no list."),
        ("services:\n  app:\n    secrets:\n    - mode: 1\n", 4,
         "services.app.secrets has an item without a source."),
        ("secrets:\n  a: b\n", 2, "secrets.a is no mapping."),
        ("secrets: {}\nsecrets: {}\n", 2, "the key 'secrets' stands here twice."),
    ],
)  # fmt: skip
def test_what_is_no_compose_file_has_line_and_place(text: str, line: int, what: str) -> None:
    compose = parse(text)

    assert [(fault.line, fault.what) for fault in compose.faults] == [(line, what)]
    assert compose.valid


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "services:\nsecrets:\n", "version: '3'", "x-a: &a {<<: *a}\n",
     "services: {app: {secrets: }}", "{}: {}\n? [a]\n: b\n"],
)  # fmt: skip
def test_nothing_much_is_no_fault(text: str) -> None:
    assert parse(text).faults == ()


def test_merges_upon_merges_take_no_time() -> None:
    lines = ["x0: &x0 {k0: 1}"]
    lines += [f"x{n}: &x{n} {{<<: [*x{n - 1}, *x{n - 1}], k{n}: 1}}" for n in range(1, 60)]
    lines.append("services: {app: {<<: *x59, secrets: [a]}}")

    assert parse("\n".join(lines)).services["app"].secrets == ("a",)


def test_an_anchor_merged_into_itself_is_left_out() -> None:
    assert parse("services:\n  app: &a\n    <<: *a\n    secrets: [s]\n").services[
        "app"
    ].secrets == ("s",)


def test_names_that_cannot_be_shown_are_escaped() -> None:
    compose = parse('secrets:\n  s: {external: true, name: "a\\ud800\\e[1m"}\n')

    assert compose.secrets["s"].name.isprintable()


@given(st.text(alphabet="ab:-[]{}&*<\n #'\"!|> \t?,", max_size=60))
def test_any_text_is_read_or_found_faulty(text: str) -> None:
    compose = parse(text)

    assert compose.valid or compose.faults
