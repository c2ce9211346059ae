//! Instructions that a ClientHello and its route cost, as callgrind counts them: the
//! difference between so many rounds and twice as many, so that no start is in it.
//!
//! They are those of the debug build that the tests are. With its compiler pinned it is
//! as steady as an optimised one, which would need a build of its own; the number is for
//! comparing, not for boasting.

use std::{fs, hint::black_box, path::Path, process::Command};

use eastwest::{
    passthrough::{
        client_hello::{Progress, read},
        names::Names,
    },
    route::{Table, choose, spec::MESH},
    sync::static_routes,
};
use libtest_mimic::Trial;

use crate::{
    fault, skipped, trial,
    world::{SNI, hello, routes},
};

/// The first argument of a process that is to read and route.
pub(crate) const ROLE: &str = "route";

pub(crate) fn trials() -> Vec<Trial> {
    let name = "instructions_for_hello_and_route";
    vec![match Command::new("valgrind").arg("--version").output() {
        Ok(_) => trial(name, hello_and_route),
        Err(_) => skipped(name, "needs valgrind"),
    }]
}

async fn hello_and_route() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("hello"), hello(SNI)).unwrap();
    let (once, twice) = (
        collected(directory.path(), ROUNDS),
        collected(directory.path(), 2 * ROUNDS),
    );
    let each = (twice - once) / ROUNDS;
    println!("{each} instructions for a hello and its route");
    assert!(each <= GATE, "{each} instructions, {GATE} at most");
    let promise = format!("at most {GATE} instructions of a debug build each");
    let what = "hellos that want one of 1,000 routes";
    fault("relay", what, &promise, each);
}

/// Instructions of a process with so many rounds.
fn collected(directory: &Path, rounds: u64) -> u64 {
    let mut valgrind = Command::new("valgrind");
    let out = directory.join("callgrind.out").display().to_string();
    valgrind.arg("--tool=callgrind");
    valgrind.arg(format!("--callgrind-out-file={out}"));
    valgrind.arg(std::env::current_exe().unwrap());
    valgrind.arg(ROLE).arg(directory.join("hello"));
    let ended = valgrind.arg(rounds.to_string()).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    let number = said.lines().find_map(|line| line.split_once("Collected :"));
    let (_, number) = number.unwrap_or_else(|| panic!("{said}"));
    number.trim().parse().unwrap()
}

/// Reads the hello in a file and chooses its route, so often.
pub(crate) fn play(orders: &[String]) {
    let [file, rounds] = orders else {
        panic!("{orders:?}")
    };
    let bytes = fs::read(file).unwrap();
    let (table, mut joined) = (table(), Vec::with_capacity(LIMIT));
    let names = Names::of_istiod("istio-system", "cluster.local");
    for _ in 0..rounds.parse().unwrap() {
        let progress = read(black_box(&bytes), &mut joined, LIMIT).unwrap();
        let Progress::Whole(hello) = progress else {
            panic!("{progress:?}")
        };
        let route = choose(&table, MESH, &names, hello).unwrap();
        assert_eq!(*route.spec().sni, *SNI);
    }
}

/// A thousand routes, the wanted one among them.
fn table() -> Table {
    let others = (1..1000).map(|i| SNI.replace("helloworld", &format!("other-{i}")));
    let specs = others.chain([SNI.to_owned()]).flat_map(|sni| {
        let at = "10.0.0.1:80".parse().unwrap();
        static_routes::parse(&routes(&sni, &[at])).unwrap()
    });
    Table::default().next(specs)
}

const ROUNDS: u64 = 1000;
const LIMIT: usize = 16 * 1024;
/// A twentieth above what was measured; the seed of the table's hash moves it by less.
const GATE: u64 = 34_600;
