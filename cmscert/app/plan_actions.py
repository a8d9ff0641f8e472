"""The actions of a saved plan, one form a kind: every key is known and every type fits."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, Field

from cmscert.model import plan as model
from cmscert.model.database import DatabaseFiles
from cmscert.model.observed import Binding

T = TypeVar("T")
Many = Annotated[tuple[T, ...], FailFast()]
"""A list whose first wrong entry is told: a crafted file would have millions, a kilobyte each."""


class Strict(BaseModel):
    """Every key is known, every type fits, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Binding(Strict):
    slot: str
    key: str | None
    certificate: str | None
    bundle: str | None
    tag: str | None


class _Put(Strict):
    kind: Literal["put"]
    file: str
    content: str
    role: Literal["certificate", "key", "bundle"]
    overwrites: bool

    def value(self) -> model.PutFile:
        return model.PutFile(file=self.file, content=self.content, role=self.role, overwrites=self.overwrites)


class _Save(Strict):
    kind: Literal["save"]
    file: str
    saved_as: str

    def value(self) -> model.SaveFile:
        return model.SaveFile(file=self.file, saved_as=self.saved_as)


class _Restore(Strict):
    kind: Literal["restore"]
    file: str
    saved_as: str

    def value(self) -> model.RestoreFile:
        return model.RestoreFile(file=self.file, saved_as=self.saved_as)


class _Check(Strict):
    kind: Literal["check"]
    key: str
    certificate: str
    bundle: str | None

    def value(self) -> model.CheckFiles:
        return model.CheckFiles(key=self.key, certificate=self.certificate, bundle=self.bundle)


class _Rebind(Strict):
    kind: Literal["bind"]
    service: str
    bindings: Many[_Binding]
    stopped: bool
    restores: Many[_Restore]

    def value(self) -> model.Rebind:
        return model.Rebind(
            service=self.service,
            bindings=tuple(Binding(**binding.model_dump()) for binding in self.bindings),
            stopped=self.stopped,
            restores=tuple(restore.value() for restore in self.restores),
        )


class _Restart(Strict):
    kind: Literal["restart"]
    service: str
    restores: Many[_Restore]
    tags: Many[str]

    def value(self) -> model.Restart:
        return model.Restart(
            service=self.service, restores=tuple(restore.value() for restore in self.restores), tags=self.tags
        )


class _Remove(Strict):
    kind: Literal["remove"]
    files: Many[str]

    def value(self) -> model.RemoveFiles:
        return model.RemoveFiles(files=self.files)


class _Gate(Strict):
    kind: Literal["gate"]
    opens: Literal["services", "removal"]

    def value(self) -> model.Gate:
        return model.Gate(opens=self.opens)


class _DatabaseFiles(Strict):
    server_key: str | None
    server_certificate: str | None
    client_key: str | None
    client_certificate: str | None
    ca: str | None


class _DatabaseCerts(Strict):
    kind: Literal["db-certs"]
    files: _DatabaseFiles
    interface: str

    def value(self) -> model.ConfigureDatabase:
        return model.ConfigureDatabase(files=DatabaseFiles(**self.files.model_dump()), interface=self.interface)


class _DatabaseMint(Strict):
    kind: Literal["db-mint"]
    ca: str
    ca_common_name: str
    server: str
    server_common_name: str
    server_sans: Many[str]
    client: str
    client_common_name: str

    def value(self) -> model.MintDatabase:
        return model.MintDatabase(**self.model_dump(exclude={"kind"}))


class _Copy(Strict):
    kind: Literal["copy"]
    file: str
    source: str

    def value(self) -> model.CopyFile:
        return model.CopyFile(file=self.file, source=self.source)


class _DatabaseBackup(Strict):
    kind: Literal["db-backup"]
    name: str

    def value(self) -> model.BackupDatabase:
        return model.BackupDatabase(name=self.name)


class _DatabasePrimary(Strict):
    kind: Literal["db-primary"]
    database: str
    server: str

    def value(self) -> model.ConfirmPrimary:
        return model.ConfirmPrimary(database=self.database, server=self.server)


class _DatabaseProof(Strict):
    kind: Literal["db-prove"]
    database: str
    members: Many[str]

    def value(self) -> model.ProveCluster:
        return model.ProveCluster(database=self.database, members=self.members)


class _DatabaseToPrimary(Strict):
    kind: Literal["db-join", "db-connect"]
    primary: str

    def value(self) -> model.JoinCluster | model.ConnectCluster:
        made = model.JoinCluster if self.kind == "db-join" else model.ConnectCluster
        return made(primary=self.primary)


class _DatabaseCommand(Strict):
    kind: Literal["db-remove", "db-initialize", "db-clear-error", "db-upgrade-schema"]

    def value(
        self,
    ) -> model.LeaveCluster | model.InitializeCluster | model.ClearDatabaseError | model.UpgradeSchema:
        match self.kind:
            case "db-remove":
                return model.LeaveCluster()
            case "db-initialize":
                return model.InitializeCluster()
            case "db-clear-error":
                return model.ClearDatabaseError()
            case "db-upgrade-schema":
                return model.UpgradeSchema()


_Database = (
    _DatabaseMint
    | _Copy
    | _DatabaseBackup
    | _DatabasePrimary
    | _DatabaseCerts
    | _DatabaseToPrimary
    | _DatabaseProof
    | _DatabaseCommand
)
ActionForm = Annotated[
    _Put | _Save | _Restore | _Check | _Rebind | _Restart | _Remove | _Gate | _Database,
    Field(discriminator="kind"),
]
UndoForm = Annotated[_Rebind | _Restart | _Restore, Field(discriminator="kind")]
