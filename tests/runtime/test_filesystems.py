"""Where a store may lie: local file systems, and not those that several machines write to."""

from __future__ import annotations

from pathlib import Path

import pytest

from orch_notebook.errors import StoreUnavailable
from orch_notebook.runtime import filesystems
from orch_notebook.runtime.filesystems import network_kind
from orch_notebook.runtime.store.sqlite import SqliteStore

MOUNTS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:5 / /proc rw - proc proc rw
35 21 0:44 / /nets rw shared:7 - nfs4 server:/export/nets rw,vers=4.2
36 35 8:3 / /nets/local rw - xfs /dev/sdb rw
37 21 0:50 / /mnt/two\\040words rw - cifs //server/share rw
38 21 0:51 / /data rw - ext4 /dev/sdc rw
39 38 0:52 / /data rw - fuse.sshfs ann@host: rw
a line that says nothing
"""

PLACES = [
    ("/var/lib/orch", ""),
    ("/nets/ann/.orch/orch.db", "nfs4"),
    ("/nets/local/ann", ""),
    ("/netless", ""),
    ("/mnt/two words/orch", "cifs"),
    ("/data/orch", "fuse.sshfs"),
    ("\\\\server\\share\\orch", "a Windows share"),
]


@pytest.mark.parametrize(("path", "kind"), PLACES, ids=[row[0] for row in PLACES])
def test_the_nearest_mount_decides(path, kind):
    """A path is on what is mounted nearest to it, the later of two; names with spaces are understood."""
    assert network_kind(Path(path), MOUNTS) == kind


def test_a_store_on_a_network_is_refused_with_the_way_out(tmp_path, monkeypatch):
    """It is said where the store would lie and what to do, and no file is made there."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:44 / {tmp_path}/home rw - nfs4 server:/x rw\n")
    monkeypatch.setattr(filesystems, "MOUNTS", mounts)
    with pytest.raises(StoreUnavailable, match=r"network file system \(nfs4\).*ORCH_HOME.*ORCH_DATABASE_URL"):
        SqliteStore(tmp_path / "home" / "orch.db")
    assert not (tmp_path / "home").exists()
    SqliteStore(tmp_path / "local" / "orch.db").close()
