//! One of a reader's two watches is shut out: pods that it cannot see are not absent.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use scenarios::{
    load::Load,
    report::{Report, Took},
    world::{
        Cluster, World,
        objects::{self, READER},
    },
};
use serde_json::{Value, json};

use crate::{
    reading::{sever, shows},
    setting::{HELLOWORLD, Setting, weighs},
};

pub(super) async fn is_not_empty(
    world: &mut World,
    setting: &Setting,
    report: &Report,
) -> Result<()> {
    let mut load = Load::start(world.cluster("c1").pod("client")?, HELLOWORLD, PACE)?;
    let start = rolls_over_unseen(world, setting, report).await?;

    let moment = SystemTime::now();
    tokio::time::sleep(LOOK).await;
    let answers = load.so_far()?.after(moment);
    let by_pod = answers.by_pod();
    let next = by_pod.get("helloworld-v2-next-0").copied();
    let next = next.with_context(|| format!("v2 does not answer: {by_pod:?}"))?;
    let asked = answers.len();
    report.then(&format!(
        "the new pod answers {next} of {asked} requests all the same"
    ));

    allow_pods(world.cluster("c2")).await?;
    let allowed = SystemTime::now();
    shows(world, "nothing kept", |c2| {
        let notes = c2["notes"].as_array().context("no notes")?;
        ensure!(notes.is_empty() && c2["state"] == "live", "{c2}");
        Ok(())
    })
    .await?;
    weighs(world, 1, 1).await?;
    let true_again = Took(allowed.elapsed()?);
    report.measured(
        "until what is told is true, since pods may be read",
        true_again,
        "30 s",
    );
    let lost = load.finish().await?.after(start).lost().len();
    report.measured(
        "requests lost",
        lost,
        "only those on their way to a pod that ended",
    );
    report.fault(
        "withdrawal",
        "c1's token may not read c2's pods any more, while all pods of a service there are replaced",
        "what was known is kept until the new pods are, and it is said why: the new ones answer; \
         true again when pods may be read",
        format!("the new pod answered {next} of {asked}; true again after {true_again}; {lost} lost"),
    );
    world
        .cluster_mut("c2")
        .scale_up(&setting.v2_next, 3)
        .await?;
    weighs(world, 1, 3).await
}

/// Replaces all pods of v2 while c1 cannot read pods; says when the old ones were deleted.
async fn rolls_over_unseen(
    world: &mut World,
    setting: &Setting,
    report: &Report,
) -> Result<SystemTime> {
    forbid_pods(world.cluster("c2")).await?;
    sever(world)?;
    shows(world, "that it may not read pods", |c2| {
        ensure!(c2["watches"]["pods"].to_string().contains("403"), "{c2}");
        Ok(())
    })
    .await?;
    report.when("c1's token may not read c2's pods any more, and its connections are cut");

    let c2 = world.cluster_mut("c2");
    c2.scale_up(&setting.v2_next, 1).await?;
    let start = SystemTime::now();
    c2.scale_down(&setting.v2, 0, LINGER).await?;
    report.when("all pods of v2 are replaced by a new one, which c1 cannot know");
    let note = shows(world, "what it keeps, and why", |c2| {
        let notes = c2["notes"].as_array().context("no notes")?;
        let kept = notes.iter().filter_map(Value::as_str).find(|note| {
            note.starts_with("service sample/helloworld: the pods that its slices name now")
        });
        Ok(kept.with_context(|| format!("{c2}"))?.to_owned())
    })
    .await?;
    report.then(&format!("it says: {note}"));
    Ok(start)
}

/// c1's token keeps all rights in the cluster but those to its pods; its own discovery is not
/// touched.
async fn forbid_pods(cluster: &Cluster) -> Result<()> {
    let mut role = named(objects::reader_role());
    let resources = role["rules"][0]["resources"].as_array_mut();
    resources
        .context("no resources")?
        .retain(|one| one != "pods");
    let mut binding = named(objects::reader_binding());
    binding["roleRef"]["name"] = json!(NAME);
    let subjects = binding["subjects"].as_array_mut().context("no subjects")?;
    subjects.retain(|one| one["name"] == READER);
    let api = cluster.api();
    api.create::<ClusterRole>(role).await?;
    api.create::<ClusterRoleBinding>(binding).await?;
    rebind(cluster, |one| one["name"] != READER).await
}

async fn allow_pods(cluster: &Cluster) -> Result<()> {
    rebind(cluster, |_| true).await
}

/// Those of the reader's role get it who are wanted.
async fn rebind(cluster: &Cluster, is_wanted: impl Fn(&Value) -> bool) -> Result<()> {
    let whole = objects::reader_binding();
    let name = whole["metadata"]["name"].as_str().context("no name")?;
    let subjects = whole["subjects"].as_array().context("no subjects")?;
    let subjects: Vec<_> = subjects.iter().filter(|one| is_wanted(one)).collect();
    let patch = json!({ "subjects": subjects });
    cluster
        .api()
        .merge::<ClusterRoleBinding>(None, name, &patch)
        .await
}

fn named(mut object: Value) -> Value {
    object["metadata"]["name"] = json!(NAME);
    object
}

const NAME: &str = "reader-without-pods";
const PACE: Duration = Duration::from_millis(10);
/// How long pods serve on after they were deleted.
const LINGER: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_secs(2);
