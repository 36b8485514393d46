"""Which gateway's log or daemon a verb looks at: the one that it was told, or it says that it does not know."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli import main

DOCUMENT = "gateway: {{id: a, site: b, state_dir: {folder}, runtime_dir: {folder}}}\nsurprise: 1\n"


def tidegate(*words):
    """In this process, for a process of its own takes a second; `main` then changes a signal, which is put back."""
    kept = signal.getsignal(signal.SIGPIPE)
    try:
        return CliRunner(env={"TIDEGATE_CONFIG": None}).invoke(main, words, prog_name="tidegate")
    finally:
        signal.signal(signal.SIGPIPE, kept)


@pytest.fixture
def config(folder):
    path = folder / "config.yaml"
    path.write_text(DOCUMENT.format(folder=folder))
    return str(path)


@pytest.mark.parametrize("verb", ["lanes", "depth", "tail", "dead-letters", "losses", "export"])
def test_every_verb_of_the_log_takes_the_configuration_before_and_after_it(config, folder, verb):
    wanted = f"no log at {folder}/log.sqlite"
    for words in (
        ("-c", config, verb),
        (verb, "--config", config),
        (verb, "--state-dir", str(folder)),
        ("-c", "/nowhere", verb, "-c", config),
        ("--state-dir", "/nowhere", verb, "-c", config),
        ("-c", "/nowhere", verb, "--state-dir", str(folder)),
    ):
        done = tidegate("log", *words)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith(wanted), words


@pytest.mark.parametrize("verb", ["adopt", "discard"])
def test_so_do_those_that_ask_the_daemon(config, folder, verb):
    for words in (("-c", config, verb), (verb, "-c", config), (verb, "--runtime-dir", str(folder))):
        done = tidegate("log", *words)
        assert (done.exit_code, done.stderr) == (
            3,
            f"the daemon is not running: nothing listens on {folder}/tidegate.sock\n",
        )


@pytest.mark.parametrize(
    "words", [("status",), ("reload",), ("log",), ("log", "tail"), ("log", "export"), ("log", "adopt")]
)
def test_a_configuration_that_does_not_say_is_not_taken_for_another(folder, words):
    (folder / "broken.yaml").write_text("gateway: [\n")
    (folder / "unset.yaml").write_text("gateway: {state_dir: '${NO_SUCH}', runtime_dir: '${NO_SUCH}'}\n")
    for name, why in (
        ("none.yaml", "cannot be read: no such file"),
        ("broken.yaml", "is not YAML"),
        ("unset.yaml", "NO_SUCH is not set"),
    ):
        done = tidegate(*words, "-c", str(folder / name))
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith(f"{folder / name}")
        assert why in done.stderr
        assert "_dir is not known; name it with --" in done.stderr


def test_where_none_is_named_the_usual_folder_is_looked_in_and_said():
    if Path("/etc/tidegate/config.yaml").exists():
        pytest.skip("this machine has a gateway's configuration")
    done = tidegate("log", "depth")
    assert "/etc/tidegate/config.yaml: cannot be read: no such file or directory; looking in /var/lib" in done.stderr
