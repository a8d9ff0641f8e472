"""Database clusters, rebuilt on nodes in memory that can lose rows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from cmscert.apply.run import run_plan
from cmscert.errors import InputError, JournalError
from cmscert.lab.spec import Faults, Switches
from cmscert.model.desired import Policy
from cmscert.model.events import CommandSent, Event, ReplyReceived, StepEnded
from cmscert.model.plan import BackupDatabase, ConfirmPrimary, ProveCluster
from cmscert.testing.toy_databases import CLIENT, NODES, Killed, ToyDatabases

Make = Callable[..., ToyDatabases]
REMOVE = "database cluster remove"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Give what makes a cluster."""

    def made(**options: object) -> ToyDatabases:
        return ToyDatabases(folder=tmp_path, **options)

    return made


def outcomes(toy: ToyDatabases, kind: str) -> dict[str, str]:
    """Return how the steps ended that sent lines of a verb, by server."""
    steps = {event.step for event in toy.events if isinstance(event, CommandSent) and kind in event.typed}
    ended = [event for event in toy.events if isinstance(event, StepEnded) and event.step in steps]
    return {event.server: event.outcome for event in ended}


def when(toy: ToyDatabases, typed: str, act: Callable[[], object], *, server: str | None = None) -> None:
    """Do something when a line is about to be sent."""

    def look(event: Event) -> None:
        if isinstance(event, CommandSent) and event.typed == typed and server in (None, event.server):
            act()

    toy.on_event = look


async def test_a_rebuild_keeps_every_row(make: Make) -> None:
    """Clients and replicas leave, the primary last; it is initialised, the others join one by one; nothing is lost."""
    toy = make()
    rows = toy.rows()

    result = await toy.apply()

    assert (result.result, result.why, result.by_hand) == ("applied", None, ())
    assert toy.is_whole()
    assert toy.rows() == rows
    assert toy.commands("remove", "initialize", "join", "connect") == [
        *((name, "remove") for name in (CLIENT, "core2", "core3", "core1")),
        ("core1", "initialize"),
        ("core2", "join"),
        ("core3", "join"),
        (CLIENT, "connect"),
    ]
    assert (await toy.plan()).plan.steps == ()


async def test_the_note_stands_while_the_cluster_is_in_pieces(make: Make, tmp_path: Path) -> None:
    """Who holds the data is on disk before the first remove is sent, and gone after the last proof only."""
    toy = make()
    stood: list[bool] = []
    path = tmp_path / "databases" / "toy-main.json"
    toy.on_event = lambda event: stood.append(path.exists()) if isinstance(event, CommandSent) else None
    await toy.apply()
    sent = [event.typed for event in toy.events if isinstance(event, CommandSent)]

    assert not any(stood[: sent.index("database cluster status")])
    assert all(stood[sent.index(REMOVE) :])
    assert not path.exists()


async def test_the_note_names_the_primary_its_words_and_the_moment(make: Make, tmp_path: Path) -> None:
    """The note has what a person needs who finds it a week later; only its owner reads it."""
    toy = make()
    toy.faults[CLIENT, REMOVE] = ["failure"]
    await toy.apply()
    path = tmp_path / "databases" / "toy-main.json"
    note = json.loads(path.read_bytes())

    assert (note["server"], note["status"], note["at"][:10]) == ("core1", "10.0.0.11: Connected Primary", "2026-11-23")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_backups_come_off_every_node(make: Make, tmp_path: Path) -> None:
    """Both files of every node are here, whole, private, with size and hash in the journal; a client has none."""
    toy = make()
    await toy.apply()
    kept = backups(tmp_path)

    assert sorted({path.parent.name for path in kept}) == list(NODES)
    assert sorted(path.suffix for path in kept) == [".bak"] * 3 + [".json"] * 3
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    for path in kept:
        content = path.read_bytes()
        assert content == toy.sessions[path.parent.name].store[path.name]
        told = f"{len(content)} bytes, sha256 {sha256(content).hexdigest()}"
        assert told in [event.shown for event in toy.events if isinstance(event, ReplyReceived)]


