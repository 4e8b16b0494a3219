"""Patches of a workload, and the images that kustomize renders with them."""

from __future__ import annotations

from dataclasses import dataclass, field

ROLLOUT = "argoproj.io/v1alpha1"
HEAD = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"


def workload(*images: str, name: str = "web", api: str = "apps/v1", kind: str = "Deployment", more: str = "") -> str:
    containers = ", ".join(f"{{name: c{number}, image: '{image}'}}" for number, image in enumerate(images))
    return (
        f"apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}}}\n"
        f"spec: {{template: {{spec: {{containers: [{containers}]{more}}}}}}}\n"
    )


def pod_spec(text: str, head: str = HEAD) -> str:
    """A strategic merge patch of the pod's specification."""
    return f"{head}spec: {{template: {{spec: {{{text}}}}}}}\n"


@dataclass(frozen=True)
class Case:
    """A kustomization with one patch of one workload.

    :ivar images: that kustomize renders; ``None`` when it refuses the patch
    :ivar known: whether this project says so, too; otherwise it reports that it cannot follow
    """

    patch: str
    images: set[str] | None
    target: str = "{kind: Deployment}"
    base: str = field(default_factory=lambda: workload("a:1", "b:1"))
    known: bool = True

    def files(self) -> dict[str, str]:
        target = f"  target: {self.target}\n" if self.target else ""
        return {
            "kustomization.yaml": f"resources: [base.yaml]\npatches:\n- path: patch.yaml\n{target}",
            "patch.yaml": self.patch,
            "base.yaml": self.base,
        }


def merge(patch: str, images: set[str] | None, *, base: str = "", known: bool = True) -> Case:
    return Case(patch, images, "", base or workload("a:1", "b:1"), known)


def operation(text: str, images: set[str] | None, *, known: bool = True) -> Case:
    return Case(f"- {{{text}}}\n", images, known=known)


CONTAINERS = "/spec/template/spec/containers"
NEW = "value: {name: n, image: 'n:1'}"

