//! Makes the README's table of faults out of what tests and scenarios print.
//!
//! ```text
//! cargo test --workspace | tee run.log
//! fault-table write README.md < run.log     # the rows that ran replace theirs
//! fault-table check README.md < run.log     # each fault that ran has its row, with its promise
//! ```
//!
//! A test prints `fault: GROUP | FAULT | PROMISE | MEASURED`. Rows of faults that did not
//! run are left as they are, unless `--whole` says that all did.

mod page;
mod row;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, stdin},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use page::Page;
use row::{Key, Row};

#[derive(Debug, Parser)]
struct Arguments {
    action: Action,
    /// The file that holds the table.
    file: PathBuf,
    /// Every fault ran: a row that did not is no fault any more.
    #[arg(long)]
    whole: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Action {
    Write,
    Check,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let ran = heard()?;
    ensure!(!ran.is_empty(), "no line begins with `{}`", row::MARK);
    let name = arguments.file.display();
    let text = fs::read_to_string(&arguments.file).with_context(|| format!("{name}"))?;
    let page = Page::parse(&text).with_context(|| format!("{name}"))?;
    match arguments.action {
        Action::Write => {
            fs::write(
                &arguments.file,
                page.with(&ran, arguments.whole).to_string(),
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Check => {
            let breaches = page.breaches(&ran, arguments.whole);
            for breach in &breaches {
                eprintln!("{name}: {breach}");
            }
            match breaches.is_empty() {
                true => println!("{name}: {} faults ran, each as the table says", ran.len()),
                false => eprintln!("make the table anew: fault-table write {name} < RUN"),
            }
            Ok(ExitCode::from(u8::from(!breaches.is_empty())))
        }
    }
}

/// The rows that were printed; the last of each fault counts.
fn heard() -> Result<BTreeMap<Key, Row>> {
    let mut rows = BTreeMap::new();
    for line in stdin().lock().lines() {
        let line = line?;
        if let Some(said) = line.find(row::MARK).map(|at| &line[at + row::MARK.len()..]) {
            let row: Row = said.parse().with_context(|| line.clone())?;
            rows.insert(row.key(), row);
        }
    }
    Ok(rows)
}
