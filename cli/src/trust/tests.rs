use std::{fs, time::SystemTime};

use clap::{Parser, error::ErrorKind};

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// Runs a command line in a directory (`@` stands for it); the exit code's being a success,
/// and what was printed.
fn isthmus(place: &Path, line: &str) -> anyhow::Result<(bool, String)> {
    let line = line.replace('@', &place.display().to_string());
    let words = ["trust"].into_iter().chain(line.split_whitespace());
    let (now, mut out) = (SystemTime::now(), Vec::new());
    let command = Line::try_parse_from(words)?.args.command;
    let code = once(command, now, &mut out)?;
    // ExitCode cannot be compared.
    let good = format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS);
    Ok((good, String::from_utf8(out)?))
}

fn mesh(place: &Path, name: &str) {
    for line in [
        format!("init --out @/{name}/root --issuer @/{name}/issuer"),
        format!("intermediate --ca @/{name}/issuer --cluster c1 --out @/{name}/c1"),
        format!(
            "issue --ca @/{name}/c1 --identity spiffe://cluster.local/ns/a/sa/b --out @/{name}/leaf"
        ),
    ] {
        let (good, printed) = isthmus(place, &line).unwrap();
        assert!(good && printed.contains("written to"), "{line}: {printed}");
        assert!(!printed.contains("PRIVATE KEY"));
    }
}

#[test]
fn from_a_root_to_a_leaf_that_is_trusted() {
    let place = tempfile::tempdir().unwrap();
    mesh(place.path(), "m");
    for dir in ["root", "issuer", "c1", "leaf"] {
        let (good, printed) = isthmus(place.path(), &format!("show @/m/{dir}")).unwrap();
        assert!(good && printed.contains("verdict: trusted"), "{printed}");
        assert!(printed.contains("cluster.local root g1"), "{printed}");
        assert!(!printed.contains("PRIVATE KEY"));
    }
    let (_, printed) = isthmus(place.path(), "show @/m/leaf").unwrap();
    let way = "leaf `spiffe://cluster.local/ns/a/sa/b`\n  signed by intermediate `O=cluster.local, CN=cluster.local c1 intermediate g1`\n  signed by intermediate `O=cluster.local, CN=cluster.local issuer g1`\n  signed by root `O=cluster.local, CN=cluster.local root g1`";
    assert!(printed.contains(way), "{printed}");
}

#[test]
fn a_key_made_in_its_cluster_never_leaves_it() {
    let place = tempfile::tempdir().unwrap();
    mesh(place.path(), "m");
    let at = |name: &str| place.path().join(name);
    let run = |line: &str| isthmus(place.path(), line);
    let (_, printed) = run("request --cluster c2 --out @/waiting").unwrap();
    assert!(printed.contains("isthmus trust sign"), "{printed}");
    let sign =
        "sign --ca @/m/issuer --request @/waiting/ca-request.pem --cluster c2 --out @/c2.pem";
    run(sign).unwrap();
    let signed = fs::read_to_string(at("c2.pem")).unwrap();
    assert!(!signed.contains("PRIVATE KEY"));
    let again = run(sign).unwrap_err();
    assert!(
        format!("{again:#}").contains("c2.pem cannot be written"),
        "{again:#}"
    );
    let (_, printed) = run("accept --request @/waiting --signed @/c2.pem --out @/c2").unwrap();
    assert!(
        printed.contains("c2 intermediate g1") && printed.contains("believes"),
        "{printed}"
    );
    let kept = fs::read(at("waiting/ca-key.pem")).unwrap();
    assert_eq!(fs::read(at("c2/ca-key.pem")).unwrap(), kept);
    run("issue --ca @/c2 --identity spiffe://cluster.local/ns/a/sa/b --out @/leaf2").unwrap();
    let show = "show @/leaf2/cert-chain.pem --bundle @/m/root/root-cert.pem";
    assert!(run(show).unwrap().0);
}

