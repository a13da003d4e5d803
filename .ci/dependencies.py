"""Known vulnerabilities among the pinned packages, by pip-audit in an environment of its own.

Exit status 1 if a pin has one. Where the network does not let packages be looked up, it says so, aloud, and passes.
"""

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = f"{folder}/bin/python"
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pip-audit"]
        done = subprocess.run(install, capture_output=True, text=True)
        if done.returncode:
            print(f"DEPENDENCIES NOT AUDITED: pip-audit cannot be installed here ({done.stderr.strip()[-200:]})")
            return 0
        audit = [python, "-m", "pip_audit", "-r", str(LOCK), "--no-deps", "--disable-pip", "--format", "json"]
        done = subprocess.run(audit, capture_output=True, text=True, timeout=600)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"DEPENDENCIES NOT AUDITED: pip-audit says {done.stderr.strip()[-300:]}")
        return 0
    skipped = [p["name"] for p in packages if "skip_reason" in p]
    bad = [p for p in packages if p.get("vulns")]
    for package in bad:
        known = ", ".join(
            f"{v['id']} (fixed in {', '.join(v['fix_versions']) or 'nothing yet'})" for v in package["vulns"]
        )
        print(f"{package['name']} {package['version']}: {known}")
    print(f"{len(packages) - len(skipped)} pinned packages audited, {len(bad)} with known vulnerabilities")
    if skipped:
        few = ", ".join(skipped[:5])
        print(f"DEPENDENCIES NOT AUDITED: {len(skipped)} are not to be looked up from here ({few}, ...)")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
