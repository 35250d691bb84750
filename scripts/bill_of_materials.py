#!/usr/bin/env python3
"""Writes what the program is built from, of Cargo.lock and the crates' own files: licences.txt, and sbom.cdx.json (CycloneDX 1.5).

    scripts/bill_of_materials.py TARGET FOLDER
"""

import json
import subprocess
import sys
from pathlib import Path

TARGET, FOLDER = sys.argv[1], Path(sys.argv[2])
ROOT = "scnas-cli"
NAMES = ("licen[cs]e*", "LICEN[CS]E*", "COPYING*", "NOTICE*", "UNLICENSE*", "OFL*")


def cargo(*words):
    return subprocess.run(["cargo", *words], check=True, capture_output=True, text=True).stdout


def packages():
    """The root, and what is linked into it: neither what only builds or tests it, nor what other targets need."""
    tree = cargo(
        *("tree", "--locked", f"--package={ROOT}", f"--target={TARGET}"), *("--edges=normal,no-proc-macro", "--prefix=none", "--format={p}")
    )
    linked = {tuple(line.split()[:2]) for line in tree.splitlines()}
    every = json.loads(cargo("metadata", "--locked", "--format-version=1"))["packages"]
    found = [package for package in every if (package["name"], f"v{package['version']}") in linked]
    root = next(package for package in found if package["name"] == ROOT)
    return root, sorted(found, key=lambda package: (package["name"], package["version"]))


def texts(package):
    folder = Path(package["manifest_path"]).parent
    files = {file for name in NAMES for file in folder.glob(name) if file.is_file()}
    return [file.read_text(errors="replace").strip() for file in sorted(files)]


def component(package):
    name, version = package["name"], package["version"]
    return {
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:cargo/{name}@{version}",
        "licenses": [{"expression": package["license"].replace("/", " OR ")}] if package["license"] else [],
    }


root, found = packages()
others = [package for package in found if package["source"]]
bill = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "version": 1,
    "metadata": {"component": {**component(root), "type": "application"}},
    "components": [component(package) for package in others],
}
(FOLDER / "sbom.cdx.json").write_text(json.dumps(bill, indent=1) + "\n")

# A text that several crates share is there once.
users = {}
for package in others:
    for text in texts(package) or [f"(no file; its manifest says: {package['license']})"]:
        users.setdefault(text, []).append(f"{package['name']} {package['version']}")
own = Path("crates/scnas/src/report/view/niivue/LICENCES.txt").read_text().strip()
users.setdefault(own, []).append("NiiVue and what it bundles")
parts = [f"{', '.join(names)}\n\n{text}\n" for text, names in users.items()]
(FOLDER / "licences.txt").write_text(f"\n{'-' * 80}\n\n".join(parts))
print(f"{len(others)} crates, {len(users)} texts")
