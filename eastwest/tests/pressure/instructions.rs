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
    for (number, sni) in (0..HELLOS).zip(names().step_by(HELLO_EACH)) {
        fs::write(directory.path().join(number.to_string()), hello(&sni)).unwrap();
    }
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
    valgrind.arg(ROLE).arg(directory);
    let ended = valgrind.arg(rounds.to_string()).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    let number = said.lines().find_map(|line| line.split_once("Collected :"));
    let (_, number) = number.unwrap_or_else(|| panic!("{said}"));
    number.trim().parse().unwrap()
}

/// Reads the hellos in a directory one after another and chooses their routes, so often.
pub(crate) fn play(orders: &[String]) {
    let [directory, rounds] = orders else {
        panic!("{orders:?}")
    };
    let read_hello = |number: usize| fs::read(format!("{directory}/{number}")).unwrap();
    let hellos: Vec<_> = (0..HELLOS).map(read_hello).collect();
    let wanted: Vec<_> = names().step_by(HELLO_EACH).collect();
    let (table, mut joined) = (table(), Vec::with_capacity(LIMIT));
    let istiods = Names::of_istiod("istio-system", "cluster.local");
    let turns = hellos.iter().zip(&wanted).cycle();
    for (bytes, sni) in turns.take(rounds.parse().unwrap()) {
        let progress = read(black_box(bytes), &mut joined, LIMIT).unwrap();
        let Progress::Whole(hello) = progress else {
            panic!("{progress:?}")
        };
        let route = choose(&table, MESH, &istiods, hello).unwrap();
        assert_eq!(*route.spec().sni, **sni);
    }
}

/// A thousand routes.
fn table() -> Table {
    let specs = names().flat_map(|sni| {
        let at = "10.0.0.1:80".parse().unwrap();
        static_routes::parse(&routes(&sni, &[at])).unwrap()
    });
    Table::default().next(specs)
}

/// Names of one length, so that a hello of one costs what a hello of another does.
fn names() -> impl Iterator<Item = String> {
    (0..1000).map(|i| SNI.replace("helloworld", &format!("service-{i:03}")))
}

/// So many that what two processes differ by in making their tables, each with a seed of
/// its own, is nothing beside them.
const ROUNDS: u64 = 10_000;
/// So many names are wanted in turn: where the seed of the table's hash has put one of
/// them moves the count of one, not that of all.
const HELLOS: usize = 100;
const HELLO_EACH: usize = 10;
const LIMIT: usize = 16 * 1024;
/// A fiftieth above what was measured (34,270 to 34,320 in eight runs).
const GATE: u64 = 35_000;
