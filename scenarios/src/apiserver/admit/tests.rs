use super::*;
use crate::apiserver::registry::Registry;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => unreachable!(),
    }
}

fn service() -> (std::sync::Arc<Kind>, Map<String, Value>) {
    let kind = Registry::new().core("services");
    let sent = json!({
        "metadata": { "name": "x", "uid": "mine", "labels": {}, "generation": 9 },
        "spec": { "ports": [{ "port": 80 }] },
        "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } },
    });
    let mut made = create(&kind, object(sent), Some("a")).unwrap();
    made["spec"]["clusterIP"] = json!("10.96.0.9");
    made["metadata"]["resourceVersion"] = json!("7");
    (kind, made)
}

#[test]
fn only_the_server_writes_what_is_the_servers() {
    let (_, made) = service();
    let metadata = &made["metadata"];
    assert_eq!(metadata["namespace"], "a");
    assert_ne!(metadata["uid"], "mine");
    assert_eq!(metadata["uid"].as_str().unwrap().len(), 36);
    assert!(metadata.get("labels").is_none() && metadata.get("generation").is_none());
    assert_eq!(
        made["status"],
        json!({ "loadBalancer": {} }),
        "its status is written apart"
    );
    let port = json!({ "port": 80, "targetPort": 80, "protocol": "TCP" });
    assert_eq!(made["spec"]["ports"], json!([port]));
}

#[test]
fn a_writer_that_knows_an_older_state_is_refused() {
    let (kind, before) = service();
    let mut wanted = before.clone();
    wanted["metadata"]["resourceVersion"] = json!("6");
    let refused = change(&kind, &before, wanted.clone(), Part::Main).unwrap_err();
    assert_eq!(refused.code().as_u16(), 409);
    wanted["metadata"]["resourceVersion"] = json!("7");
    assert!(change(&kind, &before, wanted.clone(), Part::Main).is_ok());
    wanted["metadata"]["uid"] = json!("another");
    assert!(change(&kind, &before, wanted, Part::Main).is_err());
}

#[test]
fn the_status_and_the_rest_are_written_apart() {
    let (kind, before) = service();
    let mut wanted = before.clone();
    wanted["spec"].as_object_mut().unwrap().remove("clusterIP");
    wanted["spec"]["selector"] = json!({ "app": "x" });
    wanted["status"] = json!({ "loadBalancer": { "ingress": [{ "hostname": "lb" }] } });
    let Fate::Becomes(main) = change(&kind, &before, wanted.clone(), Part::Main).unwrap() else {
        panic!()
    };
    assert_eq!(main["status"], before["status"]);
    assert_eq!(main["spec"]["selector"]["app"], "x");
    assert_eq!(
        main["spec"]["clusterIP"], "10.96.0.9",
        "kept when a writer says none"
    );
    let Fate::Becomes(status) = change(&kind, &before, wanted.clone(), Part::Status).unwrap()
    else {
        panic!()
    };
    assert_eq!(
        (&status["spec"], &status["status"]),
        (&before["spec"], &wanted["status"])
    );
}

#[test]
fn an_object_without_finalizers_that_shall_go_goes() {
    let kind = Registry::new().core("configmaps");
    let sent = json!({ "metadata": { "name": "x", "finalizers": ["a"] } });
    let mut before = create(&kind, object(sent), Some("a")).unwrap();
    let free = |before: &Map<String, Value>| {
        let mut wanted = before.clone();
        wanted["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("finalizers");
        change(&kind, before, wanted, Part::Main).unwrap()
    };
    assert!(matches!(free(&before), Fate::Becomes(_)));
    before["metadata"]["deletionTimestamp"] = json!(now());
    assert!(matches!(free(&before), Fate::Goes(_)));
}

#[test]
fn a_workload_counts_the_changes_of_its_content_only() {
    let kind = Registry::new().builtin("apps", "deployments");
    let sent = json!({
        "metadata": { "name": "x" },
        "spec": {
            "selector": { "matchLabels": { "app": "x" } },
            "template": {
                "metadata": { "labels": { "app": "x" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            },
        },
    });
    let before = create(&kind, object(sent), Some("a")).unwrap();
    assert_eq!(before["metadata"]["generation"], 1);
    let changed = |act: &dyn Fn(&mut Map<String, Value>)| {
        let mut wanted = before.clone();
        act(&mut wanted);
        match change(&kind, &before, wanted, Part::Main).unwrap() {
            Fate::Becomes(after) => after["metadata"]["generation"].clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        changed(&|object| object["metadata"]["labels"] = json!({ "a": "b" })),
        1
    );
    assert_eq!(changed(&|object| object["spec"]["replicas"] = json!(3)), 2);
}
