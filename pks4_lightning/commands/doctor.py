"""``pks4 doctor``: check this machine and suggest a fix for each problem."""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    parser.description = (
        "Check packages, GPU, decoders, memory, limits, disks and the hub; decode a clip and run a "
        "training step. Prints one line per check and a fix for each failure; exits with status 1 "
        "if a check failed."
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the data set to check")
    parser.add_argument(
        "--json", action="store_true", help="print JSON, for issue reports and programs"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the checks.

    Args:
        arguments: The parsed arguments of the command.

    Returns:
        1 if a check failed.
    """
    from pks4_lightning.doctor import machine, software, trials
    from pks4_lightning.doctor.finding import run_checks

    findings = run_checks(
        [
            ("packages", software.check_packages),
            ("torch", software.check_gpu),
            ("triton", software.check_triton),
            ("decoders", software.check_decoders),
            ("cores", machine.check_cores),
            ("shared memory", machine.check_memory),
            ("open files", machine.check_files),
            ("temporary files", machine.check_temp),
            ("disk", partial(machine.check_disk, Path.cwd())),
            ("data", partial(machine.check_data, arguments.data)),
            ("hub", software.check_hub),
            ("decoding", trials.try_decoding),
            ("bfloat16", trials.try_bfloat16),
            ("training step", trials.try_training_step),
        ]
    )
    if arguments.json:
        rows = [
            {"check": each.check, "ok": each.is_well, "said": each.said, "fix": each.fix}
            for each in findings
        ]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        for each in findings:
            mark = "ok    " if each.is_well else "FAILED"
            sys.stdout.write(f"{mark}  {each.check:<16} {each.said}\n")
            if each.fix is not None:
                sys.stdout.write(f"        {'':<16} fix: {each.fix}\n")
    return int(not all(each.is_well for each in findings))
