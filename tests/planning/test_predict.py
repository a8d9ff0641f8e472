"""What a node reads like after an action that the scenarios do not reach."""

from __future__ import annotations

from dataclasses import replace

from cmscert.model.database import DatabaseFiles, DatabaseState
from cmscert.model.observed import Binding, ObservedServer
from cmscert.model.plan import (
    BackupDatabase,
    ConfigureDatabase,
    ConnectCluster,
    Gate,
    LeaveCluster,
    Rebind,
    RemoveFiles,
    Restart,
    RestoreFile,
    SaveFile,
)
from cmscert.model.readings import NOT_ASKED, Known, Unread
from cmscert.planning.predict import predict_action
from cmscert.testing.fleets import ToyFleet, identity

from .conftest import Generation


def held(new: Generation, old: Generation) -> ObservedServer:
    """Read a server that holds one pair and has the old one saved."""
    fleet = ToyFleet()
    core = fleet.server("core1")
    core.wanted["webadmin"] = identity("webadmin", new.material("cluster"))
    core.hold("webadmin", (new.cluster.certificate,))
    core.files["saved.crt"] = (old.cluster.certificate,)
    return core.observe()


def test_restart_with_restores(new: Generation, old: Generation) -> None:
    """The way back of an overwritten file serves the old certificate again."""
    observed = held(new, old)
    bound = observed.screens["webadmin"].value.binding("webadmin")  # type: ignore[union-attr]  # known
    restore = RestoreFile(file=bound.certificate or "", saved_as="saved.crt")

    after = predict_action(observed, Restart(service="webadmin", restores=(restore,)), {})

    assert after.served["webadmin"] == Known((old.cluster.certificate,))
    assert predict_action(observed, restore, {}).content(restore.file).value.name == restore.file  # type: ignore[union-attr]  # known


def test_unread_stays_unread(new: Generation, old: Generation) -> None:
    """Nothing is predicted about what was not read."""
    observed = held(new, old)
    blind = replace(observed, files=Unread("no SFTP"), contents={}, screens={})

    assert predict_action(blind, Restart(service="webadmin"), {}) == blind
    assert predict_action(blind, Rebind(service="webadmin", bindings=()), {}) == blind
    assert predict_action(blind, SaveFile(file="a.crt", saved_as="b.crt"), {}) == blind
    assert predict_action(blind, RemoveFiles(files=("a.crt",)), {}) == blind
    assert predict_action(blind, Gate(opens="services"), {}) == blind


def test_cluster(new: Generation, old: Generation) -> None:
    """Whether a node stands in a cluster and on which files is predicted; looks and backups change nothing."""
    observed = held(new, old)
    files = DatabaseFiles(client_key="k.key", client_certificate="c.crt", ca="ca.crt")

    configured = predict_action(observed, ConfigureDatabase(files=files, interface="a"), {})
    connected = predict_action(configured, ConnectCluster(primary="10.0.0.1"), {})
    gone = predict_action(connected, LeaveCluster(), {})

    assert configured.database == Known(DatabaseState(files=files, interface="a"))
    assert connected.database == Known(DatabaseState(files=files, interface="a", standing=True))
    assert gone == configured
    assert predict_action(observed, BackupDatabase(name="x"), {}) == observed


def test_bound_to_a_file_that_was_not_read(new: Generation, old: Generation) -> None:
    """A slot bound to a file of unknown content serves something unknown."""
    binding = Binding(slot="webadmin", key="k.key", certificate="unknown.crt")

    after = predict_action(held(new, old), Rebind(service="webadmin", bindings=(binding,)), {})

    assert after.served["webadmin"] == NOT_ASKED
