//! No token is good any more, and history goes on without us.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use scenarios::{
    report::{Report, Took},
    world::World,
};

use super::cast::{Cast, Removals, audit};
use crate::reading::{is_shown, shown, shows};

pub(super) async fn is_said_and_survived(
    world: &mut World,
    cast: &mut Cast,
    report: &Report,
) -> Result<()> {
    cast.crowd.leave(20, 0).await?;
    cast.settle().await?;
    let since = SystemTime::now();
    let (stale, asked) = refuse(world, cast, report).await?;
    let told = cast.told_the_truth(since)?;
    let nothing = Removals {
        removed: 0,
        added: 0,
    };
    ensure!(told == nothing, "told: {told:?}");
    report.then("nothing was removed");
    report.fault(
        "credentials",
        "the only token is revoked: 401 for good",
        "stale after 6 s and a heartbeat, said with what to do; nothing removed; retried with \
         backoff",
        format!("stale after {stale}; 0 removed; {asked} requests in {WATCHED:?}"),
    );

    let renewed = cast.renew(world, "token-3").await?;
    let start = Instant::now();
    report.when("the secret has a good token again");
    is_shown(world, "live").await?;
    let live = Took(start.elapsed());
    report.measured("until c2 is live", live, "1 s");
    cast.settle().await?;
    let known = Took(start.elapsed());
    report.measured(
        "until what is known is true",
        known,
        "a list and the debounce",
    );
    let told = cast.told_the_truth(since)?;
    let wanted = Removals {
        removed: 30,
        added: 20,
    };
    ensure!(told == wanted, "told: {told:?}, wanted: {wanted:?}");
    let lists = history_was_gone(world, renewed, report)?;
    report.fault(
        "credentials",
        "a good token comes after it, and the API server has forgotten its history",
        "live after 1 s; each kind listed once; told are the true differences alone",
        format!(
            "live after {live}, true after {known}; {lists} lists; {} removals and {} additions told",
            told.removed, told.added
        ),
    );
    Ok(())
}

/// Ends the only token, and the API server's memory of it and of all history; says after which
/// time c2 was stale, and how often its API server was asked in [`WATCHED`].
async fn refuse(world: &mut World, cast: &mut Cast, report: &Report) -> Result<(Took, usize)> {
    cast.revoke(world).await?;
    world.cluster_mut("c2").stop_api();
    world.cluster_mut("c2").start_api().await?;
    let (begun, back) = (SystemTime::now(), Instant::now());
    report.when("the token is revoked, with no new one, and the API server started anew");
    shows(world, "c2 stale for a 401", |c2| {
        ensure!(c2["state"] == "stale", "{c2}");
        says_what_to_do(c2)
    })
    .await?;
    let stale = Took(back.elapsed());
    report.measured(
        "until c2 is stale, since the API server is back",
        stale,
        "6 s and a heartbeat",
    );
    let reason = shown(world).await?["lastError"].to_string();
    report.then(&format!("it says {reason}"));

    cast.crowd.come(20, 0).await?;
    cast.crowd.leave(30, 1).await?;
    report.when("meanwhile 20 endpoints come and 30 go in c2");
    tokio::time::sleep(WATCHED.saturating_sub(back.elapsed())).await;
    says_what_to_do(&shown(world).await?)?;
    let asked = audit(world)?.since(begun);
    let let_in = asked.iter().filter(|asked| asked.code != 401).count();
    ensure!(let_in == 0, "{let_in} requests were let in");
    let count = asked.iter().count();
    ensure!(count <= MOST_REFUSED, "{count} requests in {WATCHED:?}");
    report.measured(
        &format!("requests in {WATCHED:?} of refusal"),
        count,
        "heartbeats and watches, each with backoff",
    );
    Ok((stale, count))
}

fn says_what_to_do(c2: &serde_json::Value) -> Result<()> {
    let reason = c2["lastError"].as_str().unwrap_or_default();
    let said = reason.contains("401") && reason.contains("put a valid token into the secret");
    ensure!(said, "{c2}");
    Ok(())
}

/// Lists there were only where history was gone: after a try to go on, for the newest state,
/// once; says how many.
fn history_was_gone(world: &World, since: SystemTime, report: &Report) -> Result<usize> {
    let audit = audit(world)?.since(since);
    let lists = audit.lists();
    for list in &lists {
        let version = list.query.get("resourceVersion");
        let newest = list.verb == "list" && version.is_none_or(String::is_empty);
        let tried = audit
            .watches()
            .any(|watch| watch.resource == list.resource && watch.at <= list.at);
        let again = lists
            .iter()
            .filter(|one| one.resource == list.resource && !one.query.contains_key("continue"));
        ensure!(newest && tried && again.count() == 1, "{list:?}");
    }
    ensure!(!lists.is_empty(), "the restart has not cost any history");
    report.then(&format!(
        "history was lost in the restart: {} lists of the newest state, each once, each after \
         a watch that could not go on; told were the 30 removals and 20 additions alone",
        lists.len()
    ));
    Ok(lists.len())
}

/// How long the refusal is looked at.
const WATCHED: Duration = Duration::from_secs(12);
/// Heartbeats after 2 s, 4 s, 8 s, … and for each of seven watches a try after 0.2 s, 0.4 s, …,
/// each wait up to a half shorter.
const MOST_REFUSED: usize = 4 + 7 * 7;