def backups(folder: Path) -> list[Path]:
    """Return what was fetched in the first run."""
    return list(folder.glob("runs/run-1/backups/*/*"))


SWITCHES = [
    {"progress_wording": "quiet"},
    {"progress_wording": "plain", "words": "master", "unconfigured_wording": "long"},
    {"member_names": "fqdn", "client_row": True},
    {"confirm_wording": "short", "certs_copied_at": "start", "set_replies": True},
    {"remove_unbinds": True, "sync_wording": "Synchronizing"},
]


@pytest.mark.parametrize("switches", SWITCHES)
async def test_every_wording(make: Make, switches: dict[str, object]) -> None:
    """A rebuild leans on no wording that is not sourced."""
    toy = make(switches=Switches(**switches))

    assert (await toy.apply()).result == "applied"
    assert toy.is_whole()


async def test_a_first_build(make: Make) -> None:
    """Where no cluster stands, the inventory's primary is initialised and nothing needs to be remembered."""
    toy = make(roles=dict.fromkeys((*NODES, CLIENT), "none"))

    assert (await toy.apply()).result == "applied"
    assert toy.is_whole()
    assert toy.commands("remove") == []


async def test_one_node_joins_a_cluster_that_is_right(make: Make) -> None:
    """Only the node that is missing is touched; the others are looked at."""
    toy = make()
    await toy.apply()
    toy.network.node("core3").spec.faults.db_fail = ()
    toy._carry_out("core3", REMOVE)
    toy.waited += 60
    toy.typed.clear()

    assert (await toy.apply()).result == "applied"
    assert toy.is_whole()
    assert {name for name, _ in toy.commands()} == {"core3"}


@pytest.mark.parametrize("fault", ["lost", "hang"])
async def test_a_lost_answer_is_settled_by_the_status(make: Make, fault: str) -> None:
    """Whether a command was carried out is never guessed and never sent twice: the status tells."""
    toy = make()
    toy.faults["core2", "database cluster join 10.0.0.11"] = ["lost"]
    toy.faults["core1", "database cluster initialize"] = ["lost"]
    toy.faults["core3", REMOVE] = ["lost"]
    if fault == "hang":
        toy.lab_faults["core2"].db_delay["sync"] = 700.0

    assert (await toy.apply()).result == "applied"
    assert toy.is_whole()
    assert toy.commands("join") == [("core2", "join"), ("core3", "join")]


async def test_failing_before_the_first_remove_disturbs_nobody(make: Make) -> None:
    """A backup that cannot be made ends the run, with the cluster as it was."""
    toy = make()
    toy.lab_faults["core2"].store_full = True
    toy.sessions["core2"].on_put = lambda _, content: content

    result = await toy.apply()

    assert (result.result, result.by_hand) == ("rolled-back", ())
    assert "no backup was made: no space left" in (result.why or "")
    assert toy.commands() == []
    assert toy.memory.noted(["main"]) == {}


async def test_the_primary_moves_before_the_first_remove(make: Make) -> None:
    """The last look sees that another node is primary by now: nothing is disturbed, nothing is noted."""
    toy = make()
    when(toy, "database cluster status", lambda: toy.network.promote("core3"), server="core1")

    result = await toy.apply()

    assert result.result == "rolled-back"
    assert "names core3 as the primary, not core1" in (result.why or "")
    assert toy.commands() == []
    assert toy.memory.noted(["main"]) == {}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("%%%", "core2: its database status could not be read"),
        ("Unknown command", "core2: it has no database cluster to ask for"),
        ("Status : Removing", "a database command is at work on core2"),
        ("Status : Enabled\nNodes:\n 10.0.0.11 : Connected Replica ( In Sync )\n", "core2 names nobody as the primary"),
        (None, "core2: its database status could not be read: the connection ended"),
    ],
)
async def test_a_member_that_is_unclear_at_the_last_look(make: Make, answer: str | None, why: str) -> None:
    """Unknown answers stop the run before the first remove; a member in doubt is not passed over."""
    toy = make()

    def unclear() -> None:
        told = toy._answer
        toy._answer = lambda name, typed: (
            told(name, typed) if (name, typed) != ("core2", "database cluster status") or answer is None else answer
        )
        if answer is None:
            toy.faults["core2", "database cluster status"] = ["cut"]

    when(toy, "database cluster status", unclear, server="core1")

    result = await toy.apply()

    assert why in (result.why or "")
    assert (result.result, toy.commands()) == ("rolled-back", [])


