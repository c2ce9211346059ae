//! What a container is started with, read from its Pod as a kubelet reads it.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    thread,
};

use anyhow::{Context, Result, bail};
use k8s_openapi::{
    api::core::v1::{
        Container as Specification, EnvVar, EnvVarSource, Pod, Probe, ResourceFieldSelector,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::world::role::Check;

/// When a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// To its end, before all that come after it.
    Init,
    /// From before the main ones to behind them.
    Sidecar,
    /// As long as the pod lives.
    Main,
}

/// A container as its image's program gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// When it runs.
    pub phase: Phase,
    /// The image.
    pub image: String,
    /// The arguments, variables filled in.
    pub arguments: Vec<String>,
    /// The environment, field references resolved.
    pub environment: BTreeMap<String, String>,
    /// Where it sees which volume.
    pub mounts: BTreeMap<PathBuf, String>,
    /// Whom it runs as, where the pod says it.
    pub user: Option<u32>,
    /// What must answer before it is ready.
    pub readiness: Option<Check>,
}

/// The containers of a pod, in the order in which they start.
///
/// # Errors
/// When the pod refers to what no pod has, or to what this kubelet does not know.
pub fn containers(pod: &Pod) -> Result<Vec<Container>> {
    let spec = pod.spec.as_ref().context("a pod without a spec")?;
    let before = spec.init_containers.iter().flatten().map(|container| {
        let restarts = container.restart_policy.as_deref() == Some("Always");
        let phase = if restarts {
            Phase::Sidecar
        } else {
            Phase::Init
        };
        read(pod, container, phase)
    });
    // Not native, a sidecar is the first or the last of the main ones; it starts first.
    let (sidecars, main): (Vec<_>, Vec<_>) =
        (spec.containers.iter()).partition(|container| container.name == SIDECAR);
    let main = sidecars.into_iter().chain(main);
    let main = main.map(|container| read(pod, container, Phase::Main));
    before.chain(main).collect()
}

fn read(pod: &Pod, container: &Specification, phase: Phase) -> Result<Container> {
    let named = || format!("container {}", container.name);
    let environment = environment(pod, container).with_context(named)?;
    let expand = |argument: &String| expand(argument, &environment);
    let own = container.security_context.as_ref();
    let shared = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.security_context.as_ref());
    let user = own.and_then(|context| context.run_as_user);
    let user = user.or(shared.and_then(|context| context.run_as_user));
    let mounts = container.volume_mounts.iter().flatten();
    let readiness = container.readiness_probe.as_ref();
    Ok(Container {
        name: container.name.clone(),
        phase,
        image: container.image.clone().unwrap_or_default(),
        arguments: container.args.iter().flatten().map(expand).collect(),
        mounts: mounts
            .map(|mount| (PathBuf::from(&mount.mount_path), mount.name.clone()))
            .collect(),
        user: user.map(u32::try_from).transpose()?,
        readiness: readiness.and_then(|probe| check(container, probe)),
        environment,
    })
}

fn environment(pod: &Pod, container: &Specification) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for EnvVar {
        name,
        value,
        value_from,
    } in container.env.iter().flatten()
    {
        let value = match (value, value_from) {
            (_, Some(source)) => from(pod, container, source).with_context(|| name.clone())?,
            (value, None) => expand(value.as_deref().unwrap_or_default(), &all),
        };
        all.insert(name.clone(), value);
    }
    Ok(all)
}

fn from(pod: &Pod, container: &Specification, source: &EnvVarSource) -> Result<String> {
    match (&source.field_ref, &source.resource_field_ref) {
        (Some(reference), _) => field(pod, &reference.field_path),
        (_, Some(reference)) => resource(container, reference),
        _ => bail!("a source that this kubelet does not know: {source:?}"),
    }
}