CASES = {
    # JSON patches.
    "added at the end": operation(f"op: add, path: {CONTAINERS}/-, {NEW}", {"a:1", "b:1", "n:1"}),
    "added in front": operation(f"op: add, path: {CONTAINERS}/0, {NEW}", {"a:1", "b:1", "n:1"}),
    "added by a negative index": operation(f"op: add, path: {CONTAINERS}/-1, {NEW}", {"a:1", "b:1", "n:1"}),
    "added after the end": operation(f"op: add, path: {CONTAINERS}/9, {NEW}", None),
    "replaced": operation(f"op: replace, path: {CONTAINERS}/01, {NEW}", {"a:1", "n:1"}),
    "replaced by a negative index": operation(f"op: replace, path: {CONTAINERS}/-1, {NEW}", {"a:1", "n:1"}),
    "replaced at no place": operation(f"op: replace, path: {CONTAINERS}/-, {NEW}", None),
    "only its image replaced": operation(f"op: replace, path: {CONTAINERS}/0/image, value: 'n:1'", {"n:1", "b:1"}),
    "removed": operation(f"op: remove, path: {CONTAINERS}/0", {"b:1"}),
    "a missing one removed": operation("op: remove, path: /spec/x", None),
    "the whole list": operation(f"op: replace, path: {CONTAINERS}, value: [{{name: n, image: 'n:1'}}]", {"n:1"}),
    "the whole specification": operation(
        "op: replace, path: /spec, value: {template: {spec: {containers: [{name: n, image: 'n:1'}]}}}", {"n:1"}
    ),
    "the whole resource": operation(
        "op: replace, path: '', value: {apiVersion: v1, kind: Pod, metadata: {name: p}, "
        "spec: {containers: [{name: n, image: 'n:1'}]}}",
        {"n:1"},
    ),
    "the first init container": operation(
        "op: add, path: /spec/template/spec/initContainers, value: [{name: n, image: 'n:1'}]", {"a:1", "b:1", "n:1"}
    ),
    "replaced where nothing was": operation(
        "op: replace, path: /spec/template/spec/initContainers, value: [{name: n, image: 'n:1'}]",
        {"a:1", "b:1", "n:1"},
    ),
    "at the end of a missing list": operation(f"op: add, path: /spec/template/spec/initContainers/-, {NEW}", None),
    "an image volume": operation(
        "op: add, path: /spec/template/spec/volumes, value: [{name: v, image: {reference: 'v:1'}}]",
        {"a:1", "b:1", "v:1"},
    ),
    "copied": Case(
        f"- {{op: copy, from: {CONTAINERS}/0, path: {CONTAINERS}/-}}\n"
        f"- {{op: replace, path: {CONTAINERS}/2/image, value: 'n:1'}}\n",
        {"a:1", "b:1", "n:1"},
    ),
    "moved": operation(f"op: move, from: {CONTAINERS}/0/image, path: {CONTAINERS}/1/image", {"a:1"}),
    "tested": Case(
        f"- {{op: test, path: {CONTAINERS}/0/image, value: 'a:1'}}\n- {{op: remove, path: {CONTAINERS}/0}}\n", {"b:1"}
    ),
    "tested in vain": operation(f"op: test, path: {CONTAINERS}/0/image, value: 'x:1'", None),
    "escaped": operation("op: add, path: /spec/a~1b, value: {containers: [{image: 'n:1'}]}", {"a:1", "b:1", "n:1"}),
    "an unknown operation": operation("op: merge, path: /spec, value: {}", None),
    "a pointer without a slash": operation("op: replace, path: spec/x, value: {}", {"a:1", "b:1"}, known=False),
    "JSON": Case(
        '[{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"n","image":"n:1"}}]',
        {"a:1", "b:1", "n:1"},
    ),
    "without a target": Case(f"- {{op: remove, path: {CONTAINERS}/0}}\n", None, ""),
    # Targets.
    "a target that selects nothing": Case(f"- {{op: remove, path: {CONTAINERS}/0}}\n", {"a:1", "b:1"}, "{kind: Job}"),
    "a target of any name": Case(f"- {{op: remove, path: {CONTAINERS}/0}}\n", {"b:1"}, "{name: w.*}"),
    "a target of two names": Case(f"- {{op: remove, path: {CONTAINERS}/0}}\n", {"b:1"}, "{name: 'x|web'}"),
    "a part of a name": Case(f"- {{op: remove, path: {CONTAINERS}/0}}\n", {"a:1", "b:1"}, "{name: eb}"),
    "all of a target": Case(
        f"- {{op: remove, path: {CONTAINERS}/0}}\n",
        {"b:1"},
        "{group: apps, version: v1, kind: Deploy.*, name: '[w]eb', namespace: default}",
    ),
    "a pattern with groups": Case(
        f"- {{op: remove, path: {CONTAINERS}/0}}\n", {"b:1"}, "{name: '(w+)+eb'}", known=False
    ),
    "a target by labels": Case(
        f"- {{op: remove, path: {CONTAINERS}/0}}\n",
        {"b:1"},
        "{labelSelector: 'app in (x, web),tier!=back,!old,app'}",
        workload("a:1", "b:1").replace("{name: web}", "{name: web, labels: {app: web}}"),
    ),
    "a target by other labels": Case(
        f"- {{op: remove, path: {CONTAINERS}/0}}\n", {"a:1", "b:1"}, "{labelSelector: 'app=web'}"
    ),
    "a patch of another name with a target": Case(
        pod_spec("containers: [{name: c0, image: 'n:1'}]", HEAD.replace("web", "x")), {"n:1", "b:1"}
    ),
    "two patches with one target": Case(f"{pod_spec('x: y')}---\n{pod_spec('x: y')}", None),
    # Strategic merge patches.
    "a container changed": merge(pod_spec("containers: [{name: c0, image: 'n:1'}]"), {"n:1", "b:1"}),
    "a container added": merge(pod_spec("containers: [{name: n, image: 'n:1'}]"), {"a:1", "b:1", "n:1"}),
    "an init container added": merge(pod_spec("initContainers: [{name: n, image: 'n:1'}]"), {"a:1", "b:1", "n:1"}),
    "a volume added": merge(pod_spec("volumes: [{name: v, image: {reference: 'v:1'}}]"), {"a:1", "b:1", "v:1"}),
    "a container deleted": merge(pod_spec("containers: [{name: c0, $patch: delete}]"), {"b:1"}),
    "a container deleted that is not there": merge(pod_spec("containers: [{name: x, $patch: delete}]"), {"a:1", "b:1"}),
    "the list replaced": merge(pod_spec("containers: [{$patch: replace}, {name: n, image: 'n:1'}]"), {"n:1"}),
    "the list replaced, said last": merge(
        pod_spec("containers: [{name: n, image: 'n:1'}, {$patch: replace}]"), {"n:1"}
    ),
    "the list deleted": merge(pod_spec("containers: [{$patch: delete}, {name: n, image: 'n:1'}]"), set()),
    "the pod's specification replaced": merge(
        pod_spec("$patch: replace, containers: [{name: n, image: 'n:1'}]"), {"n:1"}
    ),
    "the resource deleted": merge(f"{HEAD}$patch: delete\n", set()),
    "an element replaced": merge(
        pod_spec("containers: [{name: c0, $patch: replace, image: 'n:1'}]"), {"a:1", "b:1"}, known=False
    ),
    "merged, explicitly": merge(pod_spec("containers: [{name: c0, $patch: merge, image: 'n:1'}]"), {"n:1", "b:1"}),
    "an unknown directive": merge(pod_spec("containers: [{name: c0, $patch: x}]"), None),
    "null in place of the list": merge(pod_spec("containers: null"), set()),
    "null in place of an image": merge(pod_spec("containers: [{name: c0, image: null}]"), {"b:1"}),
    "an element without a name": merge(pod_spec("containers: [{image: 'n:1'}]"), set(), known=False),
    "no such resource": merge(pod_spec("x: y", HEAD.replace("web", "other")), None),
    "another version": merge(pod_spec("x: y", HEAD.replace("apps/v1", "apps/v1beta1")), None),
    "the namespace default": merge(
        pod_spec("containers: [{name: c0, image: 'n:1'}]", HEAD.replace("web}", "web, namespace: default}")),
        {"n:1", "b:1"},
    ),
    "two resources in one patch": merge(
        "---\n".join(pod_spec(f"containers: [{{name: {name}, image: '{name}:1'}}]") for name in ("c0", "c1")),
        {"c0:1", "c1:1"},
    ),
    "a list of a custom resource": merge(
        workload("n:1", api=ROLLOUT, kind="Rollout"), {"n:1"}, base=workload("a:1", "b:1", api=ROLLOUT, kind="Rollout")
    ),
    "a null in a custom resource": merge(
        pod_spec(
            "containers: [{name: c0, image: null}]", HEAD.replace("apps/v1", ROLLOUT).replace("Deployment", "Rollout")
        ),
        set(),
        base=workload("a:1", api=ROLLOUT, kind="Rollout"),
    ),
    "a list of an old version": merge(
        workload("n:1", api="extensions/v1beta1"), {"n:1"}, base=workload("a:1", "b:1", api="extensions/v1beta1")
    ),
    # Other manifests.
    "a list of resources": merge(
        pod_spec("containers: [{name: c0, image: 'n:1'}]"),
        {"n:1", "b:1"},
        base="apiVersion: v1\nkind: List\nitems:\n- " + workload("a:1", "b:1").replace("\n", "\n  ").strip() + "\n",
    ),
    "anchors and merge keys": merge(
        pod_spec("containers: [{name: c1, image: 'n:1'}]"),
        {"a:1", "n:1"},
        base=f"{HEAD}x: &c {{image: 'a:1'}}\n"
        "spec: {template: {spec: {containers: [{<<: *c, name: c0}, {<<: [*c], name: c1}]}}}\n",
    ),
    "a resource without an image": merge(
        pod_spec("containers: [{name: c0, image: 'n:1'}]"), {"n:1"}, base=f"{HEAD}spec: {{template: {{spec: {{}}}}}}\n"
    ),
    "a byte order mark": merge("\ufeff" + pod_spec("containers: [{name: c0, $patch: delete}]"), {"b:1"}),
}
