#!/usr/bin/env bash
# Everything, from data to the run that mien-pocket carries. Give the same command again, and it goes
# on where it was stopped. Hours on two cores. Its steps were run one by one, never all in one call.
#
#   recipes/pocket/make.sh FER_TRAIN.parquet FER_VALIDATION.parquet RAVDESS_FOLDER WORK
set -euo pipefail
[ $# -eq 4 ] || { sed -n '5p' "$0" >&2; exit 2; }
here=$(dirname "$0") train=$1 validation=$2 ravdess=$3 work=$4
mkdir -p "$work"

learn() { # RUN, then what `mien train claip-emo` is given
    local run=$1
    shift
    [ -f "$run/metrics.json" ] || mien train claip-emo --out "$run" "$@"
}

[ -f "$work/faces/faces.jsonl" ] ||
    python "$here/faces.py" "$train" "$validation" --out "$work/faces"
learn "$work/face-1" --config "$here/face.yaml" --data "$work/faces/faces.jsonl"
learn "$work/face-2" --config "$here/face-again.yaml" --data "$work/faces/faces.jsonl" \
    --init "$work/face-1"
learn "$work/face" --config "$here/face-again.yaml" --data "$work/faces/faces.jsonl" \
    --init "$work/face-2" train.mixup=0.3 train.mix_probability=0.5

mien data import ravdess "$ravdess" --out "$ravdess/ravdess.jsonl"
mien data prepare "$ravdess/ravdess.jsonl"
python "$here/voices.py" "$ravdess/ravdess.prepared.jsonl"
voice=(--config "$here/voice.yaml" --data "$ravdess/voices.jsonl") again=(train.epochs=6 train.lr=4e-4)
learn "$work/voice-folds-1" "${voice[@]}" --folds
learn "$work/voice-folds" "${voice[@]}" --folds --init "$work/voice-folds-1" "${again[@]}"
learn "$work/voice-1" "${voice[@]}"
learn "$work/voice" "${voice[@]}" --init "$work/voice-1" "${again[@]}"

python "$here/assemble.py" --face "$work/face" --faces "$work/faces/faces.jsonl" \
    --voice "$work/voice" --folds "$work/voice-folds" --out "$work/run"
echo "$work/run is ready: mien predict CLIP --run $work/run"
