//! The gateway's image holds no signing code and no Kubernetes client.

use std::process::Command;

#[expect(
    clippy::expect_used,
    reason = "a test without cargo has nothing to say"
)]
/// Names of all crates that `--features eastwest` alone links.
fn crates_of_the_gateway() -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree", "--edges", "normal", "--prefix", "none", "--format", "{p}",
        ])
        .args([
            "--package",
            "isthmus",
            "--no-default-features",
            "--features",
            "eastwest",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree failed: {errors}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect()
}

#[test]
fn the_gateway_links_neither_signing_code_nor_a_kubernetes_client() {
    let crates = crates_of_the_gateway();
    assert!(crates.iter().any(|name| name == "eastwest"), "{crates:?}");
    for forbidden in ["rcgen", "kube", "kube-client", "k8s-openapi", "discovery"] {
        assert!(
            !crates.iter().any(|name| name == forbidden),
            "the gateway links {forbidden}"
        );
    }
}
