//! Field selectors: `status.phase!=Failed,metadata.name=x`.

use crate::serve::kube::{resource::Resource, status::Status};

/// A list of terms, all of which must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<Term>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    field: String,
    value: String,
    equal: bool,
}

impl FieldSelector {
    /// Reads the text of a selector. `\` keeps the sign behind it from meaning something.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let terms = split(text).into_iter().filter(|term| !term.is_empty());
        terms.map(Term::parse).collect::<Result<_, _>>().map(Self)
    }

    /// The one that asks for an object by name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(vec![Term {
            field: "metadata.name".to_owned(),
            value: name.to_owned(),
            equal: true,
        }])
    }

    /// Fails for a field that objects of `resource` cannot be selected by.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self, resource: &Resource) -> Result<(), Status> {
        let known = |field: &str| {
            field == "metadata.name"
                || (field == "metadata.namespace" && resource.namespaced)
                || resource.fields.iter().any(|known| known.name == field)
        };
        match self.0.iter().find(|term| !known(&term.field)) {
            None => Ok(()),
            Some(term) => Err(Status::bad_request(format!(
                "field label not supported: {}",
                term.field
            ))),
        }
    }

    /// Whether every term holds.
    pub fn matches<'a>(&self, value: impl Fn(&str) -> &'a str) -> bool {
        let holds = |term: &Term| (value(&term.field) == term.value) == term.equal;
        self.0.iter().all(holds)
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Term {
    fn parse(text: &str) -> Result<Self, Status> {
        let mut escaped = false;
        for (at, sign) in text.char_indices() {
            let rest = &text[at..];
            let found = [("!=", false), ("==", true), ("=", true)];
            let found = found.into_iter().find(|(sign, _)| rest.starts_with(sign));
            if let (false, Some((operator, equal))) = (escaped, found) {
                return Ok(Self {
                    field: text[..at].to_owned(),
                    value: unescaped(&rest[operator.len()..])?,
                    equal,
                });
            }
            escaped = !escaped && sign == '\\';
        }
        Err(Status::bad_request(format!(
            "invalid selector: '{text}'; can't understand '{text}'"
        )))
    }
}

fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, sign) in text.char_indices() {
        if sign == ',' && !escaped {
            parts.push(&text[start..at]);
            start = at + 1;
        }
        escaped = !escaped && sign == '\\';
    }
    parts.push(&text[start..]);
    parts
}

fn unescaped(text: &str) -> Result<String, Status> {
    let mut value = String::new();
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => match signs.next() {
                Some(sign @ ('\\' | ',' | '=')) => value.push(sign),
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    return Err(Status::bad_request(format!(
                        "invalid field selector: invalid escape sequence: \\{other}"
                    )));
                }
            },
            ',' | '=' => {
                return Err(Status::bad_request(format!(
                    "invalid field selector: unescaped character in input: {sign}"
                )));
            }
            sign => value.push(sign),
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, field: &str, value: &str) -> bool {
        let selector = FieldSelector::parse(selector).unwrap();
        selector.matches(|name| if name == field { value } else { "" })
    }

    #[test]
    fn terms_are_equal_or_unequal_and_what_is_not_set_is_empty() {
        assert!(matches("status.phase!=Failed", "status.phase", "Running"));
        assert!(!matches("status.phase!=Failed", "status.phase", "Failed"));
        assert!(matches("a=b", "a", "b") && matches("a==b", "a", "b"));
        assert!(matches("spec.nodeName=", "a", "b"));
        assert!(!matches("a=b,c=d", "a", "b"));
        assert!(matches("", "a", "b"));
        assert!(matches(r"a=x\,y\=z", "a", "x,y=z"));
    }

    #[test]
    fn what_is_no_term_is_refused() {
        for wrong in ["a", "a,b=c", r"a=\x", "a=b=c"] {
            assert!(FieldSelector::parse(wrong).is_err(), "{wrong}");
        }
        let read = FieldSelector::parse("metadata.name=istio").unwrap();
        assert_eq!(read, FieldSelector::named("istio"));
    }
}
