"""Looks for what should not be shipped: licences, sources and known weaknesses of all locked crates and packages.

Databases of weaknesses are online, and cargo-deny is not on every machine: what could not be looked at is said aloud.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What users get and what makes it; frameworks, peers and kits are only tested with.
LOCKS = ("locks/dev.txt", "locks/export.txt")
PIP_AUDIT = (".venv/bin/uv", "tool", "run", "--quiet", "pip-audit@2.10.1")


def main() -> int:
    """Return the exit status: 1 where something was found."""
    return max(audit_crates(), *map(audit_packages, LOCKS))


def audit_crates() -> int:
    if shutil.which("cargo-deny") is None:
        return skip("crates", "cargo-deny is not on this machine (cargo install --locked cargo-deny)")
    status = run("cargo", "deny", "check", "licenses", "bans", "sources")
    if subprocess.run(["cargo", "deny", "fetch", "db"], cwd=ROOT, capture_output=True, check=False).returncode:
        skip("weaknesses of crates", "their database cannot be reached")
        return status
    return max(status, run("cargo", "deny", "check", "advisories"))


def audit_packages(lock: str) -> int:
    options = ("--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json")
    command = [*PIP_AUDIT, *options, "--requirement", lock]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return skip(lock, (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1])
    unknown = [package for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):
        return skip(lock, "the database of weaknesses cannot be reached")
    for package in unknown:
        skip(package["name"], package["skip_reason"])
    found = [(package, weakness) for package in packages for weakness in package.get("vulns", ())]
    for package, weakness in found:
        print(f"{package['name']} {package['version']}: {weakness['id']}, repaired in {weakness['fix_versions']}")
    print(f"{lock}: {len(packages) - len(unknown)} packages looked at, {len(found)} known weaknesses")
    return int(bool(found))


def run(*command: str) -> int:
    return min(1, subprocess.run(command, cwd=ROOT, check=False).returncode)


def skip(what: str, why: str) -> int:
    print(f"SKIPPED {what}: {why}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
