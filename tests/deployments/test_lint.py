"""prefect.yaml is refused where Prefect would stay silent."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from prefect import flow
from prefect.blocks.core import Block

from deployments import block_documents, leaks, lint, parameters
from deployments.errors import PrefectYamlRejected

ROOT = Path(__file__).parents[2]
TYPES = block_documents.block_types()
VARIABLES = {
    "REDIS_PASSWORD": "hunter2",
    "STORE": "redis://:hunter2@host",
    "PART": "hunter2",
    "NESTED": "{{ $STORE }}",
    "KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "EMPTY": "",
}
FLOW = """
from typing import Annotated
from prefect import flow
from pydantic import Field
from blocks.redis_credentials import RedisCredentials

@flow(name="sample")
def sample(
    redis: RedisCredentials,
    folder: str,
    share: Annotated[float, Field(le=1)] = 0.5,
    others: list[RedisCredentials] = [],
) -> None: ...
"""
GOOD = """
name: sample
pull:
  - prefect.deployments.steps.set_working_directory: {directory: "{{ $STEWARD_HOME }}"}
definitions:
  environment: {FOLDER: /somewhere}
deployments:
  - name: nightly
    entrypoint: flows/sample.py:sample
    tags: [steward]
    enforce_parameter_schema: false
    work_pool: {name: steward}
    parameters:
      redis: {$ref: {block_document_slug: redis-credentials/one}}
      folder: "{{ $FOLDER }}"
    schedules:
      - {slug: nightly, cron: 0 3 * * *, timezone: UTC}
    concurrency_limit: {limit: 1, collision_strategy: CANCEL_NEW}