async def test_members_that_have_not_talked_for_long(make: Make) -> None:
    """With expired certificates only the primary itself says that it is; who named nobody before may do so still."""
    toy = make(primary="core2")
    rows = toy.rows()["core2"]
    toy.waited += 20 * 86400
    assert {each.guard for each in (await toy.plan()).plan.refusals} >= {"primary-unclear", "database-replica-behind"}

    assert (await toy.apply()).result == "applied"
    assert toy.is_whole()
    assert toy.commands("initialize") == [("core2", "initialize")]
    assert toy.network.lost(rows) == frozenset()


async def test_a_primary_that_left_before_the_last_look(make: Make) -> None:
    """A primary that is in no cluster itself holds nothing for certain."""
    toy = make(nodes=("core1",), clients=())
    told = toy._answer

    def leave() -> None:
        toy._answer = lambda name, typed: (
            "Status : Disabled\n" if typed == "database cluster status" else told(name, typed)
        )

    when(toy, "database cluster status", leave)

    assert "core1 does not say that it is the primary" in ((await toy.apply()).why or "")
    assert toy.commands() == []


async def test_a_note_that_cannot_be_written(make: Make, tmp_path: Path) -> None:
    """Without the note on disk the first remove is not sent, and the run ends whole."""
    toy = make()
    (tmp_path / "databases").write_bytes(b"in the way")
    planned = await make_plan_without_memory(toy)

    result = await toy.apply(planned)

    assert result.result == "rolled-back"
    assert "the note about the primary cannot be written" in (result.why or "")
    assert toy.commands() == []


async def make_plan_without_memory(toy: ToyDatabases) -> object:
    """Plan as if nothing was noted."""
    memory, toy.memory = toy.memory, type(toy.memory)(toy.folder / "elsewhere", "toy")
    planned = await toy.plan()
    toy.memory = memory
    return planned


async def test_a_note_that_cannot_be_removed_is_told(make: Make) -> None:
    """The cluster is proven, so the run is applied; what is left behind is said."""
    toy = make()

    def stuck(_database: str) -> None:
        raise JournalError("x.json: the note about the primary cannot be removed: no")

    toy.memory.forget = stuck
    result = await toy.apply()

    assert result.result == "applied"
    assert [step.why for step in result.steps if step.why] == [
        "x.json: the note about the primary cannot be removed: no"
    ]


BY_HAND = (
    ("core3", ("database cluster join 10.0.0.11",)),
    (CLIENT, ("database cluster connect 10.0.0.11",)),
    ("core1", ("database cluster status",)),
    ("core2", ("database cluster status",)),
    ("core3", ("database cluster status",)),
    (CLIENT, ("database cluster status",)),
)


@pytest.mark.parametrize(
    ("fault", "why", "waited"),
    [
        ("db_fail", "database cluster join 10.0.0.11 has failed: Couldn't attach to the database cluster", 60),
        ("db_hang", "database cluster join 10.0.0.11 is still at work", 900),
    ],
)
async def test_a_join_that_fails_or_hangs(make: Make, fault: str, why: str, waited: int) -> None:
    """The wait is bounded, the run says what remains, in the order in which it has to be typed; nothing is lost."""
    toy = make(lab_faults={"core3": Faults(**{fault: ("database cluster join",)})})
    rows = toy.rows()["core1"]

    result = await toy.apply()

    assert result.result == "neither"
    assert why in (result.why or "")
    assert "apply again goes on from here" in (result.why or "")
    assert result.by_hand == BY_HAND
    assert waited - 60 < toy.waited < waited + 60
    assert outcomes(toy, "join") == {"core2": "done", "core3": "left"}
    assert toy.network.lost(rows) == frozenset()
    assert toy.memory.noted(["main"])["main"].server == "core1"


