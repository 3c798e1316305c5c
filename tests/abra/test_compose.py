"""Compose files: what they say of secrets and configs, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from opskit.abra.compose import Compose, Entry, merge, parse_compose
from tests.abra.docker import docker_stack_config


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
    assert service.files == {"a": ("a", "a"), "b": ("c",)}


def test_of_one_source_the_files_of_a_later_file_count_as_docker_has_it(tmp_path: Path) -> None:
    texts = (
        "services: {app: {image: x, secrets: [a, {source: a, target: second}, b]}}\n"
        "secrets: {a: {external: true}, b: {external: true}}\n",
        "services: {app: {secrets: [{source: a, target: third}]}}\n",
    )
    files = [tmp_path / f"{number}.yml" for number in range(2)]
    for file, text in zip(files, texts, strict=True):
        file.write_text(f'version: "3.8"\n{text}')
    merged = merge([parse(text) for text in texts]).services["app"]
    done = docker_stack_config(files, {})

    assert merged.files == {"a": ("third",), "b": ("b",)}
    found = YAML(typ="safe", pure=True).load(done.stdout)["services"]["app"]["secrets"]
    assert {one["source"]: (one.get("target", one["source"]),) for one in found} == merged.files


@pytest.mark.parametrize("kind", ["secrets", "configs"])
@pytest.mark.parametrize(
    ("first", "later", "files"),
    [
        ("{image: x, %s: [{source: a, target: b}, a]}", "{labels: {b: c}}", {"a": ("a",)}),
        ("{image: x, %s: [a, b]}", "{%s: [a, {source: a, target: c}]}", {"a": ("c",), "b": ("b",)}),
        ("{image: x}", "{%s: [{source: a, target: b}, a]}", {"a": ("b", "a")}),
    ],
)
def test_of_several_files_docker_keeps_the_last_where_it_merges_them_into_others(
    tmp_path: Path, kind: str, first: str, later: str, files: dict[str, tuple[str, ...]]
) -> None:
    texts = [
        f'version: "3.8"\nservices: {{app: {service.replace("%s", kind)}}}\n'
        for service in (first, later)
    ]
    texts[0] += f"{kind}: {{a: {{external: true}}, b: {{external: true}}}}\n"
    paths = [tmp_path / f"{number}.yml" for number in range(2)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    merged = merge([parse(text) for text in texts]).services["app"]
    config = YAML(typ="safe", pure=True).load(docker_stack_config(paths, {}).stdout)
    theirs: dict[str, tuple[str, ...]] = {}
    for one in config["services"]["app"][kind]:
        theirs[one["source"]] = (*theirs.get(one["source"], ()), one.get("target", one["source"]))

    assert theirs == files
    assert (merged.files if kind == "secrets" else merged.config_files) == files


@pytest.mark.parametrize(
    ("written", "docker_takes_it"),
    [
        ("${APP_PORT:25}", False), ("${A:+x}", False), ("${A+x}", False), ("$", False),
        ("a$.b", False), ("$(x)", False), ("$1", False), ("${", False), ("${A B}", False),
        ("${A!}", False), ("$${APP_PORT:25}", True), ("${A:-25}", True), ("${A-}", True),
        ("$A-x", True), ("$A:25", True), ("$$(x)", True), ("${A}${B}", True), ("plain", True),
    ],
)  # fmt: skip
def test_what_docker_refuses_anywhere_in_a_file_is_a_fault_of_its_line(
    tmp_path: Path, written: str, docker_takes_it: bool
) -> None:
    text = f'version: "3.8"\nservices:\n  a:\n    image: x\n    command: ["{written}"]\n'
    text += "    labels: {'k${NOT:here}': v}\n"
    (tmp_path / "compose.yml").write_text(text)
    done = docker_stack_config([tmp_path / "compose.yml"], {})

    assert (done.returncode == 0) is docker_takes_it
    assert [fault.line for fault in parse(text).faults] == ([] if docker_takes_it else [5])


def test_a_variable_within_a_default_is_a_fault_as_docker_reads_what_nobody_means(
    tmp_path: Path,
) -> None:
    text = 'version: "3.8"\nservices:\n  a:\n    image: "${A:-${B}}"\n'
    (tmp_path / "compose.yml").write_text(text)

    assert "x}" in docker_stack_config([tmp_path / "compose.yml"], {"A": "x"}).stdout
    assert [fault.line for fault in parse(text).faults] == [4]


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
