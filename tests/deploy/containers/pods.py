"""Turns rendered manifests into what Podman 4 runs.

pods.py FOLDER < MANIFESTS writes, for `podman play kube`, the pods that the
controllers of Indexed Jobs would make, a pod a file, FOLDER/NAME.yaml, with the
ConfigMaps; and for `podman secret create` every Secret, FOLDER/NAME.secret.
What Podman 4.3 lacks is made up for here: it knows neither Jobs nor Services,
fills no variables into arguments, publishes every containerPort on the host,
shares emptyDirs of one name between pods, takes variables from secrets of a form
of its own, and mounts Secrets undecoded (hence as ConfigMaps).
"""
import base64
import copy
import json
import pathlib
import sys

import yaml


def values_of(secret):
    values = {key: base64.b64decode(text).decode()
              for key, text in secret.get("data", {}).items()}
    return values | secret.get("stringData", {})


def pod_of(job, index):
    template = copy.deepcopy(job["spec"]["template"])
    name = f"{job['metadata']['name']}-{index}"
    spec = template["spec"]
    spec["hostname"] = name
    own = {v["name"]: f"{name}-{v['name']}" for v in spec["volumes"]}
    for volume in spec["volumes"]:
        volume["name"] = own[volume["name"]]
        if "secret" in volume:
            volume["configMap"] = {"name": volume.pop("secret")["secretName"]}
    for container in spec["containers"]:
        container["args"] = [a.replace("$(JOB_COMPLETION_INDEX)", str(index))
                             for a in container["args"]]
        del container["ports"]
        for mount in container["volumeMounts"]:
            mount["name"] = own[mount["name"]]
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, **template["metadata"]}, "spec": spec}


def main():
    folder = pathlib.Path(sys.argv[1])
    documents = list(yaml.safe_load_all(sys.stdin))
    configs = [d for d in documents if d["kind"] == "ConfigMap"]
    for secret in (d for d in documents if d["kind"] == "Secret"):
        name, values = secret["metadata"]["name"], values_of(secret)
        configs.append({"apiVersion": "v1", "kind": "ConfigMap",
                        "metadata": {"name": name}, "data": values})
        encoded = {key: base64.b64encode(text.encode()).decode()
                   for key, text in values.items()}
        (folder / f"{name}.secret").write_text(json.dumps(encoded))
    for job in (d for d in documents if d["kind"] == "Job"):
        for index in range(job["spec"]["completions"]):
            pod = pod_of(job, index)
            path = folder / f"{pod['metadata']['name']}.yaml"
            path.write_text(yaml.safe_dump_all([*configs, pod]))


main()
