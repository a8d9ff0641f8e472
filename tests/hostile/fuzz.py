"""What is fuzzed: every reader of bytes that somebody else may have written. Run by test_fuzz.py and ``make fuzz``.

    python tests/hostile/fuzz.py [-seconds=N | -runs=N] [-seed=N] [TARGET ...]

A target takes bytes and may refuse them with an InputError only. Each runs in a process of its own, under atheris,
with at most a second for an input and 200 MB above what the process has after its imports. What a target stumbles
over is kept in $CMSCERT_FUZZ_FOUND/TARGET; under tests/hostile/corpus it becomes a test.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import resource
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
ABOVE_BASE_MB = 200
SECONDS_FOR_ONE = 1
LARGEST = 20_000
PARTS = (
    "cmscert.app.drift_file",
    "cmscert.app.merge",
    "cmscert.app.plan_file",
    "cmscert.apply.journal",
    "cmscert.apply.before",
    "cmscert.apply.lock",
    "cmscert.apply.memory",
    "cmscert.inventory.load",
    "cmscert.issue.index",
    "cmscert.mmp.database_status",
    "cmscert.mmp.replies",
    "cmscert.mmp.screens",
    "cmscert.model.marker",
    "cmscert.pki.chain",
    "cmscert.pki.keys",
    "cmscert.pki.pem",
    "cmscert.pki.request",
    "cmscert.reports.documents",
    "cmscert.reports.fleet_text",
    "cmscert.reports.junit",
    "cmscert.reports.markdown",
    "cmscert.reports.prometheus",
    "cmscert.reports.sarif",
    "cmscert.transport.known_hosts",
    "cmscert.transport.shell",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A reader. ``seeds``: well-formed inputs to start from. ``words``: what else its language holds."""

    run: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]
    words: tuple[str, ...] = ()


def _module(name: str) -> Any:  # noqa: ANN401 - any module
    return importlib.import_module(name)


@contextmanager
def _refusing() -> Iterator[None]:
    """Let a reader refuse: that is what it is for."""
    try:
        yield
    except _module("cmscert.errors").InputError as error:
        refused = error
    else:
        return
    assert refused.faults
    assert all(str(fault) for fault in refused.faults)


