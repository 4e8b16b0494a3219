#!/bin/sh
# Base images for a machine that reaches Debian's packages but no image registry: made with debootstrap, imported into
# the local Docker engine under the names that deployments/Dockerfile and docker-compose.yml use.
#
#     sudo tests/compose/stand-ins/build.sh
#
# They behave like the official ones as far as the stack needs it, hold Debian's own versions, and are for tests only.
# Images that are there are left alone.
set -eu
here=$(dirname "$(realpath "$0")")

base() { # suite: the image debian-stand-in:<suite>
    if docker image inspect "debian-stand-in:$1" >/dev/null 2>&1; then return; fi
    root=$(mktemp -d)
    # Without DEBIAN_MIRROR, debootstrap goes where it always goes.
    debootstrap --variant=minbase --include=ca-certificates "$1" "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >&2
    # Whoever stands between this machine and its package registries is trusted in here too.
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' > "$root/etc/pip.conf"
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    tar -C "$root" --one-file-system -c . | docker import - "debian-stand-in:$1" >/dev/null
    rm -rf "$root"
}

stand_in() { # name of the image, folder, suite
    if docker image inspect "$1" >/dev/null 2>&1; then return; fi
    base "$3"
    docker build --quiet --network host --tag "$1" "$here/$2"
}

stand_in "${PYTHON_IMAGE:-python:3.13.9-slim-trixie}" python trixie
stand_in "${POSTGRES_IMAGE:-postgres:17.6-trixie}" postgres trixie
stand_in "${REDIS_IMAGE:-redis:7.2.11-bookworm}" redis bookworm
