//! Network namespaces, and the links between them.
//!
//! A namespace is removed when its value is dropped; links die with the
//! namespaces that they end in. Sockets belong to the namespace of the thread
//! that opens them: [`Netns::within`] runs a closure on a thread that has moved.

use std::{
    fs::{self, File},
    io::Write,
    net::{SocketAddr, TcpStream},
    os::fd::AsFd,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace that we made.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes a namespace with its loopback up.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn create(name: String) -> Result<Self> {
        ip(&[format!("netns add {name}")])?;
        let made = Self { name };
        made.ip(&["link set lo up".to_owned()])?;
        Ok(made)
    }

    /// Its name, as `ip netns list` shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` commands inside, as one batch.
    ///
    /// # Errors
    /// When one is refused, with what `ip` said.
    pub fn ip(&self, lines: &[String]) -> Result<()> {
        batch(&["-n", &self.name], lines)
    }

    /// Runs a program inside to its end.
    ///
    /// # Errors
    /// When it cannot run or fails, with what it said.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.name, program])
            .args(arguments)
            .output()?;
        if !output.status.success() {
            bail!(
                "{program} {} in {}: {}",
                arguments.join(" "),
                self.name,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Moves the calling thread into the namespace, for good.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn enter(&self) -> Result<()> {
        enter(&format!("/run/netns/{}", self.name))
    }

    /// Runs a closure on a thread inside the namespace and returns its result.
    ///
    /// # Errors
    /// When the thread cannot move, or the closure fails.
    pub fn within<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        apart(|| {
            self.enter()?;
            act()
        })
    }

    /// Opens a TCP connection from inside; the stream can be used anywhere.
    ///
    /// # Errors
    /// As `connect(2)`, or when `limit` has passed.
    pub fn connect(&self, to: SocketAddr, limit: Duration) -> Result<TcpStream> {
        self.within(|| {
            TcpStream::connect_timeout(&to, limit).with_context(|| format!("cannot reach {to}"))
        })
    }

    /// Sets a kernel parameter of the namespace, as `net/ipv4/ip_forward`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set(&self, parameter: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{parameter}");
        self.within(|| fs::write(&path, value).with_context(|| format!("cannot write {path}")))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Err(error) = ip(&[format!("netns del {}", self.name)]) {
            eprintln!("{error:#}");
        }
    }
}

/// A bridge inside a namespace, with an address of its own there.
#[derive(Debug, Clone)]
pub struct Bridge {
    name: &'static str,
}

impl Bridge {
    /// Makes a bridge in `home`.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn create(home: &Netns, name: &'static str, address: Option<&str>) -> Result<Self> {
        let mut lines = vec![
            // Unless it is given one, a bridge takes the lowest address of its ports,
            // another one whenever a port comes or goes: its neighbours lose it.
            format!("link add name {name} address {BRIDGE_MAC} type bridge"),
            format!("link set dev {name} up"),
        ];
        lines.extend(address.map(|address| format!("address add {address} dev {name}")));
        home.ip(&lines)?;
        Ok(Self { name })
    }

    /// Plugs `guest` into the bridge with a link named `device` inside it.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn plug(&self, home: &Netns, guest: &Netns, device: &str, address: &str) -> Result<()> {
        // Interface names are at most 15 bytes; the address is unique on a bridge.
        let host = address.split('/').next().unwrap_or(address);
        let port = format!("p{}", host.replace('.', "-"));
        let port = &port[port.len().saturating_sub(15)..];
        home.ip(&[
            format!(
                "link add name {port} type veth peer name {device} netns {}",
                guest.name
            ),
            format!("link set dev {port} master {} up", self.name),
        ])?;
        guest.ip(&[
            format!("address add {address} dev {device}"),
            format!("link set dev {device} up"),
        ])
    }
}

/// Runs a closure on a thread where the process began, whatever namespace the calling thread
/// has moved into: from a world no way leads out.
///
/// # Errors
/// When the thread cannot move, or the closure fails.
pub fn outside<T: Send>(act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    // The first thread of a process never moves.
    let (here, first) = ("/proc/thread-self/ns/net", "/proc/self/ns/net");
    if fs::read_link(here)? == fs::read_link(first)? {
        return act();
    }
    apart(|| {
        enter(first)?;
        act()
    })
}

/// Runs a closure on a thread of its own.
fn apart<T: Send>(act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| match scope.spawn(act).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn enter(path: &str) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .with_context(|| format!("cannot move into {path}"))
}

fn ip(lines: &[String]) -> Result<()> {
    batch(&[], lines)
}

fn batch(options: &[&str], lines: &[String]) -> Result<()> {
    let mut child = Command::new("ip")
        .args(options)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run ip")?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(lines.join("\n").as_bytes())?;
        input.write_all(b"\n")?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "ip {} refused [{}]: {}",
            options.join(" "),
            lines.join("; "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

const BRIDGE_MAC: &str = "02:00:00:00:00:01";
