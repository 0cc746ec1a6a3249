"""A Docker engine of our own, in a temporary folder, as root; whatever DOCKER_HOST says, no other is talked to."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from sandbox import docker_leftovers, run_folder
from sandbox.docker_leftovers import PLACES
from sandbox.errors import DockerFailed, ServerUnavailable, StartFailed
from sandbox.running import POLL_SECONDS, Running

PREFIX = "steward-docker-"  # short: a socket's path has less than 108 bytes
START_SECONDS = 60
NEEDED = ("dockerd", "mmdebstrap", "ip")
PACKAGES = "docker.io mmdebstrap iproute2"
# The host's firewall and its routing stay as they are: its containers reach one another, and nothing beyond the host.
OPTIONS = ("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none")


def check() -> None:
    """Raise ServerUnavailable where no engine can be started."""
    if os.geteuid() != 0:
        raise ServerUnavailable("docker: an engine of our own needs root; run this as root")
    if missing := [name for name in (*NEEDED, "docker") if not shutil.which(name, path=PLACES)]:
        raise ServerUnavailable(f"docker: no {', '.join(missing)} here. Install: apt-get install -y {PACKAGES}")


class DockerEngine:
    """A daemon that is started here, and ends with `close`, at the end of a `with`, or at exit.

    Nothing of it stays: no process, mount, network link or folder. If its owner is killed with -9, the next engine
    made on this machine cleans up.

    Raises:
        ServerUnavailable: what it needs is not installed, or this is not root.
        StartFailed: the daemon did not answer; the message ends with the tail of its log.
    """

    def __init__(self) -> None:
        check()
        self.folder, self._owner = run_folder.create(PREFIX, docker_leftovers.remove)
        self._open = True
        atexit.register(self.close)
        self.socket = self.folder / "docker.sock"
        self._log = self.folder / "dockerd.log"
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all containers, then the daemon, and remove what is left of them."""
        if self._open:
            self._open = False
            atexit.unregister(self.close)
            docker_leftovers.remove(self.folder)
            self._daemon.wait()
            self._owner.close()

    @property
    def environment(self) -> dict[str, str]:
        """What makes a client talk to this engine; its folder is no place for anybody's credentials."""
        return {
            "DOCKER_HOST": f"unix://{self.socket}",
            "DOCKER_CONFIG": str(self.folder / "client"),
            "DOCKER_BUILDKIT": "1",
        }

    def docker(self, *arguments: str | Path) -> str:
        """Return what `docker …` printed; raise DockerFailed."""
        return self._run([str(shutil.which("docker", path=PLACES)), *map(str, arguments)])

    def compose(self, folder: Path, *arguments: str, environment: Mapping[str, str]) -> str:
        """Return what `docker-compose …` printed, run in a folder with this environment; raise DockerFailed."""
        program = str(Path(sys.executable).with_name("docker-compose"))
        return self._run([program, *arguments], folder, environment)

    def _run(self, command: list[str], folder: Path | None = None, environment: Mapping[str, str] | None = None) -> str:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        done = subprocess.run(  # noqa: S603  # ours
            command,
            cwd=folder,
            env={**inherited, **self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            tail = (done.stdout + done.stderr).splitlines()[-40:]
            raise DockerFailed("\n".join([f"{' '.join(command)} ended with {done.returncode}:", *tail]))
        return done.stdout

    def _start(self) -> None:
        with self._log.open("ab") as output:
            self._daemon = subprocess.Popen(  # noqa: S603  # ours
                [str(shutil.which("dockerd", path=PLACES)), *self._options(), *OPTIONS],
                env={"PATH": PLACES},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for us: we stop it
            )
        running = Running(self._daemon.pid, str(self.socket), str(self.folder), signal.SIGTERM, [])
        running.write(self.folder / "dockerd.json")
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._daemon.poll() is not None or time.monotonic() > deadline:
                tail = self._log.read_text(errors="replace").splitlines()[-20:]
                self.close()
                raise StartFailed("\n".join(["docker: the engine did not start; its log ended with:", *tail]))
            time.sleep(POLL_SECONDS)

    def _options(self) -> list[str]:
        folders = [f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec"]
        return [*folders, f"--pidfile={self.folder}/docker.pid", f"--host=unix://{self.socket}"]

    def _answers(self) -> bool:
        try:
            self.docker("version")
        except DockerFailed:
            return False
        return True
