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
    run("debootstrap", "--variant=minbase", "--include=systemd,dbus,python3,procps", SUITE, folder)
    for ballast in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(folder / ballast, ignore_errors=True)


def _install(requirements: Path) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        options = ["--quiet", "--require-hashes", "--python-version", PYTHON, "--python-platform", "linux"]
        run(uv(), "pip", "install", *options, "-r", requirements, "--target", folder)

    return make


def uv() -> Path:
    """The environment's own installer."""
    return Path(sys.executable).with_name("uv")


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


class Machine:
    """One machine with Tidegate installed in /opt/tidegate as OPERATIONS.md says, the unit not yet started."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self._console = folder / "console.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._init_pid = 0
        run("cp", "-a", "--reflink=auto", cached(f"systemd/{SUITE}", _debootstrap), self.root)
        self._install_tidegate()

    def _install_tidegate(self) -> None:
        requirements = CHECKOUT / "requirements" / "runtime.txt"
        version = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
        packages = self.root / f"opt/tidegate/lib/python{PYTHON}/site-packages"
        packages.parent.mkdir(parents=True)
        run("cp", "-a", "--reflink=auto", cached(f"systemd/packages-{version}", _install(requirements)), packages)
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--python", sys.executable]
        run(uv(), "pip", "install", *options, "--target", packages, CHECKOUT)
        home = self.root / "opt/tidegate"
        (home / "bin").mkdir()
        (home / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {PYTHON}\n")
        (home / "bin/python").symlink_to(f"/usr/bin/python{PYTHON}")
        script = home / "bin/tidegate"
        script.write_text(
            "#!/opt/tidegate/bin/python\nimport sys\n\nfrom agent.cli import main\n\nsys.exit(main())\n"
        )
        script.chmod(0o755)
        for source, target in (
            ("tidegate.service", "etc/systemd/system/tidegate.service"),
            ("tidegate.sysusers", "usr/lib/sysusers.d/tidegate.conf"),
            ("tidegate.tmpfiles", "usr/lib/tmpfiles.d/tidegate.conf"),
        ):
            self.put(target, (CHECKOUT / "systemd" / source).read_text())

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