async def test_by_hand_keeps_the_order_across_servers(make: Make) -> None:
    """When the first node does not leave, everything behind stands there in the plan's order."""
    toy = make(lab_faults={CLIENT: Faults(db_fail=(REMOVE,))})

    result = await toy.apply()
    servers = [server for server, _ in result.by_hand]

    assert result.result == "neither"
    assert servers[:4] == [CLIENT, "core2", "core3", "core1"]
    assert result.by_hand[3] == (
        "core1",
        (REMOVE, *(line for line in result.by_hand[3][1][1:])),
    )
    assert [lines for server, lines in result.by_hand if server == "core2"][1][0].startswith("database cluster certs ")
    assert outcomes(toy, REMOVE) == {CLIENT: "left"}


async def test_a_refusal_in_words_is_a_failure(make: Make) -> None:
    """FAILURE and unknown commands end the step at once; silence is settled by the status."""
    toy = make()
    toy.faults["core2", REMOVE] = ["failure"]
    assert "was answered with FAILURE" in ((await toy.apply()).why or "")

    quiet = ToyDatabases(folder=toy.folder / "other")
    quiet.faults["core2", REMOVE] = ["lie"]
    result = await quiet.apply()
    assert "it is still part of a cluster" in (result.why or "")
    assert quiet.waited >= 180


async def test_the_estimate_of_the_inventory_lengthens_the_wait(make: Make) -> None:
    """Five times what the inventory says a database needs, where that is longer."""
    toy = make(policy=Policy(seconds={"database": 100}))
    toy.faults["core2", REMOVE] = ["lie"]
    await toy.apply()

    assert toy.waited >= 500


async def test_certificates_that_are_not_taken(make: Make) -> None:
    """A screen that shows other files after certs than those that were typed stops the node."""
    toy = make()
    typed: list[str] = []
    when(toy, "database cluster localnode a", lambda: typed.append("x"))

    def refuse(name: str, line: str) -> str:
        if name == "core2" and line.startswith("database cluster certs"):
            node = toy.network.node("core2")
            node.names = ("other.key", "other.crt", "c.key", "c.crt", "ca.crt")
            return ""
        return told(name, line)

    told = toy._answer
    toy._answer = refuse
    result = await toy.apply()

    assert result.result == "neither"
    assert "its database works on other.key, other.crt, c.key, c.crt, ca.crt, not on dbserver-" in (result.why or "")


async def test_a_member_that_changed_under_way(make: Make) -> None:
    """Somebody else joins a cluster again before it is initialised: a second cluster never comes to life."""
    toy = make()

    def reply(name: str, line: str) -> object:
        if line.startswith("database cluster localnode") and name == CLIENT:
            toy._answer = lambda who, typed: (
                "Status : Enabled\nNodes:\n 10.0.0.12 (me) : Connected Primary\nNode in use : 10.0.0.12\n"
                if (who, typed) == ("core2", "database cluster status")
                and toy.commands("initialize") == []
                and outcomes(toy, "localnode").get(CLIENT)
                else told(who, typed)
            )
        return told(name, line)

    told = toy._answer
    toy._answer = reply
    result = await toy.apply()

    assert result.result == "neither"
    assert toy.commands("initialize") == []


async def test_a_server_that_is_not_as_planned_is_not_touched(make: Make, tmp_path: Path) -> None:
    """Right before a command the server is looked at once more: in no cluster any more, or in one after all."""
    toy = make()
    planned, observed = await toy.plan(), await toy.observe()
    toy._carry_out(CLIENT, REMOVE)
    toy.waited += 60
    toy.typed.clear()
    result = await toy.run(planned.plan, planned, observed, tmp_path)
    assert "it is not part of a cluster any more" in (result.why or "").replace("database cluster", "cluster")
    assert (result.result, toy.commands()) == ("rolled-back", [])


