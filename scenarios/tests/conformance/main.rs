//! One suite for two API servers: the embedded one and a real kube-apiserver.
//!
//! A case asks questions of a [`subject::Subject`] and writes the answers into a
//! [`transcript::Transcript`], without what is by chance (names that are generated, versions,
//! times). Then
//!
//! - `embedded::CASE` compares the embedded server with what the real one said when
//!   `golden/CASE.txt` was recorded: always, with nothing installed;
//! - `both` runs every case on both and compares: where real parts can be had. With
//!   `ISTHMUS_RECORD=1` it writes `golden/`.
//!
//! What our own code, kubectl in the demo or istiod asks must be answered alike. Other
//! answers may differ; how many do is counted and shown.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests"
)]

mod cases;
mod compare;
mod http;
mod normal;
mod real;
mod subject;
mod transcript;

use std::{path::PathBuf, process::ExitCode, thread, time::Instant};

use anyhow::{Context, Result, bail};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use scenarios::peers::{self, required};

use cases::{CASES, Case};
use compare::Comparison;
use subject::Subject;
use transcript::Transcript;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = CASES
        .iter()
        .map(|case| {
            let name = format!("embedded::{}", case.name);
            Trial::ignorable_test(name, move || embedded(case))
        })
        .collect();
    let repairs = normal::repairs_are_left_out;
    trials.push(Trial::test("normal::repairs_are_left_out", repairs));
    trials.push(Trial::ignorable_test("both", both));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Plays one case on an embedded server and compares it with what was recorded.
fn embedded(case: &'static Case) -> Result<Completion, Failed> {
    play_embedded(case).map_err(|error| Failed::from(format!("{error:#}")))
}

fn play_embedded(case: &'static Case) -> Result<Completion> {
    if let Some(missing) = missing(case) {
        return missing;
    }
    let told = apart(|| async {
        let subject = Subject::embedded().await?;
        let told = subject.play(case).await;
        subject.end().await;
        told
    })?;
    let golden = std::fs::read_to_string(golden(case))
        .with_context(|| format!("nothing was recorded of {}", case.name))?;
    let recorded = Transcript::parse(&golden)?;
    let comparison = Comparison::of(&recorded, &told);
    println!("{:<24} {comparison}", case.name);
    comparison.judge("recorded", "embedded")?;
    Ok(Completion::Completed)
}

/// Plays all cases on both servers.
fn both() -> Result<Completion, Failed> {
    play_both().map_err(|error| Failed::from(format!("{error:#}")))
}

fn play_both() -> Result<Completion> {
    let parts = match real::Parts::find() {
        Ok(parts) => parts,
        Err(missing) if required() => bail!("{missing}"),
        Err(missing) => return Ok(Completion::ignored_with(missing)),
    };
    let record = std::env::var_os("ISTHMUS_RECORD").is_some_and(|set| set == "1");
    let chosen = std::env::var("ISTHMUS_CASE").ok();
    // The world moves its thread into a namespace: one of its own.
    apart(|| async {
        let real = Subject::real(&parts).await?;
        let mut wrong = Vec::new();
        let mut sum = Comparison::default();
        for case in CASES
            .iter()
            .filter(|case| chosen.as_ref().is_none_or(|c| c == case.name))
        {
            let embedded = Subject::embedded().await?;
            let begun = Instant::now();
            let played = async { Ok((real.play(case).await?, embedded.play(case).await?)) };
            let played: Result<_> = played.await;
            embedded.end().await;
            let (theirs, ours) = match played {
                Ok(told) => told,
                Err(error) => {
                    wrong.push(format!("{error:#}"));
                    continue;
                }
            };
            if record {
                std::fs::write(golden(case), theirs.to_string())?;
            }
            let comparison = Comparison::of(&theirs, &ours);
            let took = begun.elapsed().as_secs_f64();
            println!("{:<14} {took:>5.1} s  {comparison}", case.name);
            if let Err(error) = comparison.judge("real", "embedded") {
                wrong.push(format!("{}: {error:#}", case.name));
            }
            sum.add(&comparison);
        }
        println!("{:<24} {sum}", "all");
        real.end().await;
        if !wrong.is_empty() {
            bail!("{}", wrong.join("\n"));
        }
        Ok(())
    })?;
    Ok(Completion::Completed)
}

/// Why a case cannot be played here.
fn missing(case: &Case) -> Option<Result<Completion>> {
    if !case.kubectl {
        return None;
    }
    match peers::kubectl() {
        Ok(_) => None,
        Err(missing) if required() => Some(Err(anyhow::anyhow!("{missing}"))),
        Err(missing) => Some(Ok(Completion::ignored_with(missing))),
    }
}

/// Runs on a thread and a runtime of its own.
fn apart<T: Send, F: Future<Output = Result<T>>>(story: impl FnOnce() -> F + Send) -> Result<T> {
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(story())
        });
        run.join().unwrap_or_else(|_| bail!("panicked"))
    })
}

fn golden(case: &Case) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/golden");
    folder.join(format!("{}.txt", case.name))
}
