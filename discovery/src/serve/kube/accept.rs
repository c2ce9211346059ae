//! In which form a reader wants its answer.

use std::cmp::Reverse;

use super::{query::Query, status::Status};

/// What an `Accept` header lists, the most wanted first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept(Vec<Clause>);

/// One media type of an `Accept` header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clause {
    /// As `application/json`.
    pub media: String,
    /// The kind to which the answer shall be turned (`as`).
    pub kind: String,
    /// The API group of that kind (`g`).
    pub group: String,
    /// Its version (`v`).
    pub version: String,
    /// How much it is wanted, in thousandths (`q`).
    weight: u16,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The objects.
    Whole,
    /// Their metadata only.
    Metadata,
    /// A table, for people.
    Table(Include),
}

/// What a row of a table says about its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    Nothing,
    /// Its metadata.
    Metadata,
    /// All.
    Object,
}

impl Accept {
    /// Reads a header; without one, everything is welcome.
    #[must_use]
    pub fn parse(header: Option<&str>) -> Self {
        let header = header.filter(|header| !header.trim().is_empty());
        let mut clauses: Vec<_> = header
            .unwrap_or("*/*")
            .split(',')
            .map(Clause::parse)
            .collect();
        clauses.sort_by_key(|clause| Reverse(clause.weight));
        Self(clauses)
    }

    /// What it lists, the most wanted first.
    #[must_use]
    pub fn clauses(&self) -> &[Clause] {
        &self.0
    }

    /// The form that is wanted most of those that can be given: JSON always, and nothing else.
    ///
    /// # Errors
    /// 406 when none can.
    pub fn form(&self, query: &Query) -> Result<Form, Status> {
        let mut forms = self.0.iter().filter_map(|clause| clause.form(query));
        forms
            .next()
            .ok_or_else(|| Status::not_acceptable(&AVAILABLE))
    }
}

impl Clause {
    fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let mut clause = Self {
            media: parts.next().unwrap_or_default().to_ascii_lowercase(),
            weight: 1000,
            ..Self::default()
        };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim_matches('"');
            match name {
                "as" => value.clone_into(&mut clause.kind),
                "g" => value.clone_into(&mut clause.group),
                "v" => value.clone_into(&mut clause.version),
                "q" => clause.weight = weight(value),
                _ => {}
            }
        }
        clause
    }

    /// Whether JSON satisfies it.
    #[must_use]
    pub fn is_json(&self) -> bool {
        matches!(
            self.media.as_str(),
            "application/json" | "application/*" | "*/*"
        )
    }

    fn form(&self, query: &Query) -> Option<Form> {
        let known =
            self.group == "meta.k8s.io" && matches!(self.version.as_str(), "v1" | "v1beta1");
        match self.kind.as_str() {
            _ if !self.is_json() => None,
            "" => Some(Form::Whole),
            "Table" if known => Some(Form::Table(match query.get("includeObject") {
                Some("None") => Include::Nothing,
                Some("Object") => Include::Object,
                _ => Include::Metadata,
            })),
            "PartialObjectMetadata" | "PartialObjectMetadataList" if known => Some(Form::Metadata),
            _ => None,
        }
    }
}

fn weight(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{fraction:0<3}");
    let thousandths = digits.get(..3).and_then(|d| d.parse().ok()).unwrap_or(0);
    if whole == "0" { thousandths } else { 1000 }
}

const AVAILABLE: [&str; 2] = ["application/json", "application/json;stream=watch"];

#[cfg(test)]
mod tests {
    use super::*;

    fn form(header: &str) -> Result<Form, u16> {
        let accept = Accept::parse(Some(header));
        accept
            .form(&Query::default())
            .map_err(|status| status.code().as_u16())
    }

    #[test]
    fn the_first_form_that_can_be_given_is_taken() {
        assert_eq!(
            form("application/vnd.kubernetes.protobuf,application/json"),
            Ok(Form::Whole)
        );
        let istiod = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,\
            application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
        assert_eq!(form(istiod), Ok(Form::Metadata));
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(form(kubectl), Ok(Form::Table(Include::Metadata)));
        assert_eq!(
            form("application/json;as=Other;g=x;v=v1,*/*"),
            Ok(Form::Whole)
        );
        assert_eq!(form(""), Ok(Form::Whole));
        let weighed = "application/json;q=0.2,application/json;as=Table;g=meta.k8s.io;v=v1;q=0.9";
        assert_eq!(form(weighed), Ok(Form::Table(Include::Metadata)));
    }

    #[test]
    fn what_cannot_be_given_is_refused() {
        assert_eq!(form("application/vnd.kubernetes.protobuf"), Err(406));
        assert_eq!(form("text/plain"), Err(406));
        assert_eq!(form("application/json;as=Table;g=other;v=v1"), Err(406));
    }
}
