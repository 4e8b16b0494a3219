#!/bin/sh
# Builds each tool of tools.txt into .tools/, unless this version of it is there already.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
tools="$root/.tools"
command -v go >/dev/null || { echo 'Go 1.26.6 or later is missing: https://go.dev/dl' >&2; exit 1; }
mkdir -p "$tools"
grep -v -e '^#' -e '^$' "$here/tools.txt" | while read -r name source settings; do
    package=${source#*:}
    source=${source%%:*}
    [ "$package" != "$source" ] || package=.
    case $source in
        *@*) version="$source $settings" ;;
        *) [ ! -e "$root/$source/Cargo.lock" ] || command -v cargo >/dev/null || { echo "cargo is missing, for $name: https://rustup.rs" >&2; exit 1; }
           version=$(cat "$root/$source"/Cargo.* "$root/$source"/src/*.rs "$root/$source"/go.mod "$root/$source"/go.sum $(ls "$root/$source"/*.go 2>/dev/null) 2>/dev/null | cksum) ;;
    esac
    [ -x "$tools/$name" ] && [ "$(cat "$tools/$name.version" 2>/dev/null)" = "$version" ] && continue
    echo "building $name ($source)"
    case $source in
        *@*) # `go install` names a program after its package.
            # shellcheck disable=SC2086 # one word for each variable
            env $settings GOBIN="$tools/bin" go install "$source"
            package=${source%@*}
            mv "$tools/bin/${package##*/}" "$tools/$name" ;;
        *) if [ -e "$root/$source/Cargo.lock" ]; then
               cargo build --quiet --locked --release --manifest-path "$root/$source/Cargo.toml" --target-dir "$tools/cargo"
               cp "$tools/cargo/release/$name" "$tools/$name"
           else
               (cd "$root/$source" && env $settings go build -o "$tools/$name" "$package")
           fi ;;
    esac
    printf '%s\n' "$version" > "$tools/$name.version"
done
