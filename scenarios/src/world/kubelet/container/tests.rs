use serde_json::json;

use super::*;

fn pod() -> Pod {
    let reference = |path: &str| json!({ "fieldRef": { "fieldPath": path } });
    let limit = |name: &str| json!({ "resourceFieldRef": { "resource": name, "divisor": "1" } });
    serde_json::from_value(json!({
        "metadata": {
            "name": "gateway-0",
            "namespace": "istio-system",
            "labels": { "app": "gateway", "b": "two \"words\"" },
            "annotations": { "note": "seen" },
        },
        "spec": {
            "serviceAccountName": "gateway",
            "nodeName": "node",
            "initContainers": [
                { "name": "init", "args": ["once"], "securityContext": { "runAsUser": 0 } },
                { "name": "helper", "restartPolicy": "Always" },
            ],
            "containers": [
                { "name": "app" },
                {
                    "name": "istio-proxy",
                    "image": "registry.example/isthmus:1",
                    "args": ["proxy", "--domain", "$(NAMESPACE).svc", "$(UNKNOWN)", "$$(NAMESPACE)"],
                    "env": [
                        { "name": "NAMESPACE", "valueFrom": reference("metadata.namespace") },
                        { "name": "IP", "valueFrom": reference("status.podIP") },
                        { "name": "HOST", "valueFrom": reference("status.hostIP") },
                        { "name": "ACCOUNT", "valueFrom": reference("spec.serviceAccountName") },
                        { "name": "NOTE", "valueFrom": reference("metadata.annotations['note']") },
                        { "name": "CPU", "valueFrom": limit("limits.cpu") },
                        { "name": "MEMORY", "valueFrom": limit("limits.memory") },
                        { "name": "BOTH", "value": "$(IP)@$(NAMESPACE)" },
                    ],
                    "resources": { "limits": { "cpu": "1500m", "memory": "1Gi" } },
                    "securityContext": { "runAsUser": 1337 },
                    "volumeMounts": [{ "name": "token", "mountPath": "/var/run/secrets/tokens" }],
                    "ports": [{ "name": "status", "containerPort": 15021 }],
                    "readinessProbe": { "httpGet": { "path": "/ready", "port": "status" } },
                },
            ],
        },
        "status": { "podIP": "10.10.0.5", "hostIP": "172.31.0.11" },
    }))
    .unwrap()
}

#[test]
fn init_containers_come_first_and_the_sidecar_before_the_application() {
    let all = containers(&pod()).unwrap();
    let order: Vec<_> = all.iter().map(|c| (c.name.as_str(), c.phase)).collect();
    let expected = [
        ("init", Phase::Init),
        ("helper", Phase::Sidecar),
        ("istio-proxy", Phase::Main),
        ("app", Phase::Main),
    ];
    assert_eq!(order, expected);
    assert_eq!(all[0].user, Some(0));
}

#[test]
fn references_are_resolved_and_variables_filled_in() {
    let all = containers(&pod()).unwrap();
    let proxy = all.iter().find(|c| c.name == SIDECAR).unwrap();
    let of = |name: &str| proxy.environment[name].as_str();
    assert_eq!(of("NAMESPACE"), "istio-system");
    assert_eq!((of("IP"), of("HOST")), ("10.10.0.5", "172.31.0.11"));
    assert_eq!((of("ACCOUNT"), of("NOTE")), ("gateway", "seen"));
    assert_eq!((of("CPU"), of("MEMORY")), ("2", "1073741824"));
    assert_eq!(of("BOTH"), "10.10.0.5@istio-system");
    let arguments = [
        "proxy",
        "--domain",
        "istio-system.svc",
        "$(UNKNOWN)",
        "$(NAMESPACE)",
    ];
    assert_eq!(proxy.arguments, arguments);
    assert_eq!(proxy.image, "registry.example/isthmus:1");
    assert_eq!(proxy.user, Some(1337));
    let token = PathBuf::from("/var/run/secrets/tokens");
    assert_eq!(proxy.mounts, BTreeMap::from([(token, "token".to_owned())]));
    let check = proxy.readiness.as_ref().unwrap();
    assert_eq!((check.port, check.path.as_str()), (15021, "/ready"));
}

#[test]
fn labels_are_lines_with_quoted_values() {
    let labels = field(&pod(), "metadata.labels").unwrap();
    assert_eq!(labels, "app=\"gateway\"\nb=\"two \\\"words\\\"\"");
    assert!(field(&pod(), "spec.secrets").is_err());
    assert_eq!(field(&pod(), "metadata.labels['none']").unwrap(), "");
}

#[test]
fn an_unknown_source_is_no_empty_value() {
    let mut pod = pod();
    let source =
        json!({ "name": "X", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } });
    let spec = pod.spec.as_mut().unwrap();
    spec.containers[0].env = Some(vec![serde_json::from_value(source).unwrap()]);
    let error = format!("{:#}", containers(&pod).unwrap_err());
    assert!(error.contains("container app: X"), "{error}");
}
