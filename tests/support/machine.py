"""A Debian machine with a real systemd, in a container that dies with the test run.

The base system is made once by debootstrap and kept in the cache; each machine runs on a copy of its own, with no
network but its own loopback. Needs root.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.cached import cached
from tests.support.children import spawn

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKOUT = Path(__file__).parents[2]
SUITE = "bookworm"
PYTHON = "3.11"  # the suite's own
BOOT_TIMEOUT_S = 90.0
OFF_TIMEOUT_S = 30.0


class MachineError(Exception):
    """The machine cannot be made or started; the message says what the tool said."""


def run(*command: str | Path, timeout: float = 600) -> str:
    """Run a command outside of any machine and return what it printed; raise with what it said if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except FileNotFoundError as missing:
        raise MachineError(f"{missing.filename} is not here: apt-get install debootstrap systemd-container") from None
    if done.returncode != 0:
        raise MachineError(f"{' '.join(map(str, command))}: {(done.stdout + done.stderr)[-2_000:]}")
    return done.stdout


def _debootstrap(folder: Path) -> None:
    """A Debian as it is after its own installer, with the packages in its cache that Tidegate's installer wants."""
    run("debootstrap", "--variant=minbase", "--include=systemd,dbus,python3,procps", SUITE, folder)
    shutil.copy("/etc/resolv.conf", folder / "etc/resolv.conf")
    apt = ["chroot", folder, "apt-get", "-q", "-o", "Acquire::Languages=none"]
    run(*apt, "update")
    run(*apt, "install", "-y", "--no-install-recommends", "--download-only", "mosquitto", "python3-venv")
    for ballast in ("usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(folder / ballast, ignore_errors=True)
    for index in ("pkgcache.bin", "srcpkgcache.bin"):
        (folder / "var/cache/apt" / index).unlink(missing_ok=True)


def _download(*requirements: Path) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        pip = [uv(), "run", "--quiet", "--no-project", "--with", "pip", "python", "-m", "pip", "download", "--quiet"]
        options = ["--require-hashes", "--only-binary", ":all:", "--python-version", PYTHON, "--dest", folder]
        for names in requirements:
            run(*pip, *options, "-r", names)

    return make


def uv() -> Path:
    """The environment's own installer."""
    return Path(sys.executable).with_name("uv")


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def readme_lines() -> list[str]:
    """What README says to type on a gateway."""
    text = (CHECKOUT / "README.md").read_text().partition("\n## Put it on a gateway\n")[2].partition("\n## ")[0]
    block = next(part for part in text.split("\n\n") if part.startswith("    "))
    return [line.strip() for line in block.splitlines()]


class Machine:
    """One machine with the archive of Tidegate in /root, and nothing of it installed.

    Without a network it finds Debian's packages in apt's cache and Python's in /srv/packages.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self._console = folder / "console.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._init_pid = 0
        run("cp", "-a", "--reflink=auto", cached(f"systemd/{SUITE}-with-packages", _debootstrap), self.root)
        requirements = [CHECKOUT / "requirements" / name for name in ("runtime.txt", "build.txt")]
        version = hashlib.sha256(b"".join(file.read_bytes() for file in requirements)).hexdigest()[:12]
        packages = cached(f"systemd/packages-{version}", _download(*requirements))
        run("cp", "-a", "--reflink=auto", packages, self.root / "srv/packages")
        self.put("/etc/pip.conf", "[global]\nno-index = true\nfind-links = /srv/packages\n")
        # A build looks at the whole folder, and another one may be under way in it.
        run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", self.root / "root", CHECKOUT)

    def install(self) -> str:
        """Run README's lines as they are and return what they print. The machine has an `editor` of the test's."""
        return "".join(self.shell(line) for line in readme_lines())

    def shell(self, line: str, *, status: int = 0) -> str:
        """Run a line as root's shell in /root does and return what it prints; fail if it ends otherwise than this."""
        shell = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]
        script = f"cd /root && {{ {line}; }} 2>&1; echo $?"
        said, _, ended = self.ask(*shell, "bash", "-c", script, timeout=300).rstrip().rpartition("\n")
        if ended != str(status):
            raise MachineError(f"{line} ended with {ended}: {said}{self.journal()}")
        return said + "\n"

    def put(self, path: str, text: str) -> None:
        """Write a file of the machine, before or after its start."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def __enter__(self) -> Self:
        options = ["--quiet", "--boot", "--register=no", "--keep-unit", "--private-network", "--console=pipe"]
        with self._console.open("wb") as console:
            # A killed nspawn leaves its machine behind. The first process of a PID namespace does not: the kernel
            # ends all of it, machine included, and unshare sees to it that this happens when it dies itself.
            command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
            command += ["systemd-nspawn", f"--directory={self.root}", *options]
            self._process = spawn(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        try:
            self._find_init()
            self.until(self._is_up, "booted", timeout=BOOT_TIMEOUT_S)
        except BaseException:
            self.off()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.off()

    def off(self) -> None:
        """Pull the plug; nothing of the machine is left when this returns."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        init = Path(f"/proc/{self._init_pid}")
        deadline = time.monotonic() + OFF_TIMEOUT_S
        while self._init_pid and init.exists():
            if time.monotonic() > deadline:
                raise MachineError(f"the machine's first process, {self._init_pid}, is still there")
            time.sleep(0.05)

    def _find_init(self) -> None:
        """The machine's first process: what nspawn, itself the child of unshare, has started."""
        assert self._process is not None
        unshare = self._process.pid

        def found() -> bool:
            for child in [grandchild for nspawn in _children(unshare) for grandchild in _children(nspawn)]:
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                        self._init_pid = child
            return self._init_pid != 0

        self.until(found, "systemd as its first process", timeout=BOOT_TIMEOUT_S)

    def _is_up(self) -> bool:
        return self.ask("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")

    def ask(self, *command: str, check: bool = True, timeout: float = 60) -> str:
        """Run a command inside, as root, and return what it printed."""
        enter = ["nsenter", "-t", str(self._init_pid), "-m", "-u", "-i", "-n", "-p", "-r", "-w"]
        done = subprocess.run([*enter, *command], capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise MachineError(f"{' '.join(command)}: {done.stdout}{done.stderr}{self.journal()}")
        return done.stdout

    def until(self, holds: Callable[[], bool], what: str, timeout: float = 60) -> None:
        """Wait until something holds; fail with the journal if it does not come true."""
        deadline = time.monotonic() + timeout
        while not holds():
            if self._process is None or self._process.poll() is not None:
                raise MachineError(f"the machine ended: {self._console.read_text(errors='replace')[-2_000:]}")
            if time.monotonic() > deadline:
                raise MachineError(f"not {what} within {timeout:g} s: {self.journal() if self._init_pid else ''}")
            time.sleep(0.2)

    def journal(self) -> str:
        """The unit's journal, its last hundred lines."""
        return self.ask("journalctl", "--no-pager", "-u", "tidegate", "-n", "100", check=False)

    def unit(self, *names: str) -> dict[str, str]:
        """Properties of the unit, as `systemctl show` gives them."""
        lines = self.ask("systemctl", "show", "tidegate", "-p", ",".join(names)).splitlines()
        return dict(line.split("=", 1) for line in lines)