def _folder(process: int) -> Path:
    """Return where a process puts its files: in memory where the system has such a place."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of ours in it
    return (memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())) / f"cmscert-fuzz-{process}"


def _place(name: str, content: bytes) -> Path:
    """Put bytes into a file of this process."""
    folder = _folder(os.getpid())
    if not folder.is_dir():
        folder.mkdir(mode=0o700)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / name
    path.write_bytes(content)
    return path


def _inventory(content: bytes) -> None:
    # The outline only: material would be read from wherever an input says, and passphrases by programs that it names.
    with _refusing():
        _module("cmscert.inventory.load").read_outline(_place("inventory.yaml", content))


def _certificates(content: bytes) -> None:
    chain = _module("cmscert.pki.chain")
    with _refusing():
        found = _module("cmscert.pki.pem").read_certificates(content, file="f", passphrase=None)
        assert chain.ordered(found)
        chain.in_chain_order(found)
        chain.build_chain(found[0], found)


def _opened(content: bytes) -> None:
    with _refusing():
        _module("cmscert.pki.pem").read_certificates(content, file="f", passphrase=b"lab")


def _key(content: bytes) -> None:
    for passphrase in (None, b"lab"):
        with _refusing():
            _module("cmscert.pki.keys").read_key(content, file="f", passphrase=passphrase)


def _request(content: bytes) -> None:
    with _refusing():
        _module("cmscert.pki.request").read_request(content, file="f")


def _plan(content: bytes) -> None:
    with _refusing():
        _module("cmscert.app.plan_file").read_plan(content, file="f")


def _drift(content: bytes) -> None:
    """A report that is taken is merged with itself and drawn; no form of it may break or hold what terminals obey."""
    with _refusing():
        report = _module("cmscert.app.drift_file").read_drift(content, file="f")
        merge = _module("cmscert.app.merge")
        merged = merge.merge_reports([report, report])
        status = merge.Merged(report=merged, failures={}).status
        for text in (
            _module("cmscert.reports.fleet_text").drift_text(merged),
            _module("cmscert.reports.markdown").drift_markdown(merged),
            _module("cmscert.reports.junit").drift_junit(merged),
            str(_module("cmscert.reports.sarif").drift_sarif(merged)),
            _module("cmscert.reports.prometheus").metrics(status, drift=merged),
        ):
            assert not any(obeyed(char) for char in text.replace("\n", ""))


def _journal(content: bytes) -> None:
    """As it stands; then with the right sums, which no mutation would get right, around its lines as events."""
    journal = _module("cmscert.apply.journal")
    lines = [journal._line(0, "header", {"user": "me"})]
    for number, line in enumerate(content.split(b"\n"), start=1):
        words = (number, journal._sum(number, line), line)
        lines.append(b'{"n":%d,"sum":"%s","event":%s}\n' % words)
    for each in (content, b"".join(lines)):
        with _refusing():
            journal.read_journal(_place("journal.jsonl", each))


def _observed(content: bytes) -> None:
    path = _place("observed.json", content)
    with _refusing():
        _module("cmscert.apply.before").read_observed(path.parent)


def _proofs(content: bytes) -> None:
    """They are never refused: what is damaged is told, and what is taken has moments that can be told."""
    path = _place("toy.json", content)
    (path.parent / "proofs").mkdir(exist_ok=True)
    path.replace(path.parent / "proofs" / path.name)
    for server in _module("cmscert.apply.proofs").read_proofs(path.parent, "toy").proofs.servers.values():
        for proof in server.slots.values():
            proof.at.astimezone(UTC)


def _lock(content: bytes) -> None:
    path = _place("toy.json", content)
    (path.parent / "locks").mkdir(exist_ok=True)
    path.replace(path.parent / "locks" / path.name)
    _module("cmscert.apply.lock").read_record(path.parent, "toy")


def _store(content: bytes) -> None:
    """The material store's index, as it stands and with the right digest; its readers raise ValueError."""
    index = _module("cmscert.issue.index")
    contents = [content]
    with suppress(ValueError, RecursionError):
        document = json.loads(content)
        contents.append(index._sealed(document.get("content", document) if isinstance(document, dict) else document))
    for each in contents:
        for read in (index.read_index, index.read_issuer):
            with suppress(ValueError):
                read(each, "toy")


def _note(content: bytes) -> None:
    path = _place("toy-main.json", content)
    (path.parent / "databases").mkdir(exist_ok=True)
    path.replace(path.parent / "databases" / path.name)
    with _refusing():
        _module("cmscert.apply.memory").Memory(path.parent, "toy").noted(["main"])


def _known_hosts(content: bytes) -> None:
    known_hosts = _module("cmscert.transport.known_hosts")
    with _refusing():
        found = known_hosts._load.__wrapped__(str(_place("known_hosts", content)), 0, 0)
        for port in (22, 22022):
            found.keys("10.0.0.10", "10.0.0.10", port)


def _marker(content: bytes) -> None:
    _module("cmscert.model.marker").read_marker("cmscert-lock-20261123T203000Z-abc123.crt", content)


def _screen(content: bytes) -> None:
    screens, services = _module("cmscert.mmp.screens"), _module("cmscert.mmp.services").SERVICES
    row = services[content[0] % len(services)] if content else services[0]
    for text in _texts(content[1:]):
        screens.read_screen(row, *text.split("\f"), tag="edge")
        screens.read_screen(row, text)


def _database_status(content: bytes) -> None:
    for text in _texts(content):
        _module("cmscert.mmp.database_status").read_database_status(text)


def _reply(content: bytes) -> None:
    replies = _module("cmscert.mmp.replies")
    shell = _module("cmscert.transport.shell")
    cleaned = replies.clean(content)
    assert all(char == "\n" or not obeyed(char) for char in cleaned)
    for text in _texts(content):
        replies.verdict(text)
        replies.read_version(text)
        replies.read_user_expiry(text, "admin")
        replies.read_match(text)
        replies.read_verify(text)
        replies.read_date(text)
        replies.read_log_stamp(text)
        replies.read_pki_list(text)
    shown = shell._plain(content)
    for pattern in (shell.PROMPT, shell.PROMPT_TWICE, shell.QUESTION, shell.OTHER_QUESTION, shell.UNWORDED_QUESTION):
        pattern.search(shown)
    shell._after_echo(shown, "cms1>", "webadmin disable")


