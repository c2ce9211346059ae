use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use time::OffsetDateTime;

use super::*;
use crate::{
    error::Error,
    hierarchy::{Ca, Tier, create_root},
    identity::SpiffeId,
};

const DAY: Duration = Duration::from_secs(86_400);

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn id() -> SpiffeId {
    "spiffe://cluster.local/ns/sample/sa/client"
        .parse()
        .unwrap()
}

fn ca() -> Ca {
    let root = create_root("cluster.local", 1, 10 * DAY, now()).unwrap();
    root.create_below(Tier::Intermediate("c1"), 1, 5 * DAY, now())
        .unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_ca_is_read_as_it_was_written_and_only_its_owner_reads_it() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("deep/ca");
    let ca = ca();
    ca.write(&dir).unwrap();
    for name in [CA_CERT, CA_KEY, CHAIN, ROOTS] {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
        assert!(dir.join(name).symlink_metadata().unwrap().is_file());
    }
    assert_eq!(mode(&dir), 0o700);
    let again = Ca::read(&dir, now()).unwrap();
    assert_eq!(again.certificate(), ca.certificate());
    assert_eq!(again.bundle(), ca.bundle());
    assert_eq!(again.chain().count(), 1);
}

#[test]
fn a_root_directory_is_complete_too() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("root");
    let root = create_root("cluster.local", 1, DAY, now()).unwrap();
    root.write(&dir).unwrap();
    assert_eq!(Ca::read(&dir, now()).unwrap().chain().count(), 0);
}

#[test]
fn a_ca_is_never_overwritten_and_an_empty_directory_is_used() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("ca");
    fs::create_dir(&dir).unwrap();
    let first = ca();
    first.write(&dir).unwrap();
    let error = ca().write(&dir).unwrap_err();
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
    assert_eq!(
        Ca::read(&dir, now()).unwrap().certificate(),
        first.certificate()
    );
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing half-written stays: {left:?}");
}

#[test]
fn a_leaf_directory_is_replaced_at_one_moment() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("leaf");
    let ca = ca();
    let mut serials = Vec::new();
    for _ in 0..3 {
        let leaf = ca.issue(&id(), DAY, now()).unwrap();
        leaf.write(&dir, now()).unwrap();
        let read = WorkloadCredential::read(&dir).unwrap();
        assert_eq!(read.leaf(), &leaf.chain[0]);
        assert_eq!(read.identity(), &id());
        serials.push(read.leaf().serial());
        assert_eq!(mode(&dir.join(LEAF_KEY)), 0o600);
    }
    serials.dedup();
    assert_eq!(serials.len(), 3);
    let generations = fs::read_dir(&dir)
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_type().unwrap().is_dir());
    assert_eq!(generations.count(), 1, "old generations are removed");
}

#[test]
fn whoever_reads_while_a_leaf_is_replaced_finds_a_whole_one() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("leaf");
    let ca = ca();
    let write = || {
        let leaf = ca.issue(&id(), DAY, now()).unwrap();
        leaf.write(&dir, now()).unwrap();
    };
    write();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..200).for_each(|_| write());
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            let read = WorkloadCredential::snapshot(&dir);
            assert!(read.is_ok(), "{}", read.err().unwrap());
        }
    });
    WorkloadCredential::read(&dir).unwrap();
}

#[test]
fn a_leaf_is_not_written_over_a_ca_or_over_foreign_files() {
    let place = tempfile::tempdir().unwrap();
    let ca = ca();
    let leaf = ca.issue(&id(), DAY, now()).unwrap();
    let dir = place.path().join("ca");
    ca.write(&dir).unwrap();
    let error = leaf.write(&dir, now()).unwrap_err();
    assert!(error.to_string().contains("key of a CA"), "{error}");

    let dir = place.path().join("foreign");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(LEAF_KEY), "precious").unwrap();
    let error = leaf.write(&dir, now()).unwrap_err();
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
    assert_eq!(fs::read(dir.join(LEAF_KEY)).unwrap(), b"precious");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_read_names_its_file_and_the_next_step() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("leaf");
    let error = WorkloadCredential::read(&dir).unwrap_err().to_string();
    assert!(error.contains("leaf/cert-chain.pem"), "{error}");
    assert!(error.contains("isthmus trust issue"), "{error}");

    let ca = ca();
    ca.issue(&id(), DAY, now())
        .unwrap()
        .write(&dir, now())
        .unwrap();
    let chain = dir.join(CHAIN);
    fs::write(&chain, "nothing").unwrap();
    let error = WorkloadCredential::read(&dir).unwrap_err().to_string();
    assert!(error.contains("cert-chain.pem"), "{error}");

    let other = ca.issue(&id(), DAY, now()).unwrap();
    fs::write(&chain, other.chain_pem()).unwrap();
    let error = WorkloadCredential::read(&dir).unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "a foreign key: {error}");
    assert!(error.to_string().contains("cert-chain.pem"), "{error}");
}

#[test]
fn a_ca_with_the_key_of_another_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("ca");
    ca().write(&dir).unwrap();
    fs::write(dir.join(CA_KEY), ca().key().to_pem()).unwrap();
    let error = Ca::read(&dir, now()).unwrap_err().to_string();
    assert!(error.contains("another key"), "{error}");
    assert!(error.contains("ca-cert.pem"), "{error}");
}

#[test]
fn an_expired_leaf_is_read_because_its_holder_must_start() {
    let place = tempfile::tempdir().unwrap();
    let root = create_root("cluster.local", 1, 10 * DAY, now() - 5 * DAY).unwrap();
    let leaf = root.issue(&id(), DAY, now() - 3 * DAY).unwrap();
    leaf.write(place.path(), now()).unwrap();
    let read = WorkloadCredential::read(place.path()).unwrap();
    assert!(read.not_after() < now());
}

#[test]
fn debug_output_has_no_key() {
    let ca = ca();
    let leaf = ca.issue(&id(), DAY, now()).unwrap();
    let secret = leaf.key.to_pem();
    let body = secret.lines().nth(1).unwrap();
    for text in [
        format!("{ca:?}"),
        format!("{leaf:?}"),
        format!("{:?}", leaf.credential(now()).unwrap()),
    ] {
        assert!(text.contains("redacted") && !text.contains(body), "{text}");
    }
}
