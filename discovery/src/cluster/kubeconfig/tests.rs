use super::*;

const CA: &str = "clusters: [{name: c2, cluster: {server: 'https://10.0.0.1:6443', CLUSTER}}]
contexts: [{name: c2, context: {cluster: c2, user: c2}}]
current-context: c2
users: [{name: c2, user: {USER}}OTHERS]
";

/// What istioctl writes, with parts of the tests' own.
fn text(cluster: &str, user: &str, others: &str) -> String {
    CA.replace("CLUSTER", cluster)
        .replace("USER", user)
        .replace("OTHERS", others)
}

fn flaw(cluster: &str, user: &str, others: &str) -> Flaw {
    read_foreign(text(cluster, user, others).as_bytes()).unwrap_err()
}

#[test]
fn an_inline_token_is_taken() {
    let target = read_foreign(text("", "token: abc", "").as_bytes()).unwrap();
    assert_eq!(target.server, "https://10.0.0.1:6443");
    assert_eq!(target.roots, Roots::System);
    assert_eq!(
        target.authorization,
        Authorization::bearer(&SecretString::from("abc")).unwrap()
    );
}

#[test]
fn what_would_act_is_refused_by_name_in_every_user_entry() {
    for (user, field) in [
        ("exec: {command: /bin/sh}", "exec"),
        ("auth-provider: {name: gcp}", "auth-provider"),
        ("auth-provider: {name: oidc}", "auth-provider"),
        ("tokenFile: /etc/passwd", "tokenFile"),
        ("client-certificate: /a", "client-certificate"),
        ("client-key: /a", "client-key"),
        ("username: a", "username"),
        ("password: a", "password"),
        ("as: admin", "as"),
        ("as-groups: ['system:masters']", "as-groups"),
    ] {
        let current = flaw("", &format!("token: abc, {user}"), "");
        assert_eq!(current.field, format!("users[c2].{field}"), "{current}");
        let other = flaw(
            "",
            "token: abc",
            &format!(", {{name: x, user: {{{user}}}}}"),
        );
        assert_eq!(other.field, format!("users[x].{field}"), "{other}");
    }
    assert!(
        flaw("", "auth-provider: {name: gcp}", "")
            .reason
            .contains("gcp")
    );
}

#[test]
fn a_cluster_that_would_read_files_or_trust_anybody_is_refused() {
    for (cluster, field) in [
        (
            "certificate-authority: /etc/ca.pem",
            "certificate-authority",
        ),
        ("insecure-skip-tls-verify: true", "insecure-skip-tls-verify"),
        ("proxy-url: 'http://10.0.0.9:3128'", "proxy-url"),
        (
            "certificate-authority-data: '***'",
            "certificate-authority-data",
        ),
        (
            "certificate-authority-data: YWJj",
            "certificate-authority-data",
        ),
        ("tls-server-name: 'a b'", "tls-server-name"),
    ] {
        let flaw = flaw(cluster, "token: abc", "");
        assert_eq!(flaw.field, format!("clusters[c2].{field}"), "{flaw}");
    }
}

#[test]
fn a_token_never_goes_in_the_clear_but_to_loopback() {
    let with = |server: &str| {
        let text = text("", "token: abc", "").replace("https://10.0.0.1:6443", server);
        read_foreign(text.as_bytes())
    };
    for server in [
        "http://10.0.0.1",
        "http://localhost",
        "ftp://h",
        "",
        "https://u:p@h",
        "https://h?a=b",
    ] {
        assert_eq!(
            with(server).unwrap_err().field,
            "clusters[c2].server",
            "{server}"
        );
    }
    assert!(with("http://127.0.0.1:8080").is_ok());
    assert!(with("http://[::1]:8080").is_ok());
    assert!(with("https://h:1/path").is_ok());
}

#[test]
fn a_broken_kubeconfig_says_where_and_never_what() {
    let field = |bytes: &[u8]| read_foreign(bytes).unwrap_err().field;
    assert_eq!(field(b" \n"), "kubeconfig");
    assert_eq!(field(&[0xff]), "kubeconfig");
    assert_eq!(field(b"[1, 2"), "kubeconfig");
    assert_eq!(field(b"kind: Config"), "current-context");
    let whole = text("", "token: abc", "");
    assert_eq!(
        field(
            whole
                .replace("current-context: c2", "current-context: x")
                .as_bytes()
        ),
        "contexts[x]"
    );
    assert_eq!(
        field(
            whole
                .replace("cluster: c2, user: c2", "cluster: x, user: c2")
                .as_bytes()
        ),
        "contexts[c2].cluster"
    );
    assert_eq!(
        field(
            whole
                .replace("cluster: c2, user: c2", "cluster: c2, user: x")
                .as_bytes()
        ),
        "contexts[c2].user"
    );
    assert_eq!(field(text("", "", "").as_bytes()), "users[c2]");
    assert_eq!(
        field(text("", "client-key-data: YQ==", "").as_bytes()),
        "users[c2].client-certificate-data"
    );
    for broken in [
        "token: [s3cret",
        "token: {s3cret: 1}",
        "token: \"s3cret\\n\\u0001\"",
    ] {
        let flaw = flaw("", broken, "");
        assert!(!flaw.to_string().contains("s3cret"), "{flaw}");
    }
}

/// What fuzzers begin with.
#[test]
fn seeds_are_taken_or_refused_as_they_are_called() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/kubeconfig");
    let mut met = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let is = match read_foreign(&std::fs::read(&path).unwrap()) {
            Ok(_) => "taken",
            Err(_) => "refused",
        };
        assert_eq!(name.split('_').next(), Some(is), "{name}");
        met.insert(is);
    }
    assert_eq!(met.len(), 2, "{met:?}");
}
