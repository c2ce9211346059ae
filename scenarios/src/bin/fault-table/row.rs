//! One fault: what is done, what is promised, what was measured.

use std::{fmt, str::FromStr};

use anyhow::{Result, bail, ensure};

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    cells: [String; 4],
}

/// What makes two rows the same fault.
pub(crate) type Key = (String, String);

impl Row {
    pub(crate) fn key(&self) -> Key {
        let [group, fault, ..] = &self.cells;
        (group.clone(), fault.clone())
    }

    pub(crate) fn promise(&self) -> &str {
        &self.cells[2]
    }
}

impl FromStr for Row {
    type Err = anyhow::Error;

    /// From `GROUP | FAULT | PROMISE | MEASURED`.
    fn from_str(text: &str) -> Result<Self> {
        let cells: Vec<String> = text.split('|').map(|cell| cell.trim().to_owned()).collect();
        let count = cells.len();
        let Ok(cells) = <[String; 4]>::try_from(cells) else {
            bail!("a fault has four cells, this has {count}");
        };
        ensure!(cells.iter().all(|cell| !cell.is_empty()), "an empty cell");
        Ok(Self { cells })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} |", self.cells.join(" | "))
    }
}

/// How a printed row begins.
pub(crate) const MARK: &str = "fault: ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_printed_as_markdown() {
        let row: Row = "relay | a reader stops | flat |  3 KiB".parse().unwrap();
        assert_eq!(row.to_string(), "| relay | a reader stops | flat | 3 KiB |");
        assert_eq!(row.key(), ("relay".to_owned(), "a reader stops".to_owned()));
    }

    #[test]
    fn a_cell_too_many_or_too_few_is_refused() {
        assert!("a | b | c".parse::<Row>().is_err());
        assert!("a | b | c | d | e".parse::<Row>().is_err());
        assert!("a | b |  | d".parse::<Row>().is_err());
    }
}