def obeyed(char: str) -> bool:
    """Tell whether a terminal may act on a character: controls, and marks that turn or hide text."""
    return (
        unicodedata.category(char) in {"Cc", "Zl", "Zp"}
        or char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )


def _texts(content: bytes) -> tuple[str, str]:
    """As a parser gets it, and as it would without the cleaning."""
    return _module("cmscert.mmp.replies").clean(content), content.decode("utf-8", "replace")


def _yaml_seeds() -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "inventories").glob("*.yaml"))]


def _ca() -> Any:  # noqa: ANN401 - the kit's own
    return _module("cmscert.testing.ca").ThrowAwayCa.root("Fuzz CA")


def _certificate_seeds() -> list[bytes]:
    ca = _ca()
    leaf = ca.intermediate("Fuzz Issuing CA").issue("cms.example.com", sans=("cms.example.com", "10.0.0.10"))
    return [leaf.full_chain_pem, leaf.certificate.der, b"text\r\n" + leaf.certificate_pem.replace(b"\n", b"\r\n")]


def _pkcs12_seeds() -> list[bytes]:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, pkcs12
    from cryptography.x509 import load_pem_x509_certificate

    leaf = _ca().issue("cms.example.com")
    loaded = load_pem_x509_certificate(leaf.certificate_pem)
    key = leaf.key._loaded
    ways = (NoEncryption(), BestAvailableEncryption(b"lab"))
    return [pkcs12.serialize_key_and_certificates(b"cms", key, loaded, None, way) for way in ways]


def _key_seeds() -> list[bytes]:
    from cryptography.hazmat.primitives import serialization as forms

    key = _ca().issue("cms.example.com").key._loaded
    pem, der = forms.Encoding.PEM, forms.Encoding.DER
    old, new = forms.PrivateFormat.TraditionalOpenSSL, forms.PrivateFormat.PKCS8
    open_, closed = forms.NoEncryption(), forms.BestAvailableEncryption(b"lab")
    ways = ((pem, new, open_), (pem, old, open_), (der, new, open_), (pem, new, closed), (pem, old, closed))
    return [key.private_bytes(*way) for way in ways] + _pkcs12_seeds()


