"""Nothing is unpickled, evaluated or handed to a shell; no foreign code, hosts or machine paths."""

from __future__ import annotations

import ast
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
FILES = sorted(SOURCE.rglob("*.py"))

UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
CALLS = {
    "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput",
    "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.unsafe_load_all",
    "torch.hub.load", "tempfile.mktemp",
}  # fmt: skip
# keyword -> the only value it may have
FLAGS = {"shell": False, "trust_remote_code": False, "allow_pickle": False, "weights_only": True}
# Where documentation may point; nothing in the source talks to any other host by address.
HOSTS = {
    "arxiv.org", "doi.org", "github.com", "huggingface.co", "creativecommons.org",
    "www.apache.org", "localhost", "127.0.0.1",
    "www.mpi.nl", "www.w3.org",  # the names of ELAN's schema, which nothing fetches
}  # fmt: skip
# In brackets, so that this file does not find itself.
MACHINE_PATHS = re.compile(
    r"(?<![\w.~])/(?:(?:[h]ome|[U]sers)/\w|(?:[r]oot|[w]ork|[f]arm|[t]mp|[s]cratch|[m]nt|[d]ata\d*)/\w"
    r"|[o]pt/(?:pypi|wheels))|\b[A-Z]:\\[U]sers\\"
)


def risks(source: str) -> list[str]:
    """What a file does that could run someone else's code, as `line: what`."""
    return [f"{line}: {what}" for line, what in sorted(_risks(ast.parse(source)))]


def _risks(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names if a.name in UNPICKLERS)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((node.lineno, name) for name in names if name in CALLS | {"torch.load"})
            if node.module in UNPICKLERS:
                yield node.lineno, node.module
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, what) for what in _risks_of_call(node))
        elif isinstance(node, ast.Dict):  # options = {"trust_remote_code": True}
            keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
            pairs = zip(keys, node.values, strict=True)
            yield from ((node.lineno, str(k)) for k, value in pairs if _bad_flag(k, value))


def _risks_of_call(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if name in BUILTINS or name in CALLS:
        yield name
    if name == "torch.load" and "weights_only" not in given:
        yield "torch.load without weights_only=True"
    yield from (str(key) for key, value in given.items() if _bad_flag(key, value))


def _bad_flag(key: object, value: ast.expr) -> bool:
    if not isinstance(key, str) or key not in FLAGS:
        return False
    return not (isinstance(value, ast.Constant) and value.value is FLAGS[key])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_a_file_runs_nobody_elses_code(file: Path) -> None:
    assert not risks(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "from torch import load",
        "from os import system",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=safe)",
        "eval(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "options = {'trust_remote_code': True}",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
    ],
)
def test_a_risk_is_found(source: str) -> None:
    assert len(risks(source)) == 1


def test_what_is_safe_is_not_a_risk() -> None:
    safe = "model.eval()\ntorch.load(path, weights_only=True)\nyaml.safe_load(text)\nre.compile(x)"
    assert not risks(safe)


def test_source_names_no_hosts_but_documentation() -> None:
    found: dict[str, str] = {}
    for file in [*FILES, *SOURCE.rglob("*.toml")]:
        hosts = re.findall(r"\b(?:https?|wss?|ftp)://([\w.-]+)", file.read_text(encoding="utf-8"))
        found |= {host: file.name for host in hosts if host not in HOSTS}
    assert not found


def project_files() -> list[Path]:
    """What is in git or about to be; without git, everything in the project's own folders."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        return [ROOT / name for name in done.stdout.split("\0") if (ROOT / name).is_file()]
    folders = ("src", "tests", "docs", "benchmarks", "recipes", ".ci")
    inside = [file for folder in folders for file in (ROOT / folder).rglob("*")]
    return [file for file in [*ROOT.iterdir(), *inside] if file.is_file()]


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    found = []
    for file in project_files():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATHS.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not found


def test_a_machine_path_is_recognised() -> None:
    for parts in (("home", "ann"), ("Users", "ann"), ("data2", "clap.pt"), ("work", "main")):
        assert MACHINE_PATHS.search(f"open('/{'/'.join(parts)}')")
    for harmless in ("https://github.com/data/x", "tests/data/x", "../data/x", "GET /models/x"):
        assert not MACHINE_PATHS.search(harmless)


def test_tests_cannot_leave_this_machine() -> None:
    with pytest.raises(Exception, match=r"tried to reach '192\.0\.2\.1'"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(Exception, match=r"tried to reach 'example\.org'"):
        socket.getaddrinfo("example.org", 443)
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
