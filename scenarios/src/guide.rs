//! A page whose commands a scenario runs: whoever changes one is told to change the other.

use std::collections::VecDeque;

use anyhow::{Context, Result, ensure};

/// The steps of a page that were not taken yet, in its order.
#[derive(Debug)]
pub struct Guide {
    steps: VecDeque<Step>,
}

/// What a page has between two headings.
#[derive(Debug, Default, PartialEq, Eq)]
struct Step {
    heading: String,
    commands: Vec<String>,
}

impl Guide {
    /// The steps of a page in Markdown. Each block of `sh` is a command; a heading without
    /// any is no step.
    #[must_use]
    pub fn parse(page: &str) -> Self {
        let mut steps = VecDeque::from([Step::default()]);
        let mut command = None;
        for line in page.lines() {
            match (&mut command, line) {
                (None, "```sh") => command = Some(String::new()),
                (None, line) if line.starts_with('#') => steps.push_back(Step {
                    heading: line.trim_start_matches('#').trim().to_owned(),
                    commands: Vec::new(),
                }),
                (None, _) => {}
                (Some(_), "```") => {
                    let last = steps.back_mut();
                    last.into_iter()
                        .for_each(|step| step.commands.extend(command.take()));
                }
                (Some(command), line) => {
                    command.push_str(line);
                    command.push('\n');
                }
            }
        }
        steps.retain(|step| !step.commands.is_empty());
        Self { steps }
    }

    /// Takes the next step, which must have this heading: its commands.
    ///
    /// # Errors
    /// When the page goes on otherwise.
    pub fn step(&mut self, heading: &str) -> Result<Vec<String>> {
        let step = self.steps.pop_front();
        let step = step.with_context(|| format!("the page ends before `{heading}`"))?;
        ensure!(
            step.heading == heading,
            "the page goes on with `{}`, the scenario with `{heading}`",
            step.heading
        );
        Ok(step.commands)
    }

    /// Whether all steps were taken.
    ///
    /// # Errors
    /// When the page goes on.
    pub fn end(&self) -> Result<()> {
        let next = self.steps.front().map(|step| &step.heading);
        ensure!(next.is_none(), "nobody takes the step {next:?}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A page\n\
        ## One\n\
        ```sh\necho a\n# no heading\necho b\n```\ntext\n```sh\necho c\n```\n\
        ## Nothing to type\n```text\n# a b c\n```\n\
        ### Two\n```sh\necho d\n```\n";

    #[test]
    fn steps_are_taken_in_the_pages_order() {
        let mut guide = Guide::parse(PAGE);
        let first = guide.step("One").unwrap();
        assert_eq!(first, ["echo a\n# no heading\necho b\n", "echo c\n"]);
        assert!(guide.end().is_err());
        assert_eq!(guide.step("Two").unwrap(), ["echo d\n"]);
        assert!(guide.end().is_ok());
        assert!(guide.step("Three").is_err());
    }

    #[test]
    fn a_step_that_the_page_has_otherwise_is_an_error() {
        assert!(Guide::parse(PAGE).step("Two").is_err());
    }
}
