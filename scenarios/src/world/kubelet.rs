//! What a kubelet does with a Pod object before anything runs: its volumes, its file
//! system, and which program each image stands for. Hooks and probes of liveness are not
//! known here, nor are limits of memory or time.

pub mod container;
mod volume;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use k8s_openapi::api::{
    authentication::v1::TokenRequestSpec,
    core::v1::{HostAlias, Pod},
};

use super::{cluster::istio::Installed, host::Host, image::NOTHING, role::Outfit};
use crate::{netns::Netns, process::Program, rootfs::Rootfs, topology::API_PORT};
use container::{Container, Phase, SIDECAR};

/// A pod on its way: where it is, and what it is.
#[derive(Debug)]
pub struct Admitted<'a> {
    /// The cluster.
    pub host: Host<'a>,
    /// What was installed there.
    pub installed: &'a Installed,
    /// The pod's own directory.
    pub directory: &'a Path,
    /// Its network namespace.
    pub netns: &'a Netns,
    /// The object as the API server has it, with addresses.
    pub object: &'a Pod,
}

impl Admitted<'_> {
    /// Makes the pod's file system and says what runs in it.
    ///
    /// # Errors
    /// When the object names what is not there, or what this kubelet does not know.
    pub async fn outfit(&self) -> Result<Outfit> {
        let containers = container::containers(self.object)?;
        let root = self.root().await?;
        self.mount(&containers, &root).await?;
        self.set_kernel_parameters()?;
        let mut outfit = Outfit {
            before: Vec::new(),
            programs: Vec::new(),
            checks: Vec::new(),
            root: Some(root.clone()),
        };
        let mut beside = Vec::new();
        for container in containers {
            let Some(program) = self.program(&container, &root)? else {
                continue;
            };
            outfit.checks.extend(container.readiness);
            match container.phase {
                Phase::Init => outfit.before.push(program),
                Phase::Main if container.name != SIDECAR => outfit.programs.push(program),
                Phase::Main | Phase::Sidecar => beside.push(program),
            }
        }
        outfit.programs.append(&mut beside);
        Ok(outfit)
    }

    async fn root(&self) -> Result<Rootfs> {
        let hosts = self.hosts()?;
        let directory = self.directory.join("root");
        let root = Rootfs::create(directory, self.installed.programs(), &hosts)?;
        let template = root.outside(Path::new(BOOTSTRAP))?;
        fs::create_dir_all(template.parent().unwrap_or(Path::new("/")))?;
        fs::copy(self.installed.parts().bootstrap(), template)?;

        // What admission adds to every pod of a real cluster.
        let (namespace, account) = self.account()?;
        let spec = TokenRequestSpec::default();
        let token = self
            .host
            .api
            .request_token(namespace, account, spec)
            .await?;
        let files = BTreeMap::from([
            ("token", token.into_bytes()),
            (
                "ca.crt",
                BASE64_STANDARD.decode(&self.host.kubeconfig.authority)?,
            ),
            ("namespace", namespace.as_bytes().to_vec()),
        ]);
        volume::write(&root.outside(Path::new(ACCESS))?, Some(&files))?;
        Ok(root)
    }

    /// The file by which the pod resolves names; its own, where it has names of its own.
    fn hosts(&self) -> Result<PathBuf> {
        let common = self.host.directory.join("hosts");
        let spec = self.object.spec.as_ref();
        let Some(aliases) = spec.and_then(|spec| spec.host_aliases.as_ref()) else {
            return Ok(common);
        };
        let line = |alias: &HostAlias| {
            let names = alias.hostnames.as_deref().unwrap_or_default();
            format!("{} {}\n", alias.ip, names.join(" "))
        };
        let own: String = aliases.iter().map(line).collect();
        let file = self.directory.join("hosts");
        fs::write(&file, own + &fs::read_to_string(common)?)?;
        Ok(file)
    }

    async fn mount(&self, containers: &[Container], root: &Rootfs) -> Result<()> {
        let volumes = self
            .object
            .spec
            .iter()
            .flat_map(|spec| spec.volumes.iter().flatten());
        let volumes: BTreeMap<&str, _> = volumes.map(|v| (v.name.as_str(), v)).collect();
        let mounts = containers.iter().flat_map(|container| &container.mounts);
        let mounts: BTreeMap<_, _> = mounts.collect();
        for (path, name) in mounts {
            let volume = volumes.get(name.as_str());
            let volume = volume.with_context(|| format!("the pod has no volume {name}"))?;
            let content = volume::content(self.host.api, self.object, volume).await;
            let content = content.with_context(|| format!("volume {name}"))?;
            let files = content.as_ref().map(|files| {
                let named = files
                    .iter()
                    .map(|(name, bytes)| (name.as_str(), bytes.clone()));
                named.collect::<BTreeMap<_, _>>()
            });
            volume::write(&root.outside(path)?, files.as_ref())?;
        }
        Ok(())
    }

    fn set_kernel_parameters(&self) -> Result<()> {
        let spec = self.object.spec.as_ref();
        let context = spec.and_then(|spec| spec.security_context.as_ref());
        let wanted = context.and_then(|context| context.sysctls.as_ref());
        wanted.into_iter().flatten().try_for_each(|wanted| {
            let name = wanted.name.replace('.', "/");
            self.netns.set(&name, &wanted.value)
        })
    }

    /// What a container runs; its image decides which program. Init containers prepare the
    /// pod's network with the machine's own tools, and see the machine's files.
    fn program(&self, container: &Container, root: &Rootfs) -> Result<Option<Program>> {
        if container.image == NOTHING {
            return Ok(None);
        }
        let name = program_of(&container.image)
            .with_context(|| format!("no program is the image {}", container.image))?;
        let init = container.phase == Phase::Init;
        let binary = match init {
            true => self.installed.programs().join(name),
            false => Rootfs::program(name),
        };
        let mut program = Program::new(&container.name, &binary, container.arguments.clone());
        program.environment.clone_from(&container.environment);
        if !init {
            let server = self.host.plan.node().to_string();
            let access = [("HOST", server), ("PORT", API_PORT.to_string())];
            let access = access.map(|(name, value)| (format!("KUBERNETES_SERVICE_{name}"), value));
            program.environment.extend(access);
            program.root = Some(root.clone());
        }
        let of_image = (name != WORLD_APP).then_some(ISTIO_USER);
        program.user = container.user.or(of_image).filter(|user| *user != 0);
        Ok(Some(program))
    }

    fn account(&self) -> Result<(&str, &str)> {
        let spec = self.object.spec.as_ref();
        let account = spec.and_then(|spec| spec.service_account_name.as_deref());
        match (self.object.metadata.namespace.as_deref(), account) {
            (Some(namespace), Some(account)) => Ok((namespace, account)),
            _ => bail!("a pod without an account"),
        }
    }
}

/// The program that is the entry point of an image, whoever built it, whatever its tag.
fn program_of(image: &str) -> Option<&'static str> {
    let last = image.rsplit('/').next()?;
    Some(match last.split([':', '@']).next()? {
        "pilot" => "pilot-discovery",
        "proxyv2" => "pilot-agent",
        "isthmus" => "isthmus",
        "world-app" => WORLD_APP,
        _ => return None,
    })
}

const WORLD_APP: &str = "world-app";
/// Whom Istio's images run as, and ours in their place.
const ISTIO_USER: u32 = 1337;
/// Where the proxy's image has the template of Envoy's bootstrap.
const BOOTSTRAP: &str = "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json";
const ACCESS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::image::OURS;

    #[test]
    fn an_image_is_known_by_its_name_alone() {
        assert_eq!(
            program_of("gcr.io/istio-testing/pilot:1.31-dev"),
            Some("pilot-discovery")
        );
        assert_eq!(program_of("proxyv2@sha256:00"), Some("pilot-agent"));
        assert_eq!(program_of(OURS), Some("isthmus"));
        assert_eq!(program_of("auto"), None);
    }
}