#[test]
fn what_was_signed_for_another_key_is_not_accepted() {
    let place = tempfile::tempdir().unwrap();
    mesh(place.path(), "m");
    let run = |line: &str| isthmus(place.path(), line);
    run("request --cluster c2 --out @/one").unwrap();
    run("request --cluster c2 --out @/other").unwrap();
    run("sign --ca @/m/root --request @/one/ca-request.pem --cluster c2 --out @/one.pem").unwrap();
    let error = run("accept --request @/other --signed @/one.pem --out @/c2").unwrap_err();
    assert!(format!("{error:#}").contains("another key"), "{error:#}");
    assert!(!place.path().join("c2").exists());
    fs::copy(
        place.path().join("m/root/root-cert.pem"),
        place.path().join("root.pem"),
    )
    .unwrap();
    let error = run("accept --request @/one --signed @/root.pem --out @/c2").unwrap_err();
    assert!(
        format!("{error:#}").contains("isthmus trust sign"),
        "{error:#}"
    );
}

#[test]
fn a_refusal_has_its_reason_and_is_a_failure() {
    let place = tempfile::tempdir().unwrap();
    mesh(place.path(), "m");
    mesh(place.path(), "other");
    for (line, reason) in [
        (
            "show @/m/leaf --bundle @/other/root/root-cert.pem",
            "another key",
        ),
        ("show @/m/leaf --at 2066-01-01T00:00:00Z", "expired"),
        ("show @/m/leaf --at 2006-01-01T00:00:00Z", "valid only from"),
        ("show @/m/leaf/cert-chain.pem", "--bundle"),
        (
            "show @/m/leaf/cert-chain.pem --bundle @/m/root/root-cert.pem",
            "trusted",
        ),
    ] {
        let (good, printed) = isthmus(place.path(), line).unwrap();
        assert_eq!(good, reason == "trusted", "{line}: {printed}");
        assert!(printed.contains(reason), "{line}: {printed}");
    }
    let at = |name: &str| place.path().join(name);
    fs::copy(at("other/c1/ca-key.pem"), at("m/c1/ca-key.pem")).unwrap();
    let (good, printed) = isthmus(place.path(), "show @/m/c1").unwrap();
    assert!(
        !good && printed.contains("another key than the one beside it"),
        "{printed}"
    );
}

#[test]
fn nothing_is_overwritten_and_a_mesh_is_made_whole_or_not() {
    let place = tempfile::tempdir().unwrap();
    mesh(place.path(), "m");
    for line in [
        "init --out @/m/root",
        "init --out @/new --issuer @/m/issuer",
        "init --out @/new --issuer @/new",
        "intermediate --ca @/m/root --cluster c2 --out @/m/c1",
        "issue --ca @/m/c1 --identity spiffe://td/ns/a/sa/b --out @/m/c1",
        "intermediate --ca @/m/c1 --cluster c2 --out @/new",
        "intermediate --ca @/missing --cluster c2 --out @/new",
    ] {
        let error = isthmus(place.path(), line).unwrap_err();
        assert!(!format!("{error:#}").is_empty());
        assert!(!place.path().join("new").exists(), "{line}: {error:#}");
    }
    let (good, _) = isthmus(place.path(), "show @/m/c1").unwrap();
    assert!(good);
}

#[test]
fn what_is_no_identity_or_cluster_or_duration_is_refused_at_once() {
    for line in [
        "issue --ca a --out b --identity client",
        "intermediate --ca a --out b --cluster c1/c2",
        "init --out a --lifetime ten",
        "show a --at yesterday",
        "init --out a --trust-domain Cluster.Local",
    ] {
        let words = ["trust"].into_iter().chain(line.split_whitespace());
        let error = Line::try_parse_from(words).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ValueValidation, "{line}");
    }
}

#[test]
fn all_problems_of_a_config_are_told() {
    sds::parse(include_str!("../../../trust/examples/sds.yaml")).unwrap();
    let yaml = "authority: /ca\nlifetime: 1s\nworkloads: []\n";
    let error = sds::parse(yaml).unwrap_err().to_string();
    assert!(
        error.contains("lifetime") && error.contains("workloads"),
        "{error}"
    );
}