async def test_steps_need_a_place_for_what_outlives_them(make: Make, tmp_path: Path) -> None:
    """Without places for backups and note, and for servers that are no members, a rebuild does not begin."""
    toy = make()
    planned = await toy.plan()
    observed = await toy.observe()
    (tmp_path / "runs" / "x").mkdir(parents=True)
    desired = toy.desired()

    toy.desired = lambda: replace(desired, databases=())
    with pytest.raises(InputError, match="the server is no member of a database of the inventory"):
        await toy.run(planned.plan, planned, observed, tmp_path / "runs" / "x")
    toy.desired = lambda: replace(desired, databases=(replace(desired.databases[0], name="other"),))
    with pytest.raises(InputError, match="the server is no member of database main"):
        await toy.run(planned.plan, planned, observed, tmp_path / "runs" / "x")
    assert toy.commands() == []


async def test_soft_stop_before_the_first_remove(make: Make) -> None:
    """The cluster still stands, so nothing more is begun."""
    toy = make()
    when(toy, "database cluster status", toy.stop.soft)
    result = await toy.apply()

    assert (result.result, result.by_hand, toy.commands()) == ("interrupted", (), [])


async def test_soft_stop_after_the_first_remove_goes_on(make: Make) -> None:
    """A cluster that is taken down is built up first, and the result says so."""
    toy = make()
    when(toy, REMOVE, toy.stop.soft, server="core2")
    result = await toy.apply()

    assert toy.is_whole()
    assert (result.result, result.by_hand) == ("applied", ())


async def test_hard_stop_is_continued_by_the_next_run(make: Make) -> None:
    """What was in hand is left with the lines that remain; the next run goes on with the noted primary."""
    toy = make()
    rows = toy.rows()["core1"]
    toy.faults["core1", REMOVE] = ["hang"]
    when(toy, REMOVE, lambda: asyncio.get_running_loop().call_later(0.01, toy.stop.hard), server="core1")
    result = await toy.apply()

    assert result.result == "interrupted"
    assert result.by_hand[0] == ("core1", result.by_hand[0][1])
    assert result.by_hand[0][1][0] == REMOVE
    again = replace_stop(toy)
    assert (await again.apply()).result == "applied"
    assert (again.is_whole(), again.network.lost(rows)) == (True, frozenset())


def replace_stop(toy: ToyDatabases) -> ToyDatabases:
    """Start the tool anew."""
    toy.stop, toy.on_event, toy.kill_at = type(toy.stop)(), None, None
    return toy


async def test_hard_stop_believes_what_reads_back_as_done(make: Make) -> None:
    """The last line was carried out although its answer never came."""
    toy = make()
    told = toy._answer

    def reply(name: str, line: str) -> object:
        if (name, line) == ("core1", "database cluster initialize"):
            told(name, line)
            toy.waited += 60
            return _forever
        return told(name, line)

    toy._answer = reply
    when(toy, "database cluster initialize", lambda: asyncio.get_running_loop().call_later(0.05, toy.stop.hard))
    await toy.apply()

    assert outcomes(toy, "initialize") == {"core1": "done"}


async def _forever() -> str:
    await asyncio.Event().wait()
    return ""


@pytest.mark.parametrize("kind", [BackupDatabase, ConfirmPrimary, ProveCluster])
async def test_hard_stop_in_a_look(make: Make, kind: type) -> None:
    """A look or a backup that was cut off proves nothing."""
    toy = make()
    step = next(step for step in (await toy.plan()).plan.steps if isinstance(step.action, kind))

    def look(event: Event) -> None:
        if isinstance(event, CommandSent) and event.step == step.id:
            toy.faults[step.server, event.typed] = ["hang"]
            asyncio.get_running_loop().call_later(0.02, toy.stop.hard)

    toy.on_event = look
    result = await toy.apply()
    assert result.result == "interrupted"


