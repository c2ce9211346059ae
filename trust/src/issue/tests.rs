use time::OffsetDateTime;

use super::*;

const NAME: CaName<'_> = CaName {
    mesh: "cluster.local",
    cluster: None,
    generation: 3,
};

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

fn plan(lifetime: u64, signer_ends: Option<i64>) -> Result<Plan, String> {
    let signer_ends = signer_ends.map(|s| now() + time::Duration::seconds(s));
    let lifetime = Duration::from_secs(lifetime);
    Plan::new(&Profile::Root(NAME), lifetime, now(), signer_ends)
}

#[test]
fn dates_begin_two_minutes_ago_and_end_with_the_signer() {
    let free = plan(600, None).unwrap();
    assert_eq!(free.not_before, now() - time::Duration::minutes(2));
    assert_eq!(free.not_after(), now() + time::Duration::minutes(10));
    assert_eq!(
        plan(600, Some(60)).unwrap().not_after(),
        now() + time::Duration::minutes(1)
    );
    assert_eq!(plan(600, Some(6_000)), Ok(free));
}

#[test]
fn impossible_dates_are_refused() {
    assert!(plan(600, Some(0)).unwrap_err().contains("expired"));
    assert!(plan(0, None).unwrap_err().contains("shorter"));
    assert!(plan(u64::MAX, None).unwrap_err().contains("beyond"));
}

#[test]
fn a_leaf_has_no_name_but_its_identity() {
    let id = "spiffe://td/ns/a/sa/b".parse().unwrap();
    let plan = Plan::new(&Profile::Leaf(&id), Duration::from_secs(60), now(), None).unwrap();
    assert_eq!(plan.common_name, None);
    assert_eq!(plan.organization, None);
    assert_eq!(plan.uri.as_deref(), Some("spiffe://td/ns/a/sa/b"));
    assert_eq!(plan.kind, Kind::Leaf);
}

#[test]
fn serial_numbers_are_positive_and_differ() {
    let (one, two) = (random_serial(), random_serial());
    assert_ne!(one.to_bytes(), two.to_bytes());
    assert!(one.to_bytes()[0] < 0x80 && one.len() == 16);
}
