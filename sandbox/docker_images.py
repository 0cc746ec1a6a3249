"""Images without a registry: a base from Debian's packages, our own image on it, and stand-ins for those of others."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp

from sandbox.docker_engine import DockerEngine
from sandbox.docker_leftovers import PLACES
from sandbox.errors import ServerUnavailable, StartFailed
from sandbox.finding import Installed, find
from sandbox.kinds import KINDS

BASE = "python:3.11-slim-bookworm"  # as docker/Dockerfile has it
STAND_INS = {
    "redis:7": "redis",
    "postgres:16": "postgres",
    "mariadb:11.4": "mariadb",
    "chrislusf/seaweedfs:4.48": "seaweedfs",
}
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
SOURCES = ("debian.sources", "ubuntu.sources")
SUITE = "bookworm"
PACKAGES = "ca-certificates,netbase,python3,python3-pip,python3-venv,tzdata"
UNREAD = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*")
# What an image of Python has and Debian has not: its commands as `python` and `pip`, and a pip that may install.
LIKE_PYTHON = """
for name in python python3; do ln -s /usr/bin/python3 "$1/usr/local/bin/$name"; done
ln -s /usr/bin/pip3 "$1/usr/local/bin/pip"
rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED
"""


def import_base(engine: DockerEngine) -> None:
    """Make what `FROM python:…` finds."""
    path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    engine.docker("import", "--change", path, "--change", 'CMD ["python3"]', base(), BASE)


def build(engine: DockerEngine, *arguments: str | Path) -> str:
    """Build an image whose build steps may use this host's network; return what was printed."""
    return engine.docker("build", "--network", "host", *arguments)


def build_stand_ins(engine: DockerEngine) -> None:
    """Build a stand-in for each image that no registry is here for; all have the same layers."""
    context = engine.folder / "stand-ins"
    shutil.copytree(Path(__file__).parent / "stand_ins", context)
    shutil.copy(_weed(), context / "weed")
    for image, target in STAND_INS.items():
        build(engine, "--quiet", "--target", target, "--tag", image, context)


def build_all(engine: DockerEngine, checkout: Path, image: str) -> None:
    """Build our image from a checkout, and the stand-ins beside it."""
    import_base(engine)
    with ThreadPoolExecutor() as pool:
        beside = pool.submit(build_stand_ins, engine)
        build(engine, "--quiet", "--file", checkout / "docker" / "Dockerfile", "--tag", image, checkout)
        beside.result()


def base() -> Path:
    """Return a tar of the base image, made at the first call (half a minute to two) and kept in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "steward"
    recipe = [*_recipe(), CERTIFICATES.read_text(), _sources().read_text()]
    tar = cache / f"docker-base-{sha256(repr(recipe).encode()).hexdigest()[:16]}.tar"
    if not tar.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _make(tar)
        for older in set(cache.glob("docker-base-*.tar")) - {tar}:
            older.unlink()
    return tar


def _make(tar: Path) -> None:
    draft = Path(mkdtemp(prefix="docker-base-", dir=tar.parent)) / "base.tar"
    try:
        command = ["mmdebstrap", *_recipe(), SUITE, str(draft), str(_sources())]
        done = subprocess.run(command, env={"PATH": PLACES}, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            tail = done.stderr.splitlines()[-20:]
            raise StartFailed("\n".join(["docker: mmdebstrap made no base image:", *tail]))
        draft.rename(tar)
    finally:
        shutil.rmtree(draft.parent)


def _recipe() -> list[str]:
    hooks = [LIKE_PYTHON, f'cp {CERTIFICATES} "$1{CERTIFICATES}"']  # those of this host, whatever stands in between
    return [
        "--mode=root",
        "--variant=minbase",
        f"--include={PACKAGES}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in UNREAD),
        *(f"--customize-hook={hook}" for hook in hooks),
    ]


def _sources() -> Path:
    folder = Path("/etc/apt")
    places = [*(folder / "sources.list.d" / name for name in SOURCES), folder / "sources.list"]
    for place in places:
        if place.exists():
            return place
    raise ServerUnavailable(f"docker: none of {', '.join(map(str, places))} says where Debian's packages are")


def _weed() -> Path:
    found = find(replace(KINDS["s3"], variable=""))  # the binary, not a server that the environment names
    assert isinstance(found, Installed)  # noqa: S101
    return found.path