KILLS = 8
"""Parts of the events at which a run is killed: a test takes every eighth."""


@pytest.mark.unwatched
@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, KILLS + 1))
async def test_killed_anywhere_and_started_again(tmp_path: Path, first: int) -> None:
    """The process ends at any event and is started again: one cluster, whole, with every row, and no note left."""
    for kill_at in count(first, KILLS):
        toy = ToyDatabases(folder=tmp_path / str(kill_at))
        toy.kill_at = kill_at
        rows = toy.rows()["core1"]
        try:
            await toy.apply()
            break
        except Killed:
            toy.kill_at = None
        await settle(toy, kill_at)
        assert (toy.is_whole(), toy.network.lost(rows), toy.memory.noted(["main"])) == (True, frozenset(), {}), kill_at
    assert kill_at > 200


async def settle(toy: ToyDatabases, kill_at: int) -> None:
    """Start it until there is nothing to do; three starts are enough."""
    for _ in range(3):
        toy.waited += 60
        planned = await toy.plan()
        if not planned.plan.steps:
            break
        assert (await toy.apply(planned)).result == "applied", kill_at


@pytest.mark.parametrize(
    ("names", "content", "why"),
    [
        ([".bak", ".json"], None, ".bak after the backup"),
        ([".json"], None, ".json after the backup"),
        ([".bak"], b"", "is empty: that is no backup"),
    ],
)
async def test_a_backup_that_is_not_whole(make: Make, names: list[str], content: bytes | None, why: str) -> None:
    """A file that is missing or empty is no backup, and nothing of it stays behind here."""
    toy = make()

    def lose(event: Event) -> None:
        if isinstance(event, CommandSent) and event.typed.startswith("sftp get") and event.server == "core2":
            store = toy.sessions["core2"].store
            for name in [name for name in store if name.endswith(tuple(names)) and name.startswith("main-")]:
                del store[name]
                if content is not None:
                    store[name] = content

    toy.on_event = lose
    result = await toy.apply()

    assert why in (result.why or "")
    assert (result.result, toy.commands()) == ("rolled-back", [])
    assert not [path for path in backups(toy.folder) if path.parent.name == "core2" and path.suffix in names]


async def test_a_backup_that_cannot_be_kept(make: Make, tmp_path: Path) -> None:
    """No room here ends the run before anything is disturbed."""
    toy = make()
    planned, observed = await toy.plan(), await toy.observe()
    (tmp_path / "backups").write_bytes(b"in the way")
    result = await toy.run(planned.plan, planned, observed, tmp_path)

    assert "the backup cannot be written" in (result.why or "")
    assert (result.result, toy.commands()) == ("rolled-back", [])


@pytest.mark.parametrize(("answer", "applied"), [("x.bak ready for download", True), ("", False)])
async def test_a_backup_of_yesterday_is_none(make: Make, answer: str, *, applied: bool) -> None:
    """Files that were there before under that name count only when the server says that it made new ones."""
    toy = make()
    planned = await toy.plan()
    name = next(step.action.name for step in planned.plan.steps if isinstance(step.action, BackupDatabase))
    for ending in (".bak", ".json"):
        toy.sessions["core3"].store[f"{name}{ending}"] = b"yesterday"
    told = toy._answer
    toy._answer = lambda who, typed: answer if (who, typed[:6]) == ("core3", "backup") else told(who, typed)

    result = await toy.apply(planned)

    assert (result.result == "applied") is applied
    assert ("nothing says that a new one was made" in (result.why or "")) is not applied


async def test_a_schema_that_could_not_be_upgraded(make: Make) -> None:
    """The error is cleared, the schema upgraded on the primary, the cluster proven; nobody leaves (T-51)."""
    toy = make()
    await toy.apply()
    toy.network.node("core2").error = "Couldn't upgrade the schema"
    toy.typed.clear()

    assert (await toy.apply()).result == "applied"
    assert toy.commands() == [("core2", "clear_error"), ("core1", "upgrade_schema")]
    assert (await toy.plan()).plan.steps == ()


