"""Whether a TaskManager can start with the memory that the files of flink-conf give it, as Flink works it out."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from scripts.stack.processes import ROOT
from tests.support.deployments import ARGUMENTS, COMMENTED, SUGGESTED, flink_options
from tests.support.pythons import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FLINK = PACKAGES / "pyflink"
# What Flink's own config.yaml has beside the one of this project.
OF_FLINK = {"taskmanager.memory.process.size": "1728m"}
MANAGED, WHOLE = "taskmanager.memory.managed.size", "taskmanager.memory.process.size"


def worked_out(given: Mapping[str, object], folder: Path) -> tuple[int, str]:
    """Return how Flink's scripts end that size a TaskManager, and what they say: its Java options, and its memory."""
    (folder / "config.yaml").write_text(yaml.safe_dump({**OF_FLINK, **given}))
    script = '. "$FLINK_HOME/bin/config.sh" && parseTmArgsAndExportLogs && echo "$JVM_ARGS $DYNAMIC_PARAMETERS"'
    home = {"FLINK_HOME": str(FLINK), "_FLINK_HOME_DETERMINED": "true", "FLINK_CONF_DIR": str(folder)}
    variables = {**os.environ, **home}
    done = subprocess.run(["bash", "-c", script], check=False, env=variables, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def megabytes(output: str, before: str) -> list[int]:
    """Return the sizes that stand behind this."""
    return [round(int(size) / 2**20) for size in re.findall(rf"{before}(\d+)", output)]


def test_it_is_what_flink_says_by_itself() -> None:
    """The size that these tests take for Flink's own is the one that its config.yaml has."""
    shipped = yaml.safe_load((FLINK / "conf" / "config.yaml").read_text())
    assert shipped["taskmanager"]["memory"]["process"]["size"] == OF_FLINK[WHOLE]


def test_config_on_a_plain_machine(tmp_path: Path) -> None:
    """config.yaml beside Flink's own leaves the Python workers, and the heap, what its comment says."""
    code, output = worked_out(SUGGESTED, tmp_path)
    assert code == 0, output
    assert (megabytes(output, f"{MANAGED}="), megabytes(output, "-Xmx")) == ([512], [256])


def test_config_at_the_end_of_flinks_own(flinks_java: Any, tmp_path: Path) -> None:
    """As the page says: all of it holds, and what Flink needs from its own stays."""
    texts = [file.read_text() for file in (FLINK / "conf" / "config.yaml", ROOT / "flink-conf" / "config.yaml")]
    (tmp_path / "config.yaml").write_text("\n".join(texts))
    configuration = flinks_java.org.apache.flink.configuration
    read = configuration.GlobalConfiguration.loadConfiguration(str(tmp_path)).toMap()
    assert {name: read[name] for name in SUGGESTED} == {name: str(value) for name, value in SUGGESTED.items()}
    assert {"jobmanager.rpc.address", "jobmanager.memory.process.size", WHOLE, "env.java.opts.all"} <= {*read}


def test_config_with_what_it_has_in_comments(tmp_path: Path) -> None:
    """Both of its sizes hold together, and one without the other does not, as it says."""
    memory = {name: COMMENTED[name] for name in (MANAGED, WHOLE)}
    assert worked_out({**SUGGESTED, **memory}, tmp_path)[0] == 0
    code, output = worked_out({**SUGGESTED, MANAGED: memory[MANAGED]}, tmp_path)
    assert code == 1
    assert "exceed" in output


@pytest.mark.parametrize("where", ARGUMENTS)
def test_deployments(where: str, tmp_path: Path) -> None:
    """What they give the Python workers is there in the size of the container."""
    code, output = worked_out(flink_options(where), tmp_path)
    assert code == 0, output
