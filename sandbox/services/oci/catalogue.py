"""The public images that the walkthrough quarantines, as data; a scenario can add and replace images.

Versions are from the distributions' releases at the time of the images, so that findings can be real.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sandbox.services.oci.images import DEFAULT_PLATFORMS, Base, ImageSpec
from sandbox.services.oci.packages import Layout, Manager, Package, manager_of


def _packages(manager: Manager, listing: str) -> tuple[Package, ...]:
    return tuple(Package(name, version, manager) for name, version in map(str.split, listing.strip().splitlines()))


def _base(identifier: str, version: str, pretty_name: str, layout: Layout, listing: str = "") -> Base:
    manager = manager_of(layout)
    return Base(
        identifier=identifier,
        version=version,
        pretty_name=pretty_name,
        layout=layout,
        packages=_packages(manager, listing) if manager and listing else (),
    )


BASES: Mapping[str, Base] = {
    "debian:12": _base(
        "debian",
        "12",
        "Debian GNU/Linux 12 (bookworm)",
        "debian",
        """
        base-files 12.4+deb12u8
        bash 5.2.15-2+b7
        coreutils 9.1-1
        dpkg 1.21.22
        libc6 2.36-9+deb12u9
        libgcrypt20 1.10.1-3
        libpam0g 1.5.2-6+deb12u1
        libsystemd0 252.31-1~deb12u1
        perl-base 5.36.0-7+deb12u1
        tar 1.34+dfsg-1.2+deb12u1
        zlib1g 1:1.2.13.dfsg-1
        """,
    ),
    "distroless:12": _base(
        "debian",
        "12",
        "Distroless",
        "distroless",
        """
        base-files 12.4+deb12u8
        netbase 6.4
        tzdata 2024a-0+deb12u1
        """,
    ),
    "alpine:3.19": _base(
        "alpine",
        "3.19.4",
        "Alpine Linux v3.19",
        "alpine",
        """
        alpine-baselayout 3.4.3-r2
        apk-tools 2.14.4-r0
        busybox 1.36.1-r19
        ca-certificates-bundle 20240226-r0
        libcrypto3 3.1.7-r1
        libssl3 3.1.7-r1
        musl 1.2.4_git20230717-r4
        zlib 1.3.1-r0
        """,
    ),
    "alpine:3.20": _base(
        "alpine",
        "3.20.3",
        "Alpine Linux v3.20",
        "alpine",
        """
        alpine-baselayout 3.6.5-r0
        apk-tools 2.14.4-r0
        busybox 1.36.1-r29
        ca-certificates-bundle 20240705-r0
        libcrypto3 3.3.2-r1
        libssl3 3.3.2-r1
        musl 1.2.5-r0
        zlib 1.3.1-r1
        """,
    ),
    "scratch": _base("busybox", "1.37.0", "BusyBox", "none"),
}

WALKTHROUGH: tuple[ImageSpec, ...] = (
    ImageSpec(
        registry="docker.io",
        repository="falcosecurity/falco-no-driver",
        tag="0.39.2",
        base=BASES["debian:12"],
        packages=_packages("dpkg", "falco 0.39.2\nca-certificates 20230311\nlibssl3 3.0.15-1~deb12u1"),
    ),
    ImageSpec(
        registry="docker.io",
        repository="falcosecurity/falco-driver-loader",
        tag="0.39.2",
        base=BASES["debian:12"],
        packages=_packages(
            "dpkg",
            "falco 0.39.2\nca-certificates 20230311\ncurl 7.88.1-10+deb12u8\nbinutils 2.40-2\n"
            "gcc-12 12.2.0-14\nclang-14 1:14.0.6-12\nlibelf1 0.188-2.1\nlibssl3 3.0.15-1~deb12u1\n"
            "linux-libc-dev 6.1.115-1\nmake 4.3-4.1",
        ),
    ),
    ImageSpec(registry="docker.io", repository="falcosecurity/falcoctl", tag="0.10.1", base=BASES["alpine:3.20"]),
    ImageSpec(registry="docker.io", repository="library/busybox", tag="1.37.0", base=BASES["scratch"]),
    ImageSpec(
        registry="ghcr.io",
        repository="kubereboot/kured",
        tag="1.14.0",
        base=BASES["alpine:3.19"],
        packages=_packages("apk", "tzdata 2024a-r0"),
    ),
    ImageSpec(
        registry="registry.k8s.io",
        repository="ingress-nginx/controller",
        tag="v1.11.3",
        base=BASES["alpine:3.20"],
        packages=_packages(
            "apk",
            "curl 8.9.1-r2\ndumb-init 1.2.5-r3\ngeoip 1.6.12-r5\nlibcurl 8.9.1-r2\nlibxml2 2.12.7-r0\n"
            "nghttp2-libs 1.62.1-r0\nopenssl 3.3.2-r1\npcre 8.45-r3\nyajl 2.1.0-r9",
        ),
    ),
    ImageSpec(
        registry="registry.k8s.io",
        repository="ingress-nginx/kube-webhook-certgen",
        tag="v1.4.4",
        base=BASES["distroless:12"],
    ),
)


def image_spec(reference: str, base: str, packages: Mapping[str, str], platforms: Iterable[str] = ()) -> ImageSpec:
    """An image as a scenario declares it.

    :param reference: ``registry/repository:tag``
    :param base: a key of :data:`BASES`
    :param packages: name to version, in the syntax of the base's package manager
    :param platforms: ``os/architecture``; the default ones when empty
    :raises ValueError: when the reference is incomplete, the base is unknown, or it has no package manager for packages
    """
    registry, _, rest = reference.partition("/")
    repository, _, tag = rest.rpartition(":")
    if not (registry and repository and tag):
        raise ValueError(f"{reference!r} is not registry/repository:tag")
    if base not in BASES:
        raise ValueError(f"unknown base {base!r}; known bases: {', '.join(BASES)}")
    manager = manager_of(BASES[base].layout)
    if packages and manager is None:
        raise ValueError(f"base {base!r} has no package manager, so {reference!r} cannot list packages")
    installed = tuple(Package(name, version, manager) for name, version in packages.items()) if manager else ()
    return ImageSpec(
        registry=registry,
        repository=repository,
        tag=tag,
        base=BASES[base],
        packages=installed,
        platforms=tuple(platforms) or DEFAULT_PLATFORMS,
    )


def merged(base: Iterable[ImageSpec], changes: Iterable[ImageSpec]) -> tuple[ImageSpec, ...]:
    """`base` updated with `changes`: an image with the same reference is replaced, others are added."""
    return tuple({spec.reference: spec for spec in (*base, *changes)}.values())
