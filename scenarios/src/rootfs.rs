//! The file system of a pod: its own `/etc`, `/var` and `/usr/local/bin`; the rest is the
//! machine's. Programs of images find everything where their image has it.
//!
//! `ip netns exec` gives every program a mount namespace of its own, so nothing of this is
//! seen outside, and it ends with the program. What a pod needs must not lie in the
//! machine's `/etc`, `/var` or `/usr/local/bin`.

use std::{
    ffi::OsStr,
    fs,
    net::IpAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// Where a pod's file system is.
#[derive(Debug, Clone)]
pub struct Rootfs {
    directory: PathBuf,
    programs: PathBuf,
}

impl Rootfs {
    /// Makes one in `directory`, which sees `programs` as `/usr/local/bin` and resolves
    /// names by the file `hosts`, which may change.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn create(directory: PathBuf, programs: &Path, hosts: &Path) -> Result<Self> {
        let etc = directory.join("etc");
        fs::create_dir_all(&etc)?;
        fs::create_dir_all(directory.join("var"))?;
        fs::write(etc.join("nsswitch.conf"), "hosts: files\n")?;
        fs::write(etc.join("resolv.conf"), "nameserver 127.0.0.1\n")?;
        fs::write(etc.join("passwd"), "root:x:0:0::/:/bin/sh\n")?;
        symlink(hosts, etc.join("hosts"))?;
        Ok(Self {
            directory,
            programs: programs.to_owned(),
        })
    }

    /// Where a path inside lies outside.
    ///
    /// # Errors
    /// When the path is not in `/etc` or `/var`.
    pub fn outside(&self, inside: &Path) -> Result<PathBuf> {
        let own = ["/etc", "/var"].iter().any(|own| inside.starts_with(own));
        let relative = inside.strip_prefix("/").ok().filter(|_| own);
        let relative = relative
            .with_context(|| format!("{} is no place of the pod's own", inside.display()))?;
        Ok(self.directory.join(relative))
    }

    /// The address that a name has inside.
    ///
    /// # Errors
    /// When it has none.
    pub fn resolve(&self, name: &str) -> Result<IpAddr> {
        let hosts = fs::read_to_string(self.directory.join("etc/hosts"))?;
        let line = hosts
            .lines()
            .map(str::split_whitespace)
            .find_map(|mut words| {
                let address = words.next()?;
                words.any(|word| word == name).then_some(address)
            });
        let address = line.with_context(|| format!("nobody is called {name}"))?;
        Ok(address.parse()?)
    }

    /// The path of one of its programs, inside.
    #[must_use]
    pub fn program(name: &str) -> PathBuf {
        Path::new(PROGRAMS).join(name)
    }

    /// Has a command that begins in a mount namespace of its own go on inside, in `/`, with
    /// nothing of our environment.
    pub(crate) fn enter(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", PATH)
            .args(["sh", "-ec", ENTER, "sh"])
            .args([
                self.directory.join("etc").as_os_str(),
                self.directory.join("var").as_os_str(),
                self.programs.as_os_str(),
                OsStr::new(PROGRAMS),
            ]);
    }
}

const PROGRAMS: &str = "/usr/local/bin";
const PATH: &str = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const ENTER: &str = r#"cd /
mount --bind "$1" /etc
mount --bind "$2" /var
mount --bind "$3" "$4"
shift 4
unset OLDPWD PWD
exec "$@""#;