async def test_a_failure_of_an_earlier_run_is_not_ours(make: Make) -> None:
    """What stood there as failed before the same command was sent is believed again only after a while."""
    toy = make()
    line = "database cluster join 10.0.0.11"
    told = toy._answer
    stale = {"left": 2}

    def reply(name: str, typed: str) -> object:
        if (name, typed) == ("core2", "database cluster status") and toy.commands("certs")[-1:] and stale["left"]:
            if toy.commands("join"):
                stale["left"] -= 1
            if toy.commands("initialize"):
                return f"Status : Disabled\nInterface : a\nLast command : '{line}' (Failed)\n"
        return told(name, typed)

    toy._answer = reply
    assert (await toy.apply()).result == "applied"
    assert toy.commands("join") == [("core2", "join"), ("core3", "join")]


async def test_a_lost_line_before_the_last_is_no_guess(make: Make) -> None:
    """When the line with the certificates is lost, the next one is not sent."""
    toy = make()
    planned = await toy.plan()
    certs = next(step for step in planned.plan.steps if step.action.kind == "db-certs" and step.server == "core2")
    typed = f"database cluster certs {' '.join(certs.action.files.names)}"
    toy.faults["core2", typed] = ["cut"]
    result = await toy.apply(planned)

    assert result.result == "neither"
    assert ("core2", "localnode") not in toy.commands()
    assert result.by_hand[0][0] == "core2"


async def test_a_screen_that_does_not_show_the_files(make: Make) -> None:
    """Outside a cluster a server need not show what was set: that is said, and the cluster proves it."""
    toy = make()
    told = toy._answer

    def hide(name: str, typed: str) -> object:
        shown = told(name, typed)
        alone = typed == "database cluster status" and isinstance(shown, str) and "Nodes" not in shown
        return "Status : Disabled\n" if alone else shown

    toy._answer = hide
    result = await toy.apply()

    assert result.result == "applied"
    assert {step.why for step in result.steps if step.why} == {
        "its status does not show files and interface before the server is in a cluster"
    }


async def test_a_silent_member_is_waited_for(make: Make) -> None:
    """An answer that cannot be had while a command works is no failure yet; at the end of the wait it is one."""
    toy = make()
    when(
        toy,
        REMOVE,
        lambda: toy.faults.setdefault(("core2", "database cluster status"), ["cut"] * 3),
        server="core2",
    )
    assert (await toy.apply()).result == "applied"

    other = ToyDatabases(folder=toy.folder / "other")
    when(
        other,
        REMOVE,
        lambda: other.faults.setdefault(("core2", "database cluster status"), ["cut"] * 500),
        server="core2",
    )
    result = await other.apply()
    assert "its database status could not be read: the connection ended" in (result.why or "")
    assert result.result == "neither"


async def test_a_command_at_work_on_a_member(make: Make) -> None:
    """Where somebody else's command works by now, ours is not sent."""
    toy = make()

    def begin() -> None:
        told = toy._answer
        toy._answer = lambda name, typed: (
            "Status : Attaching\n" if (name, typed) == ("core3", "database cluster status") else told(name, typed)
        )

    when(toy, REMOVE, begin, server="core2")
    result = await toy.apply()

    assert "a database command is at work on core3" in (result.why or "")
    assert ("core3", "remove") not in toy.commands()
    assert result.result == "neither"


async def test_a_database_without_places_is_refused(make: Make) -> None:
    """Whoever runs a plan without saying where backups and note go is told so before anything is sent."""
    toy = make()
    planned, observed = await toy.plan(), await toy.observe()
    with pytest.raises(InputError, match="no place is given for backups"):
        await run_plan(
            planned.plan,
            run="x",
            sessions=toy.sessions,
            observed=observed,
            contents=planned.contents,
            keys={},
            desired=toy.desired(),
            table=(),
            probe=lambda *_: None,
            emit=toy.events.append,
            clock=toy.clock,
            stop=toy.stop,
        )
    assert toy.commands() == []
