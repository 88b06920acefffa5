#!/bin/sh
# Writes .env beside compose.yaml: every secret of .env.example with a random value, readable by its owner alone.
# One that is there stays: the servers' data depend on its values.
set -eu
cd "$(dirname "$0")"
umask 077
if [ -e .env ]; then
  echo "$PWD/.env is there and stays as it is; remove it, and the volumes with it, to begin anew" >&2
  exit 3
fi

# N random bytes in hexadecimal: no URL and no shell needs them quoted.
random() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }

while IFS= read -r line; do
  case $line in
    RD360_S3_ACCESS_KEY=) echo "$line$(random 10)" ;; # MinIO takes 20 characters at most
    RD360_*=) echo "$line$(random 24)" ;;
    *) echo "$line" ;;
  esac
done <.env.example >.env.part
mv .env.part .env
echo "Wrote $PWD/.env" >&2
