"""Ask pip-audit which packages have known vulnerabilities, and say plainly of which nothing could be asked.

pip-audit itself ends well where its source knows none of the packages, as behind a mirror that serves files only.

Exit codes: 0 nothing is known against any package, 1 something is, 3 not all could be asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

KNOWN, NOT_ASKED = 1, 3


def main(requirements: str) -> int:
    """Audit a file of pinned requirements; print what is known."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", requirements, "--require-hashes", "--disable-pip"]
    options = ["--format", "json", "--progress-spinner", "off"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)  # noqa: S603
    try:
        report = json.loads(done.stdout)
    except ValueError:
        cause = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1][:300]
        print(f"Nothing was looked up, so nothing is said of any package: {cause}", file=sys.stderr)
        return NOT_ASKED
    lines, code = judge(report)
    print("\n".join(lines))
    return code


def judge(report: dict[str, Any]) -> tuple[list[str], int]:
    """Return what to say of a report of pip-audit, and the exit code."""
    packages = report["dependencies"]
    unasked = [package["name"] for package in packages if "skip_reason" in package]
    known = [(package, vulnerability) for package in packages for vulnerability in package.get("vulns", [])]
    lines = [
        f"{package['name']} {package['version']}: {vulnerability['id']}, mended in "
        + (", ".join(vulnerability["fix_versions"]) or "no version yet")
        for package, vulnerability in known
    ]
    asked = len(packages) - len(unasked)
    lines.append(f"{asked} of {len(packages)} packages were looked up; {len(known)} vulnerabilities are known.")
    if unasked:
        lines.append(
            f"The data of {len(unasked)} cannot be had here, so nothing is said of them: {_shortened(unasked)}"
        )
    return lines, KNOWN if known else NOT_ASKED if unasked else 0


def _shortened(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
