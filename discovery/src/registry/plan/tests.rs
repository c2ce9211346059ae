use super::*;

const GOOD: &str = "clusters: [{name: x, cluster: {server: 'https://SERVER'}}]
contexts: [{name: x, context: {cluster: x, user: x}}]
current-context: x
users: [{name: x, user: {token: t}}]
";
const BAD: &str = "exec";

fn target(server: &str) -> Result<Target, Flaw> {
    read_foreign(GOOD.replace("SERVER", server).as_bytes())
}

/// A secret of an age, with servers (or what is bad) by cluster.
fn secret_of(made: i64, clusters: &[(&str, &str)]) -> SecretFact {
    let entries = clusters.iter().map(|(id, server)| {
        let bad = || Err(Flaw::new("users[x].exec", "would run a program", "do not"));
        (
            ClusterId::from(*id),
            if *server == BAD {
                bad()
            } else {
                target(server)
            },
        )
    });
    SecretFact {
        made,
        clusters: entries.collect(),
    }
}

fn run(secrets: &[(&str, SecretFact)], owners: &[(&str, &str)]) -> Plan {
    let secrets = secrets
        .iter()
        .map(|(name, fact)| (Arc::from(*name), fact.clone()))
        .collect();
    let owners = owners
        .iter()
        .map(|(id, secret)| (ClusterId::from(*id), Arc::from(*secret)))
        .collect();
    plan(&"c1".into(), &secrets, &owners)
}

fn owners(plan: &Plan) -> Vec<(&str, &str)> {
    plan.members
        .iter()
        .map(|(id, member)| (id.as_str(), &*member.secret))
        .collect()
}

#[test]
fn each_key_is_a_cluster_and_the_own_one_is_passed_over() {
    let plan = run(
        &[(
            "a",
            secret_of(1, &[("c1", "h1"), ("c2", "h2"), ("c3", "h3")]),
        )],
        &[],
    );
    assert_eq!(owners(&plan), [("c2", "a"), ("c3", "a")]);
    assert_eq!(
        plan.members[&"c2".into()].target,
        Some(target("h2").unwrap())
    );
    assert!(plan.refusals.is_empty());
}

#[test]
fn the_first_secret_keeps_a_cluster_and_the_second_is_adopted_after_it() {
    let (old, new) = (secret_of(1, &[("c2", "h2")]), secret_of(2, &[("c2", "h9")]));
    let both = [("z", old), ("a", new.clone())];
    let by_age = run(&both, &[]);
    assert_eq!(owners(&by_age), [("c2", "z")]);
    assert_eq!(&*by_age.refusals[0].secret, "a");
    assert!(by_age.refusals[0].reason.contains('z'));
    let by_owner = run(&both, &[("c2", "a")]);
    assert_eq!(owners(&by_owner), [("c2", "a")]);
    let alone = run(&[("a", new)], &[("c2", "z")]);
    assert_eq!(owners(&alone), [("c2", "a")]);
    assert!(alone.refusals.is_empty());
}

#[test]
fn a_bad_kubeconfig_is_named_and_costs_nothing_else() {
    let plan = run(&[("a", secret_of(1, &[("c2", BAD), ("c3", "h3")]))], &[]);
    assert_eq!(owners(&plan), [("c3", "a")]);
    let refusal = &plan.refusals[0];
    assert_eq!(
        (&*refusal.secret, refusal.key.as_str(), &*refusal.field),
        ("a", "c2", "users[x].exec")
    );
    assert_eq!(refusal.remedy, "do not");
}

#[test]
fn what_runs_goes_on_when_its_kubeconfig_turns_bad() {
    let plan = run(
        &[
            ("a", secret_of(1, &[("c2", BAD)])),
            ("b", secret_of(2, &[("c2", "h2")])),
        ],
        &[("c2", "a")],
    );
    assert_eq!(owners(&plan), [("c2", "a")]);
    assert_eq!(plan.members[&"c2".into()].target, None);
    assert!(plan.refusals[0].reason.contains("stays in use"));
    assert_eq!(&*plan.refusals[1].secret, "b");
}

#[test]
fn a_good_secret_is_taken_before_an_older_bad_one() {
    let plan = run(
        &[
            ("a", secret_of(1, &[("c2", BAD)])),
            ("b", secret_of(2, &[("c2", "h2")])),
        ],
        &[],
    );
    assert_eq!(owners(&plan), [("c2", "b")]);
    assert_eq!(plan.refusals.len(), 1);
}

#[test]
fn no_secret_is_no_member() {
    assert_eq!(run(&[], &[("c2", "a")]), Plan::default());
}
