#!/usr/bin/env python3
"""Makes btrfs-seed.gz: an empty btrfs file system without its empty blocks. See README.md."""

import gzip
import struct
import subprocess
import sys
import tempfile

SIZE = 128 << 20
NODE = 16384
SUPERS = (0x10000, 0x4000000)
RAW, SUPER, TREE = 0, 1, 2

with tempfile.NamedTemporaryFile() as image:
    image.truncate(SIZE)
    subprocess.run(
        ["mkfs.btrfs", "-q", "-f", "-m", "single", "-d", "single", "-n", str(NODE), image.name],
        check=True,
    )
    data = image.read()

fsid = data[0x10020:0x10030]
pieces, offset = [], 0
while offset < SIZE:
    if offset in SUPERS:
        kind, length = SUPER, 4096
    elif data[offset + 0x20 : offset + 0x30] == fsid:
        kind, length = TREE, NODE
    elif any(data[offset : offset + 4096]):
        kind, length = RAW, 4096
    else:
        offset += 4096
        continue
    pieces.append((offset, kind, data[offset : offset + length]))
    offset += length

out = bytearray(b"TOFTSEED" + struct.pack("<QI", SIZE, len(pieces)))
for offset, kind, blob in pieces:
    out += struct.pack("<QBI", offset, kind, len(blob)) + blob
with open(sys.argv[1] if len(sys.argv) > 1 else "btrfs-seed.gz", "wb") as target:
    target.write(gzip.compress(bytes(out), 9, mtime=0))
print(f"{len(pieces)} pieces, {len(out)} bytes")
