//! The text around the table, and the table between its marks.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context, Result};

use super::row::{Key, Row};

/// A file with a table in it.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    before: &'a str,
    rows: BTreeMap<Key, Row>,
    after: &'a str,
}

impl<'a> Page<'a> {
    /// Finds the table.
    ///
    /// # Errors
    /// When a mark is missing, or a line between them is no row.
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        let (before, rest) = text
            .split_once(BEGIN)
            .with_context(|| format!("no line `{BEGIN}`"))?;
        let (table, after) = rest
            .split_once(END)
            .with_context(|| format!("no line `{END}`"))?;
        let rows = table.trim().lines().skip(HEAD.lines().count());
        let rows = rows.map(|line| {
            let row: Row = line
                .trim_matches(['|', ' '])
                .parse()
                .context(line.to_owned())?;
            anyhow::Ok((row.key(), row))
        });
        Ok(Self {
            before,
            rows: rows.collect::<Result<_>>()?,
            after,
        })
    }

    /// The page with the rows that ran; `whole`: and with no others.
    pub(crate) fn with(mut self, ran: &BTreeMap<Key, Row>, whole: bool) -> Self {
        if whole {
            self.rows.clear();
        }
        self.rows.extend(ran.clone());
        self
    }

    /// Where what ran is not what the table says, whatever was measured.
    pub(crate) fn breaches(&self, ran: &BTreeMap<Key, Row>, whole: bool) -> Vec<String> {
        let differs = ran
            .iter()
            .filter_map(|(key, row)| match self.rows.get(key) {
                None => Some(format!("no row for `{} | {}`", key.0, key.1)),
                Some(shown) if shown.promise() != row.promise() => Some(format!(
                    "`{} | {}` promises `{}`, the test `{}`",
                    key.0,
                    key.1,
                    shown.promise(),
                    row.promise()
                )),
                Some(_) => None,
            });
        let absent = self
            .rows
            .keys()
            .filter(|key| whole && !ran.contains_key(*key));
        let absent = absent.map(|key| format!("`{} | {}` did not run", key.0, key.1));
        differs.chain(absent).collect()
    }
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}{BEGIN}\n{HEAD}", self.before)?;
        for row in self.rows.values() {
            writeln!(f, "{row}")?;
        }
        write!(f, "{END}{}", self.after)
    }
}

const BEGIN: &str = "<!-- faults: begin -->";
const END: &str = "<!-- faults: end -->";
const HEAD: &str = "| of | fault | promised | measured |\n|---|---|---|---|";

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "above\n<!-- faults: begin -->\n| of | fault | promised | measured |\n\
                        |---|---|---|---|\n| a | x | p | 1 |\n| b | y | q | 2 |\n\
                        <!-- faults: end -->\nbelow\n";

    fn ran(rows: &[&str]) -> BTreeMap<Key, Row> {
        let rows = rows.iter().map(|row| row.parse::<Row>().unwrap());
        rows.map(|row| (row.key(), row)).collect()
    }

    #[test]
    fn what_is_read_is_written_the_same() {
        assert_eq!(Page::parse(TEXT).unwrap().to_string(), TEXT);
        assert!(Page::parse("no table").is_err());
    }

    #[test]
    fn what_ran_replaces_its_row_and_leaves_the_others() {
        let ran = ran(&["b | y | q | 3", "c | z | r | 4"]);
        let page = Page::parse(TEXT).unwrap().with(&ran, false).to_string();
        assert!(page.contains("| a | x | p | 1 |\n| b | y | q | 3 |\n| c | z | r | 4 |\n<!--"));
        let page = Page::parse(TEXT).unwrap().with(&ran, true).to_string();
        assert!(!page.contains("| a |"), "{page}");
    }

    #[test]
    fn another_measure_is_no_breach_and_another_promise_is() {
        let page = Page::parse(TEXT).unwrap();
        let same = ran(&["a | x | p | 9", "b | y | q | 9"]);
        assert!(page.breaches(&same, true).is_empty());
        let fewer = ran(&["a | x | p | 9"]);
        assert!(page.breaches(&fewer, false).is_empty());
        assert_eq!(page.breaches(&fewer, true), ["`b | y` did not run"]);
        let other = ran(&["a | x | more | 9", "c | z | r | 4"]);
        assert_eq!(page.breaches(&other, false).len(), 2);
    }
}
