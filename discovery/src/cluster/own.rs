//! How the own cluster is reached: a kubeconfig file of the operator's, or the service
//! account of the own pod. Both are files that others replace (tokens are rotated), so they
//! are read again and again; what is read goes the way of a changed remote secret.

use std::{fs, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use kube::config::Kubeconfig;
use secrecy::SecretString;

use super::{Authorization, Flaw, Roots, Target, kubeconfig};
use crate::error::Error;

/// Where the own cluster's address and credential are found.
#[derive(Debug, Clone)]
pub(crate) enum Own {
    /// A file, and the files that it names.
    Kubeconfig(PathBuf),
    /// What kubelet mounts into each pod.
    ServiceAccount,
}

impl Own {
    /// Reads them. Blocks on the file system.
    ///
    /// # Errors
    /// What is missing or broken.
    pub(crate) fn read(&self) -> Result<Target, Error> {
        match self {
            Self::Kubeconfig(path) => read_kubeconfig(path).map_err(|flaw| Error::Kubeconfig {
                path: path.clone(),
                flaw,
            }),
            Self::ServiceAccount => read_service_account(),
        }
    }
}

fn read_kubeconfig(path: &PathBuf) -> Result<Target, Flaw> {
    const REMEDY: &str = "check the file and who may read it";
    // Relative paths become absolute ones here.
    let mut kubeconfig = Kubeconfig::read_from(path)
        .map_err(|error| Flaw::new("kubeconfig", &error.to_string(), REMEDY))?;
    let read = |field: String, file: &str| {
        fs::read(file).map_err(|error| Flaw::new(field, &format!("{file}: {error}"), REMEDY))
    };
    for named in &mut kubeconfig.clusters {
        let Some(cluster) = &mut named.cluster else {
            continue;
        };
        if let Some(file) = cluster.certificate_authority.take() {
            let field = format!("clusters[{}].certificate-authority", named.name);
            cluster.certificate_authority_data = Some(BASE64_STANDARD.encode(read(field, &file)?));
        }
    }
    for named in &mut kubeconfig.auth_infos {
        let Some(user) = &mut named.auth_info else {
            continue;
        };
        let field = |part: &str| format!("users[{}].{part}", named.name);
        if let Some(file) = user.token_file.take() {
            let token = read(field("tokenFile"), &file)?;
            user.token = Some(SecretString::from(
                String::from_utf8_lossy(&token).into_owned(),
            ));
        }
        if let Some(file) = user.client_certificate.take() {
            let chain = read(field("client-certificate"), &file)?;
            user.client_certificate_data = Some(BASE64_STANDARD.encode(chain));
        }
        if let Some(file) = user.client_key.take() {
            let key = read(field("client-key"), &file)?;
            user.client_key_data = Some(SecretString::from(BASE64_STANDARD.encode(key)));
        }
    }
    kubeconfig::target(&kubeconfig)
}

fn read_service_account() -> Result<Target, Error> {
    let variable = |name: &str| {
        std::env::var(name).map_err(|_| Error::NotInCluster(format!("{name} is not set")))
    };
    let file = |name: &str| {
        let path = format!("{SERVICE_ACCOUNT}/{name}");
        fs::read(&path).map_err(|error| Error::NotInCluster(format!("{path}: {error}")))
    };
    let host = variable("KUBERNETES_SERVICE_HOST")?;
    let port = variable("KUBERNETES_SERVICE_PORT")?;
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    let server = format!("https://{host}:{port}");
    let token = String::from_utf8_lossy(&file("token")?).trim().to_owned();
    let broken = |what: &str| Error::NotInCluster(format!("{what} is broken"));
    Ok(Target {
        server: server.parse().map_err(|_| broken(&server))?,
        server_name: None,
        roots: Roots::from_pem(&file("ca.crt")?).ok_or_else(|| broken("ca.crt"))?,
        identity: None,
        authorization: Authorization::bearer(&SecretString::from(token))
            .ok_or_else(|| broken("the token"))?,
    })
}

const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_the_own_kubeconfig_names_are_read_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        fs::write(dir.path().join("token"), "one\n").unwrap();
        fs::write(
            &path,
            format!(
                "clusters: [{{name: a, cluster: {{server: 'https://h'}}}}]
contexts: [{{name: a, context: {{cluster: a, user: a}}}}]
current-context: a
users: [{{name: a, user: {{tokenFile: {}/token}}}}]
",
                dir.path().display()
            ),
        )
        .unwrap();
        let own = Own::Kubeconfig(path);
        let one = own.read().unwrap();
        fs::write(dir.path().join("token"), "two").unwrap();
        let two = own.read().unwrap();
        assert_eq!(one.change_to(&two), super::super::Change::Credential);
        fs::remove_file(dir.path().join("token")).unwrap();
        let error = own.read().unwrap_err().to_string();
        assert!(error.contains("users[a].tokenFile"), "{error}");
    }
}