/// A field of a pod by its path, as the downward API has it: several labels or annotations
/// are lines of `name="value"`.
///
/// # Errors
/// When it has no such field.
pub fn field(pod: &Pod, path: &str) -> Result<String> {
    let (metadata, spec, status) = (&pod.metadata, &pod.spec, &pod.status);
    let spec = |get: fn(&_) -> &Option<String>| spec.as_ref().and_then(|spec| get(spec).clone());
    let status =
        |get: fn(&_) -> &Option<String>| status.as_ref().and_then(|status| get(status).clone());
    let value = match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        "metadata.labels" => return Ok(lines(metadata.labels.as_ref())),
        "metadata.annotations" => return Ok(lines(metadata.annotations.as_ref())),
        "spec.nodeName" => spec(|spec| &spec.node_name),
        "spec.serviceAccountName" => spec(|spec| &spec.service_account_name),
        "status.podIP" => status(|status| &status.pod_ip),
        "status.hostIP" => status(|status| &status.host_ip),
        _ => return one_of_many(pod, path),
    };
    value.with_context(|| format!("the pod has no {path}"))
}

/// `metadata.labels['name']`: empty when there is none of that name.
fn one_of_many(pod: &Pod, path: &str) -> Result<String> {
    let parts = path
        .strip_suffix("']")
        .and_then(|path| path.split_once("['"));
    let (of, name) = parts.with_context(|| format!("no field of a pod: {path}"))?;
    let all = match of {
        "metadata.labels" => &pod.metadata.labels,
        "metadata.annotations" => &pod.metadata.annotations,
        _ => bail!("no field of a pod: {path}"),
    };
    let value = all.as_ref().and_then(|all| all.get(name));
    Ok(value.cloned().unwrap_or_default())
}

fn lines(all: Option<&BTreeMap<String, String>>) -> String {
    let line = |(name, value): (&String, &String)| format!("{name}={value:?}");
    let lines: Vec<String> = all.into_iter().flatten().map(line).collect();
    lines.join("\n")
}

/// A limit of the container, or what its node has; whole, in units of the divisor, rounded up.
fn resource(container: &Specification, reference: &ResourceFieldSelector) -> Result<String> {
    let limits = container
        .resources
        .as_ref()
        .and_then(|all| all.limits.as_ref());
    let limit = |name: &str| limits.and_then(|limits| limits.get(name));
    let milli = match reference.resource.as_str() {
        "limits.cpu" => match limit("cpu") {
            Some(limit) => thousandths(&limit.0)?,
            None => 1000 * u128::try_from(thread::available_parallelism()?.get())?,
        },
        "limits.memory" => match limit("memory") {
            Some(limit) => thousandths(&limit.0)?,
            None => thousandths(NODE_MEMORY)?,
        },
        other => bail!("a resource that this kubelet does not know: {other}"),
    };
    let divisor = reference.divisor.as_ref().map(|divisor| divisor.0.as_str());
    let divisor = thousandths(divisor.filter(|divisor| *divisor != "0").unwrap_or("1"))?;
    Ok(milli.div_ceil(divisor).to_string())
}

/// A whole quantity with its suffix, in thousandths.
fn thousandths(quantity: &str) -> Result<u128> {
    let digits = quantity.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &quantity[digits.len()..] {
        "m" => 1,
        "" => 1000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        _ => bail!("a quantity that this kubelet does not know: {quantity}"),
    };
    let number: u128 = digits.parse().with_context(|| quantity.to_owned())?;
    Ok(number * unit)
}

/// `$(NAME)` is the variable's value, if there is such a variable; `$$` is a dollar.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let named = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let value = named.and_then(|(name, behind)| Some((variables.get(name)?, behind)));
        if let Some((value, behind)) = value {
            expanded.push_str(value);
            rest = behind;
        } else {
            expanded.push('$');
            rest = rest.strip_prefix('$').unwrap_or(rest);
        }
    }
    expanded + rest
}

fn check(container: &Specification, probe: &Probe) -> Option<Check> {
    let page = probe.http_get.as_ref()?;
    let ports = container.ports.iter().flatten();
    let ports: HashMap<_, _> = ports.map(|port| (port.name.as_deref(), port)).collect();
    let port = match &page.port {
        IntOrString::Int(port) => *port,
        IntOrString::String(name) => ports.get(&Some(name.as_str()))?.container_port,
    };
    Some(Check {
        port: u16::try_from(port).ok()?,
        path: page.path.clone().unwrap_or_else(|| "/".to_owned()),
        contains: String::new(),
    })
}

/// The container that istiod adds.
pub const SIDECAR: &str = "istio-proxy";
/// What containers without a limit of their own may use.
const NODE_MEMORY: &str = "8Gi";

#[cfg(test)]
mod tests;
