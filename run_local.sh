#!/usr/bin/env bash
# Starts the embedded Bedrock and the gateway on this machine, without an AWS account, until Ctrl-C.
#
#   ./run_local.sh [--scripted] [--port N]
#
# --scripted leaves the local language model out; --port moves the gateway from 8000.
set -euo pipefail
cd "$(dirname "$0")"
source scripts/environment.sh
prepare requirements.txt
case " $* " in *" --scripted "* | *" -h "* | *" --help "*) ;; *) prepare_llm || set -- "$@" --scripted ;; esac
exec .venv/bin/python -m scripts.run_local "$@"