"""
# What is changed, to what, and what the refusal must say. None removes the key.
BROKEN = {
    "misspelt key at the top": ("pul", [], "pul: Extra inputs"),
    "misspelt key of a deployment": ("deployments.0.tagz", ["x"], "tagz: Extra inputs"),
    "misspelt key of a schedule": ("deployments.0.schedules.0.actve", True, "actve: Extra inputs"),
    "misspelt key of a limit": ("deployments.0.concurrency_limit.grace", 5, "grace: Extra inputs"),
    "misspelt key of a pool": ("deployments.0.work_pool.nam", "x", "nam: Extra inputs"),
    "misspelt job variable": ("deployments.0.work_pool.job_variables", {"envv": {}}, "job_variables.envv: unknown"),
    "misspelt input of a step": (
        "pull.0",
        {"prefect.deployments.steps.set_working_directory": {"dir": "."}},
        "set_working_directory.dir: unknown",
    ),
    "step that does not exist": ("pull.0", {"prefect.deployments.steps.nothing": {}}, "nothing"),
    "no pull, so Prefect stores this machine's folder": ("pull", None, "pull: Field required"),
    "schedule without a slug": ("deployments.0.schedules.0.slug", None, "slug: Field required"),
    "schedule without a timezone": ("deployments.0.schedules.0.timezone", None, "timezone: Field required"),
    "timezone that does not exist": ("deployments.0.schedules.0.timezone", "Mars/North", "timezone"),
    "cron that is none": ("deployments.0.schedules.0.cron", "3 o'clock", "cron"),
    "empty list of schedules, which removes nothing": ("deployments.0.schedules", [], "schedules: List should"),
    "tags without ours": ("deployments.0.tags", ["mine"], "without steward no alert"),
    "pool that nobody makes": ("deployments.0.work_pool.name", "other", "no pool other"),
    "file that is not there": ("deployments.0.entrypoint", "flows/no.py:sample", "entrypoint"),
    "function that is not there": ("deployments.0.entrypoint", "flows/sample.py:no", "entrypoint"),
    "module that does not import": ("deployments.0.entrypoint", "flows/broken.py:sample", "no_such_module"),
    "parameter that the flow has not": ("deployments.0.parameters.fodler", "x", "fodler"),
    "parameter that the flow refuses": ("deployments.0.parameters.share", 7, "share"),
    "required parameter that is missing": ("deployments.0.parameters.folder", None, "folder"),
    "schedule with a parameter that the flow refuses": (
        "deployments.0.schedules.0.parameters",
        {"share": 7},
        "schedules.nightly.parameters",
    ),
    "variable without a value": ("deployments.0.parameters.folder", "{{ $NOWHERE }}", "NOWHERE is not set"),
    "block of an unknown type": (
        "deployments.0.parameters.redis",
        {"$ref": {"block_document_slug": "oracle/one"}},
        "no block type oracle",
    ),
    "block where none is taken": (
        "deployments.0.parameters.folder",
        {"$ref": {"block_document_slug": "redis-credentials/one"}},
        "takes no redis-credentials",
    ),
    "block by an id that only one server has": (
        "deployments.0.parameters.redis",
        {"$ref": {"block_document_id": "b574e9d5-3345-4c0a-8591-7c6cff41e6bc"}},
        "write a block as",
    ),
    "block of another type in a list": (
        "deployments.0.parameters.others",
        [{"$ref": {"block_document_slug": "database-credentials/one"}}],
        "parameters.others: sample takes no database-credentials here",
    ),
    "variable in a list without a value": ("deployments.0.parameters.others", ["{{ $NOWHERE }}"], "NOWHERE is not set"),
    "block template, stored in clear text": (
        "deployments.0.parameters.folder",
        "{{ prefect.blocks.redis-credentials.one.url }}",
        "stored in clear text",
    ),
    "secret in a job variable": (
        "deployments.0.work_pool.job_variables",
        {"env": {"DB_PASSWORD": "hunter2"}},
        "looks like a secret",
    ),
    "secret from the deploy's environment": (
        "deployments.0.parameters.folder",
        "{{ $REDIS_PASSWORD }}",
        "looks like a secret",
    ),
    "secret in a URL": ("deployments.0.parameters.folder", "redis://:hunter2@host", "a URL with a password"),
    "URL with a password in a variable": (
        "deployments.0.parameters.folder",
        "{{ $STORE }}",
        "the value of $STORE looks",
    ),
    "password that completes a URL": (
        "deployments.0.parameters.folder",
        "redis://user:{{ $PART }}@host",
        "a URL with a password",
    ),
    "key in a variable": ("deployments.0.work_pool.job_variables", {"env": {"X": "{{ $KEY }}"}}, "the value of $KEY"),
    "key in clear": ("deployments.0.description", "AKIAIOSFODNN7EXAMPLE", "a URL with a password, or a key"),
    "variable of a job variable without a value": (
        "deployments.0.work_pool.job_variables",
        {"env": {"X": "{{ $NOWHERE }}"}},
        "job_variables.env.X: $NOWHERE is not set",
    ),
    "password in a pull step": (
        "pull",
        [{"prefect.deployments.steps.git_clone": {"repository": "https://u:hunter2@h/x.git"}}],
        "pull.0.prefect.deployments.steps.git_clone.repository: a URL with a password",
    ),
    "variable of a pull step without a value": (
        "pull.0",
        {"prefect.deployments.steps.set_working_directory": {"directory": "{{ $STEWARD_HOEM }}"}},
        "$STEWARD_HOEM is not set",
    ),
    "password in a variable's variable": ("deployments.0.parameters.folder", "{{ $NESTED }}", "the value of $NESTED"),
    "secret by its name": (
        "deployments.0.work_pool.job_variables",
        {"env": {"MYSQL_PWD": "{{ $PART }}"}},
        "env.MYSQL_PWD: looks like a secret",
    ),
    "value that the flow refuses": ("deployments.0.parameters.share", "{{ $PART }}", "parameters.share"),
    "variable in a tag without a value": ("deployments.0.tags", ["steward", "{{ $NOWHERE }}"], "NOWHERE is not set"),
    "empty variable without a default": ("deployments.0.parameters.folder", "{{ $EMPTY }}", "EMPTY is not set"),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "sample.py").write_text(FLOW)
    (tmp_path / "flows" / "broken.py").write_text("import no_such_module\n" + FLOW)
    (tmp_path / "prefect.yaml").write_text(GOOD)
    return tmp_path


def change(project: Path, place: str, value: object) -> None:
    file = project / "prefect.yaml"
    data = yaml.safe_load(file.read_text())
    *parents, last = (int(part) if part.isdigit() else part for part in place.split("."))
    here = data
    for part in parents:
        here = here[part]
    if value is None:
        del here[last]
    else:
        here[last] = value
    file.write_text(yaml.safe_dump(data))


def test_ours_is_good() -> None:
    found = lint.check(ROOT, TYPES, environ={})
    assert {"hmap-clean/nightly", "hmap-clean/on-demand"} <= found.deployments
    assert "redis-credentials/datashare" in found.documents


def test_a_good_one_is_good(project: Path) -> None:
    found = lint.check(project, TYPES, environ={})
    assert found.deployments == {"sample/nightly"}
    assert found.documents == {"redis-credentials/one": "sample/nightly"}
    assert found.environment == {"FOLDER": "/somewhere"}


@pytest.mark.parametrize(("place", "value", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_one_is_refused(project: Path, place: str, value: object, says: str) -> None:
    change(project, place, value)
    with pytest.raises(PrefectYamlRejected, match="nothing has been changed") as refusal:
        lint.check(project, TYPES, environ=VARIABLES)
    assert says in str(refusal.value)
    assert not any(secret in str(refusal.value) for secret in ("hunter2", VARIABLES["KEY"]))


@pytest.mark.parametrize(
    "text",
    [
        "redis://:hunter2@host",
        "postgresql://u:p/w@host/db",
        "https://host/path?x=1&token=abc",
        "jdbc:mysql://host/db?user=u&password=p",
        "AKIAIOSFODNN7EXAMPLE",
        "host=h user=u password=p",
        "Server=h; Password = p",
        "postgres://u:pa ss@h/db",
        "postgres://me@corp:pw@h/db",
        "https://ghtokenghtokenghtoken@github.com/x",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "ghp_abcdefghijklmnopqrstuvwx",
        "0123456789abcdef0123456789abcdef",
        "-----BEGIN RSA PRIVATE KEY-----",
    ],
)
def test_a_secret_is_seen(text: str) -> None:
    assert leaks.is_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "/srv/datashare/archives",
        "/srv/Datashare-2026/ArchivesOfTheWholeLab/and/more/folders/below",
        "https://host:9000/bucket",
        "redis://host:6379/0",
        "datajoint_external_store_of_the_lab",
        "b574e9d5-3345-4c0a-8591-7c6cff41e6bc",
        "ghcr.io/acme/steward:2026-11-25",
        "0 3 * * *",
        "5f0261e2b6f1c2d3e4f5a6b7c8d9e0f1a2b3c4d5",
        "postgresql://steward@host/db",
        "ops@example.org",
    ],
)
def test_what_is_no_secret_is_let_through(text: str) -> None:
    assert not leaks.is_secret(text)


def test_a_misspelt_variable_is_named_with_what_it_is_meant_to_be() -> None:
    with pytest.raises(
        PrefectYamlRejected, match=r"STEWARD_HMAP_CLEAN_ARCHVE_DIR is set and used nowhere: .*_ARCHIVE_DIR"
    ):
        lint.check(ROOT, TYPES, environ={"STEWARD_HMAP_CLEAN_ARCHVE_DIR": "/srv/hunter2"})


def test_an_empty_variable_takes_its_default(project: Path) -> None:
    assert lint.check(project, TYPES, environ={"FOLDER": ""}).environment["FOLDER"] == "/somewhere"


def test_blocks_in_a_list_are_found(project: Path) -> None:
    change(project, "deployments.0.parameters.others", [{"$ref": {"block_document_slug": "redis-credentials/two"}}])
    assert lint.check(project, TYPES, environ={}).documents.keys() == {"redis-credentials/one", "redis-credentials/two"}


def test_every_problem_is_named_at_once(project: Path) -> None:
    change(project, "deployments.0.parameters.share", 7)
    change(project, "deployments.0.work_pool.name", "other")
    with pytest.raises(PrefectYamlRejected, match=r"(?s)sample/nightly.work_pool.*sample/nightly.parameters"):
        lint.check(project, TYPES, environ={})


def test_two_of_the_same_name_are_refused(project: Path) -> None:
    file = project / "prefect.yaml"
    data = yaml.safe_load(file.read_text())
    data["deployments"] *= 2
    file.write_text(yaml.safe_dump(data))
    with pytest.raises(PrefectYamlRejected, match="sample/nightly is there twice"):
        lint.check(project, TYPES, environ={})


def test_a_key_written_twice_is_refused(project: Path) -> None:
    file = project / "prefect.yaml"
    file.write_text(file.read_text().replace("    tags: [steward]\n", "    tags: [steward]\n    tags: [other]\n"))
    with pytest.raises(PrefectYamlRejected, match="tags is written twice"):
        lint.check(project, TYPES, environ={})


@pytest.mark.parametrize(
    ("text", "says"), [(None, "no prefect.yaml"), ("a: [", "not YAML"), ("[]", "valid dictionary")]
)
def test_what_is_no_prefect_yaml(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / "prefect.yaml").write_text(dedent(text))
    with pytest.raises(PrefectYamlRejected, match=says):
        lint.check(tmp_path, TYPES, environ={})


@pytest.mark.parametrize(("options", "refused"), [({}, True), ({"title": "Sample"}, False)], ids=["name", "title"])
def test_a_block_that_prefect_would_refuse_to_update(options: Any, refused: bool) -> None:
    class SampleCredentials(Block, **options):
        _block_type_slug = f"sample-{options.get('title', 'plain').lower()}"
        host: str = "localhost"

    def sample(redis: SampleCredentials) -> None: ...

    given = {"redis": {"$ref": {"block_document_slug": "sample/one"}}}
    assert bool(list(parameters.server_problems(flow(sample), given))) is refused
