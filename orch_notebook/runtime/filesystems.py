"""What kind of file system a path lies on, as far as it matters: whether other machines share it.

SQLite's locks and its memory shared between processes do not hold on a network file system: two processes may both
believe that they alone write, and the file is damaged.  So a store there is refused rather than trusted.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["network_kind"]

#: File systems that several machines write to, by the names Linux gives them.
NETWORK = frozenset(
    """
    nfs nfs4 cifs smb smbfs smb2 smb3 ncpfs afs coda ceph lustre gpfs beegfs pvfs2 orangefs glusterfs davfs fuse.sshfs
    fuse.s3fs fuse.glusterfs fuse.ceph fuse.gcsfuse fuse.goofys fuse.rclone fuse.davfs2 fuse.blobfuse fuse.juicefs
    fuse.smbnetfs fuse.curlftpfs
    """.split()  # noqa: SIM905 - thirty names in quotes are harder to read
)
MOUNTS = Path("/proc/self/mountinfo")


def network_kind(path: Path, mounts: str | None = None) -> str:
    """Return the kind of network file system on which a path lies; nothing if it is local, or nobody can tell.

    Parameters
    ----------
    path : Path
        It need not exist yet.
    mounts : str, optional
        What is mounted where, as Linux tells it; by default what it tells now.

    Examples
    --------
    >>> mounts = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\\n35 21 0:44 / /nets rw shared:1 - nfs4 server:/nets rw"
    >>> network_kind(Path("/nets/ann/.orch"), mounts), network_kind(Path("/netsuke"), mounts)
    ('nfs4', '')
    """
    if str(path).startswith("\\\\"):  # a share, as Windows names it
        return "a Windows share"
    if mounts is None:
        try:
            mounts = MOUNTS.read_text("utf-8", "surrogateescape")
        except OSError:  # no Linux
            return ""
        path = path.resolve()
    found, longest = "", -1
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        place = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        # Of two mounts on one place the later one is seen.
        if len(place) >= longest and path.is_relative_to(place):
            longest, found = len(place), right.split(" ")[0]
    return found if found in NETWORK else ""
