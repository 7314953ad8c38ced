#!/usr/bin/env bash
# Train under SLURM, and continue automatically when a job's time runs out:
#
#   sbatch scripts/slurm.sh --config ssv2 --data.root /data/ssv2
#   sbatch --nodes 2 --ntasks-per-node 8 --gpus-per-node 8 scripts/slurm.sh --config ssv2 \
#       --data.root /data/ssv2 --trainer.devices 8 --trainer.num_nodes 2
#
# Five minutes before the time limit SLURM sends this script a signal, which it passes on. pks4 saves a
# checkpoint and exits with status 143, and the job is queued again. The same happens after a stall
# (status 75). `scancel` sends no such signal, so a cancelled job stays cancelled.
#SBATCH --job-name=pks4
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
set -u

warned=
interrupted=
srun pks4 fit "$@" --ckpt_path auto &
step=$!
trap 'warned=1 interrupted=1; kill -USR1 "$step"' USR1

while :; do # a signal interrupts wait
  interrupted=
  status=0
  wait "$step" || status=$?
  [[ -n $interrupted ]] || break
done

if [[ $status == 75 || ($status == 143 && -n $warned) ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