def _request_seeds() -> list[bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    names = x509.SubjectAlternativeName([x509.DNSName("cms.example.com"), x509.RFC822Name("a@example.com")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cms.example.com")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(names, critical=False)
    made = builder.sign(_ca().key._loaded, SHA256())
    return [made.public_bytes(Encoding.PEM), made.public_bytes(Encoding.DER)]


def _plan_seeds() -> list[bytes]:
    golden = (ROOT / "tests/reports/golden/plan.json").read_bytes()
    empty = json.loads(golden) | {"steps": [], "drift": [], "notices": [], "refusals": [], "summary": {}}
    return [json.dumps(empty).encode(), golden]


def _drift_seeds() -> list[bytes]:
    from dataclasses import replace

    sample = _module("cmscert.testing.fleet_reports").sample_drift()
    findings = tuple(drift for drift in sample.findings if drift.server != "edge9")
    document = _module("cmscert.reports.documents").drift_document(replace(sample, findings=findings))
    return [json.dumps(document).encode()]


def _journal_seeds() -> list[bytes]:
    journal, events = _module("cmscert.apply.journal"), _module("cmscert.model.events")
    at = _module("cmscert.testing.fleets").MOMENT
    facts: tuple[dict[str, object], ...] = (
        events.RunStarted(at=at, run="r", fleet="toy", steps=1),
        events.CommandSent(at=at, step="s1", server="core1", typed="webadmin disable"),
        events.RunEnded(at=at, run="r", result="rolled-back", why="core1"),
    )
    values = [journal.to_json(event) for event in facts]
    lines = [journal._line(0, "header", {"user": "me"})]
    lines += [journal._line(at, "event", value) for at, value in enumerate(values, start=1)]
    return [b"".join(lines), b"\n".join(json.dumps(value).encode() for value in values)]


def _proofs_seeds() -> list[bytes]:
    proof = {"at": "2026-11-23T20:30:00+00:00", "run": None, "wanted": True, "file": "ab", "bundle": None}
    server = {"open": None, "named": ["turn"], "slots": {"turn": proof}}
    document = {"format": "cmscert.proofs/1", "fleet": "toy", "runs": ["run-1"], "servers": {"core1": server}}
    return [json.dumps(document).encode()]


def _observed_seeds() -> list[bytes]:
    files = {"a.crt": {"sha256": "ab" * 32, "certificates": []}}
    shown = {
        "enabled": True,
        "bindings": {"webadmin": {"key": "a.key", "certificate": "a.crt", "bundle": None, "tag": None}},
        "untold": [],
    }
    server = {"release": "3.9", "services": {"webadmin": shown}, "files": ["a.crt"], "contents": files, "served": {}}
    return [json.dumps({"format": "cmscert.observed/1", "fleet": "toy", "servers": {"core1": server}}).encode()]


def _lock_seeds() -> list[bytes]:
    lock = {"format": "cmscert.lock/1", "fleet": "toy", "owner": "me", "machine": "laptop", "pid": 7, "run": "r"}
    lock |= {"since": "2026-11-23T12:00:00+00:00", "command": "apply", "left": ["q"], "ended": False}
    return [json.dumps(lock).encode()]


def _store_seeds() -> list[bytes]:
    index = _module("cmscert.issue.index")
    record = index.IssuerRecord(spki="ab" * 32, chain="cd" * 32, facts={"account": "https://ca.example.com/1"})
    return [
        index.write_index("toy", {None: index.Record(), "core1": index.Record()}),
        index.write_issuer("toy", record),
    ]


def _note_seeds() -> list[bytes]:
    note = {"format": "cmscert.database/1", "fleet": "toy", "database": "main", "server": "core1", "status": "Enabled"}
    return [json.dumps(note | {"at": "2026-11-23T12:00:00+00:00"}).encode()]


def _known_hosts_seeds() -> list[bytes]:
    key = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7Qx3S8r0o5V1sV4p0N9bW4mB1m9yJk0nq9mQ5c6hQd"
    return [
        b"10.0.0.10 " + key + b"\n# remark\n[10.0.0.10]:22022,*.example.com " + key + b" me\n",
        b"|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= " + key,
        b"@cert-authority *.example.com,!a?c " + key + b"\n@revoked * " + key,
    ]


def _marker_seeds() -> list[bytes]:
    marker, at = _module("cmscert.model.marker"), _module("cmscert.testing.fleets").MOMENT
    run = "20261123T203000Z-abc123"
    texts = {"fleet": "toy", "owner": "me", "machine": "laptop", "run": run}
    return [marker.marker_content(marker.Marker(file=marker.marker_name(run), since=at, until=at, **texts))]


def _screen_seeds() -> list[bytes]:
    services = [row.name for row in _module("cmscert.mmp.services").SERVICES]
    found = sorted((ROOT / "tests/mmp/screens").rglob("*.txt"))
    shown = [(path.relative_to(ROOT / "tests/mmp/screens").parts[0], path.read_bytes()) for path in found]
    return [bytes([services.index(name)]) + text for name, text in shown if name in services]


def _texts_below(folder: str) -> Callable[[], list[bytes]]:
    return lambda: [path.read_bytes() for path in sorted((ROOT / folder).rglob("*.txt"))]


JSON = ('"', "{", "}", "[", "]", ":", ",", "null", "true", "1e999", "-", "\\u0000", "\\ud800")
ROWS = (" : ", "none", "enabled", "Key file", "Certificate file", "CA Bundle file", "a:443", "(me)", "( In Sync )")
TARGETS: dict[str, Target] = {
    "inventory": Target(
        run=_inventory, seeds=_yaml_seeds, words=("&a", "*a", "<<: ", "!!", "- ", "? ", ": ", "|", "{env: X}", "../")
    ),
    "certificates": Target(run=_certificates, seeds=_certificate_seeds, words=("-----BEGIN ", "-----END ", "-----")),
    "pkcs12": Target(run=_opened, seeds=_pkcs12_seeds),
    "key": Target(
        run=_key, seeds=_key_seeds, words=("-----BEGIN ", "-----END ", "Proc-Type: 4,ENCRYPTED", "DEK-Info:")
    ),
    "request": Target(run=_request, seeds=_request_seeds, words=("-----BEGIN ", "-----END ", "-----")),
    "plan": Target(run=_plan, seeds=_plan_seeds, words=(*JSON, '"kind"', '"action"', "../", "--")),
    "drift": Target(run=_drift, seeds=_drift_seeds, words=(*JSON, '"asked"', "2026-11-23", "\\u202e")),
    "journal": Target(run=_journal, seeds=_journal_seeds, words=(*JSON, '"n"', '"sum"', '"event"', "\n")),
    "observed": Target(run=_observed, seeds=_observed_seeds, words=JSON),
    "proofs": Target(run=_proofs, seeds=_proofs_seeds, words=(*JSON, '"slots"', '"at"', "+14:00")),
    "lock": Target(run=_lock, seeds=_lock_seeds, words=JSON),
    "store": Target(run=_store, seeds=_store_seeds, words=JSON),
    "note": Target(run=_note, seeds=_note_seeds, words=JSON),
    "known_hosts": Target(run=_known_hosts, seeds=_known_hosts_seeds, words=("|1|", "@revoked ", "*", "!", "[", "]:")),
    "marker": Target(run=_marker, seeds=_marker_seeds, words=JSON),
    "screen": Target(run=_screen, seeds=_screen_seeds, words=ROWS),
    "database_status": Target(run=_database_status, seeds=_texts_below("tests/mmp/database_status"), words=ROWS),
    "reply": Target(
        run=_reply, seeds=_texts_below("tests/mmp/replies"), words=("SUCCESS: ", "FAILURE: ", "\x1b[", "\x9b", "(Y/n)")
    ),
}


def corpus(name: str) -> list[bytes]:
    """Return what was found earlier, and the seeds."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))] + TARGETS[name].seeds()


def _kept(name: str, scratch: Path) -> Path:
    return Path(os.environ.get("CMSCERT_FUZZ_FOUND", scratch)) / name


def _fuzz(atheris: ModuleType, name: str, words: list[str], scratch: Path) -> None:
    """Fuzz one target in this process, which ends with it."""
    target = TARGETS[name]
    seeds, found, dictionary = scratch / "seeds", scratch / "found", scratch / "words"
    kept = _kept(name, scratch)
    for folder in (seeds, found, kept):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(corpus(name)):
        (seeds / str(number)).write_bytes(seed)
    shown = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in target.words)
    dictionary.write_text("".join(f'"{word}"\n' for word in shown))
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    options = [
        f"-timeout={SECONDS_FOR_ONE}",
        f"-rss_limit_mb={base + ABOVE_BASE_MB}",
        f"-max_len={LARGEST}",
        f"-artifact_prefix={kept}/",
        "-verbosity=0",
        "-print_final_stats=1",
        *([f"-dict={dictionary}"] if target.words else []),
    ]
    atheris.Setup([sys.argv[0], *options, *words, str(found), str(seeds)], target.run)
    atheris.Fuzz()


def main(argv: list[str]) -> int:
    """Fuzz some targets, or all; tell which stumbled."""
    import atheris

    options = [word for word in argv if word.startswith("-")] or ["-runs=5000"]
    options = [word.replace("-seconds=", "-max_total_time=") for word in options]
    names = [word for word in argv if not word.startswith("-")] or list(TARGETS)
    with atheris.instrument_imports(include=["cmscert"]):
        for part in PARTS:
            importlib.import_module(part)
    stumbled = []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="cmscert-fuzz-") as scratch:
            child = os.fork()
            if child == 0:
                sys.stderr.write(f"# {name}\n")
                sys.stderr.flush()
                _fuzz(atheris, name, options, Path(scratch))
                os._exit(0)
            if os.waitpid(child, 0)[1] != 0:
                stumbled.append(name)
            with suppress(OSError):  # nothing was found, or was found and stays
                _kept(name, Path(scratch)).rmdir()
        shutil.rmtree(_folder(child), ignore_errors=True)
    if stumbled:
        sys.stderr.write(f"stumbled: {', '.join(stumbled)}\n")
    return 1 if stumbled else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
