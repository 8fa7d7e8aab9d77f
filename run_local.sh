#!/usr/bin/env bash
# Starts the embedded Bedrock and the gateway on this machine, without an AWS account, until Ctrl-C. Teams, keys and the
# ledger are in the folder .run-local.
#
#   ./run_local.sh [--scripted] [--port N] [--replicas N]
#
#   --scripted     uses the scripted models only, without the local language model
#   --port N       the gateway listens on port N instead of 8000
#   --replicas N   starts 2 to 4 gateways, at this port and the next ones, with a PostgreSQL that is deleted at the end
set -euo pipefail
cd "$(dirname "$0")"
source scripts/environment.sh

is_scripted=no
arguments=("$@")
port=8000
replicas=1
while [ $# -gt 0 ]; do
  case $1 in
  --scripted) is_scripted=yes && shift ;;
  --port) [[ ${2:-} =~ ^[0-9]+$ && $2 -ge 1 && $2 -le 65535 ]] || stop "--port ${2:-} is not a port: give a number from 1 to 65535" && port=$2 && shift 2 ;;
  --replicas) [[ ${2:-} =~ ^[1-4]$ ]] || stop "--replicas ${2:-} is not a number of gateways: give a number from 1 to 4" && replicas=$2 && shift 2 ;;
  -h | --help) sed -n '2,9s/^# \{0,1\}//p' run_local.sh && exit ;;
  *) stop "unknown argument $1: use --scripted, --port N, --replicas N or --help" ;;
  esac
done

if (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then stop "port $port is in use: choose another one with --port"; fi
prepare requirements.txt
[ "$replicas" = 1 ] || ensure .venv requirements/postgresql.txt || stop "installing requirements/postgresql.txt failed (output above)"
[ $is_scripted = yes ] || prepare_llm || arguments+=(--scripted)
exec .venv/bin/python -m scripts.run_local "${arguments[@]}"
